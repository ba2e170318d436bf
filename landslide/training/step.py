"""One step of optimisation: a batch drawn, a forward and a backward pass, an update; on a GPU replayed as one graph.

A batch of four keeps a GPU busy for less time than launching its few hundred kernels takes. Captured as a graph they
are launched at once. The first steps run one by one, which the capture needs and which changes no number.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from landslide.models.inference import precision
from landslide.training.deterministic import Ordered
from landslide.training.devices import is_gpu

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from landslide.models.losses import Loss
    from landslide.training.loader import Batch

WARM = 3  # steps before the capture: libraries choose their kernels and allocate what they keep


def adam(network: nn.Module, rate: float, device: str) -> torch.optim.Optimizer:
    """Adam in one pass over the weights, its rate where a graph that is replayed finds it."""
    on_gpu = is_gpu(device)
    held = torch.tensor(rate, device=device) if on_gpu else rate
    return torch.optim.Adam(network.parameters(), held, fused=True, capturable=on_gpu)


@dataclass
class Step:
    """A network, what it learns from and how. `total` is the sum of the losses since it was last set to zero."""

    network: Callable[[Tensor], Tensor]
    feed: Callable[[Tensor], Batch]
    loss: Loss
    optimiser: torch.optim.Optimizer
    device: str
    kind: str

    def __post_init__(self) -> None:
        self.total = torch.zeros((), device=self.device)
        self._order: AbstractContextManager[object] = Ordered() if is_gpu(self.device) else nullcontext()

    def __call__(self, draws: Tensor) -> None:
        """Learn from the batch of (n, 4) draws."""
        batch = self.feed(draws)
        self.optimiser.zero_grad()
        with precision(self.device, self.kind), self._order:
            logits = self.network(batch.values)
        loss = self.loss(logits.float(), batch.target, batch.valid)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.total += loss.detach()


class Graphed:
    """A step on a GPU whose tiles lie there, too, captured as a CUDA graph after `WARM` steps."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None
        self._draws: Tensor | None = None
        self._done = 0

    def __call__(self, draws: Tensor) -> None:
        """Learn from the batch of (n, 4) draws, n always the same."""
        if self._draws is None:
            self._draws = draws.clone()
        self._draws.copy_(draws)
        if self._done < WARM:
            self._warm(self._draws)
        else:
            self._replay(self._draws)
        self._done += 1

    def _warm(self, draws: Tensor) -> None:
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
