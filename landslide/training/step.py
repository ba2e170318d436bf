"""One optimisation step: load a batch, forward and backward pass, update. On a GPU it is replayed as a CUDA graph.

With small batches, launching a step's few hundred kernels takes longer than running them; a graph launches them at
once. The first steps run without the graph, as warm-up for the capture; this does not change the results.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from landslide.models.inference import precision
from landslide.training.deterministic import DeterministicOps
from landslide.training.devices import is_gpu

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from landslide.models.losses import Loss
    from landslide.training.loader import Batch

WARM_UP_STEPS = 3  # before the capture: libraries choose kernels and allocate workspaces


def adam(network: nn.Module, rate: float, device: str) -> torch.optim.Optimizer:
    """Fused Adam. On a GPU the learning rate is a tensor, so that a replayed graph sees its changes."""
    on_gpu = is_gpu(device)
    lr = torch.tensor(rate, device=device) if on_gpu else rate
    return torch.optim.Adam(network.parameters(), lr, fused=True, capturable=on_gpu)


@dataclass
class Step:
    """An optimisation step of a network. `total` is the sum of the losses since it was last set to zero."""

    network: Callable[[Tensor], Tensor]
    loader: Callable[[Tensor], Batch]
    loss: Loss
    optimiser: torch.optim.Optimizer
    device: str
    kind: str

    def __post_init__(self) -> None:
        self.total = torch.zeros((), device=self.device)
        self._deterministic: AbstractContextManager[object] = (
            DeterministicOps() if is_gpu(self.device) else nullcontext()
        )

    def __call__(self, draws: Tensor) -> None:
        """Train on the batch of the draws (n, 4)."""
        batch = self.loader(draws)
        self.optimiser.zero_grad()
        with precision(self.device, self.kind), self._deterministic:
            logits = self.network(batch.values)
        loss = self.loss(logits.float(), batch.target, batch.valid)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.total += loss.detach()


class Graphed:
    """A step captured as a CUDA graph after `WARM_UP_STEPS` steps. Its pixels must be on the GPU."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None
        self._draws: Tensor | None = None
        self._done = 0

    def __call__(self, draws: Tensor) -> None:
        """Train on the batch of the draws (n, 4); n must be the same in every call."""
        if self._draws is None:
            self._draws = draws.clone()
        self._draws.copy_(draws)
        if self._done < WARM_UP_STEPS:
            self._warm_up(self._draws)
        else:
            self._replay(self._draws)
        self._done += 1

    def _warm_up(self, draws: Tensor) -> None:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._step(draws)
        torch.cuda.current_stream().wait_stream(stream)

    def _replay(self, draws: Tensor) -> None:
        if self._graph is None:
            self._step.optimiser.zero_grad()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._step(draws)
        self._graph.replay()
