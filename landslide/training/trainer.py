"""The trainer: one member, from tiles to weights.

The protocol of arXiv 2310.05959: Adam, the learning rate divided by ten when the validation loss stalls, early
stopping, and the weights of the epoch with the best validation F1 on whole scenes. The weights are a function of spec,
schedule, tiles and type of processor, also after a restart from a checkpoint. A member that diverges is recorded
without weights.
"""

from __future__ import annotations

import math
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from landslide.datasets.sampler import Sampler
from landslide.models.architectures import build
from landslide.models.losses import LOSSES
from landslide.training.checkpoint import Checkpoints
from landslide.training.devices import is_gpu
from landslide.training.loader import BatchLoader
from landslide.training.records import MEMBER_FILE, WEIGHTS, Epoch, Member
from landslide.training.step import Graphed, Step, adam
from landslide.training.validation import Diverged, all_landslide_f1, scenes, validate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor, nn

    from landslide.datasets.training_store import Tiles
    from landslide.models.member import MemberSpec
    from landslide.training.records import Schedule

WARM_UP, FIRST = 0.1, 0.1  # one-cycle schedule: share of the steps with a rising rate; first share of the peak rate
LR_FACTOR = 0.1  # of the learning rate, each time the validation loss stalls


def train(
    spec: MemberSpec,
    schedule: Schedule,
    tiles: Tiles,
    device: str,
    folder: Path,
    workspace: Path | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    until: int | None = None,
) -> Member:
    """Train a member and write `weights.safetensors` and `member.json`, whose content is returned.

    Args:
        spec: Architecture, loss, learning rate, bands, seed.
        schedule: The hyperparameters of training.
        tiles: The training store.
        device: `cpu`, `cuda` or `cuda:1`.
        folder: The folder to write into.
        workspace: The folder of the checkpoint; None writes none.
        on_epoch: Called with each epoch, including those restored from the checkpoint.
        until: The last epoch; training can resume from its checkpoint. None trains to the end.
    """
    with torch.random.fork_rng(devices=[torch.device(device).index or 0] if is_gpu(device) else []):
        torch.manual_seed(spec.seed)
        run = _Run(spec, schedule, tiles, device, Checkpoints(workspace))
        for epoch in run.history:
            on_epoch(epoch)
        try:
            while not run.finished and len(run.history) != until:
                on_epoch(run.epoch())
            if until is not None:
                run.save()
        except Diverged:
            run.best = None
    best, weights = run.best or (None, {})
    if weights:
        save_file({name: value.contiguous() for name, value in weights.items()}, folder / WEIGHTS)
    member = Member(
        spec=spec, status="trained" if best else "diverged", best_epoch=best and best.epoch,
        validation_f1=best and best.validation_f1, epochs=run.history, seconds=sum(one.seconds for one in run.history),
    )  # fmt: skip
    (folder / MEMBER_FILE).write_text(member.model_dump_json(indent=1))
    return member


def one_cycle(done: float) -> float:
    """The learning rate relative to its peak, after a share of all steps: a linear rise, then half a cosine to 0.

    Smith and Topin 2017 (arXiv 1708.07120), with the cosine of Loshchilov and Hutter 2016 (arXiv 1608.03983).
    """
    if done < WARM_UP:
        return FIRST + (1 - FIRST) * done / WARM_UP
    return (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2


class _Run:
    """The state of training. `best` is the epoch with the highest validation F1 and its weights; None if diverged."""

    def __init__(
        self, spec: MemberSpec, schedule: Schedule, tiles: Tiles, device: str, checkpoints: Checkpoints
    ) -> None:
        self.spec, self.schedule, self.device, self.checkpoints = spec, schedule, device, checkpoints
        network = build(spec.architecture, spec.encoder, len(spec.bands)).to(device)
        self.network: nn.Module = network.to(memory_format=torch.channels_last)  # the fastest layout for convolutions
        self.averaged = _averaged(self.network, schedule.ema_decay)
        torch.backends.cudnn.deterministic |= is_gpu(device)  # no measurable cost in time
        self.optimiser = adam(self.network, spec.learning_rate, device)
        self.plateau = ReduceLROnPlateau(self.optimiser, factor=LR_FACTOR, patience=schedule.lr_patience)
        loader = BatchLoader(tiles, spec.bands, schedule.crop, device)
        self.data_device = loader.data_device
        self.sampler = Sampler(tiles.split("train"), schedule.crop, schedule.background_fraction)
        self.loss = LOSSES[spec.loss]
        forward = _compiled(self.network) if schedule.compiled else self.network
        self.step = Step(forward, loader, self.loss, self.optimiser, device, schedule.precision)
        self.train_on = Graphed(self.step) if self.data_device.type == "cuda" else self.step
        self.scenes = scenes(tiles, spec.bands, device)
        self.collapsed_f1 = all_landslide_f1(self.scenes)
        self.history: list[Epoch] = []
        self.best: tuple[Epoch, dict[str, Tensor]] | None = None
        self._resume()

    @property
    def finished(self) -> bool:
        """Whether the epochs or the patience are used up, the learning rate is below its minimum, or the member has
        collapsed: its best F1 is no higher than that of mapping every pixel as landslide.
        """
        if not self.history:
            return False
        done = self.history[-1].epoch
        if done >= self.schedule.epochs:
            return True
        if done >= self.schedule.stop_collapsed_after > 0 and self.best and self._best_f1 <= self.collapsed_f1:
            return True
        if done < self.schedule.min_epochs:
            return False
        stalled = done - (self.best[0].epoch if self.best else 0) >= self.schedule.patience
        return stalled or self._rate < self.schedule.min_lr_ratio * self.spec.learning_rate

    @property
    def _best_f1(self) -> float:
        return (self.best and self.best[0].validation_f1) or 0.0

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated and saved: the averaged one, if there is one."""
        return self.network if self.averaged is None else self.averaged.module

    @cached_property
    def steps(self) -> int:
        """Steps per epoch: `samples_per_epoch`, rounded up to full batches."""
        return -(-self.schedule.samples_per_epoch // self.schedule.batch)

    def epoch(self) -> Epoch:
        """Train one epoch and, if due, validate and write a checkpoint. Raises Diverged."""
        number, started, rate = len(self.history) + 1, time.monotonic(), self._rate
        train_loss = self._train_epoch(number)
        loss = f1 = None
        if number % self.schedule.validate_every == 0 or number == self.schedule.epochs:
            loss, f1 = validate(
                self.evaluated, self.scenes, self.loss, self.schedule.threshold, self.device, self.schedule.precision
            )
            if self.schedule.lr_schedule == "plateau":
                self.plateau.step(loss)
        epoch = Epoch(
            epoch=number, learning_rate=rate, train_loss=train_loss, validation_loss=loss, validation_f1=f1,
            seconds=time.monotonic() - started,
        )  # fmt: skip
        self.history.append(epoch)
        if f1 is not None and (self.best is None or f1 > self._best_f1):
            self.best = epoch, {name: value.detach().clone() for name, value in self.evaluated.state_dict().items()}
        if self.checkpoints.due():
            self.save()
        return epoch

    def _train_epoch(self, number: int) -> float:
        """Run the steps of an epoch and return the mean loss. The loss is read from the device once."""
        torch.manual_seed(self.spec.seed + number)  # for dropout: an epoch depends on no earlier random number
        drawn = self.sampler.draw(self.steps * self.schedule.batch, (self.spec.seed, number))
        draws = torch.from_numpy(drawn).to(self.data_device).view(self.steps, self.schedule.batch, -1)
        self.network.train()
        self.step.total.zero_()
        for index, batch in enumerate(draws):
            if self.schedule.lr_schedule == "one-cycle":
                done = (number - 1 + index / self.steps) / self.schedule.epochs
                self._rate = self.spec.learning_rate * one_cycle(done)
            self.train_on(batch)
            if self.averaged is not None:
                self.averaged.update_parameters(self.network)
        loss = self.step.total.item() / self.steps
        if not math.isfinite(loss):
            raise Diverged
        return loss

    @property
    def _rate(self) -> float:
        return float(self.optimiser.param_groups[0]["lr"])

    @_rate.setter
    def _rate(self, value: float) -> None:
        group = self.optimiser.param_groups[0]
        if isinstance(group["lr"], float):
            group["lr"] = value
        else:
            group["lr"].fill_(value)

    def save(self) -> None:
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        if self.averaged is not None:
            tensors |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        for index, parameter in enumerate(self.network.parameters()):
            moments = self.optimiser.state.get(parameter, {})  # empty for layers that the architecture does not use
            tensors |= {f"optimiser.{index}.{name}": value for name, value in moments.items()}
        if self.best is not None:
            tensors |= {f"best.{name}": value for name, value in self.best[1].items()}
        state = {
            "history": [epoch.model_dump() for epoch in self.history],
            "best": self.best and self.best[0].epoch,
            "rate": self._rate,
            "plateau": {name: getattr(self.plateau, name) for name in ("best", "num_bad_epochs")},
        }
        self.checkpoints.save(tensors, state)

    def _resume(self) -> None:
        if (checkpoint := self.checkpoints.load()) is None:
            return
        tensors, state = checkpoint
        self.network.load_state_dict(_under("network.", tensors))
        if self.averaged is not None:
            self.averaged.load_state_dict(_under("averaged.", tensors))
        for index, parameter in enumerate(self.network.parameters()):
            if moments := _under(f"optimiser.{index}.", tensors):
                self.optimiser.state[parameter] = _moments(parameter, moments)
        self.history = [Epoch.model_validate(epoch) for epoch in state["history"]]
        if state["best"] is not None:
            weights = {name: value.to(self.device) for name, value in _under("best.", tensors).items()}
            self.best = self.history[state["best"] - 1], weights
        self._rate = state["rate"]
        self.plateau.load_state_dict(state["plateau"])


def _compiled(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """The compiled network. Clears torch's cache, which otherwise limits the number of recompilations."""
    torch.compiler.reset()
    return torch.compile(network, dynamic=False)


def _averaged(network: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential moving average of the weights and of the batch-norm statistics; None without a decay."""
    if not decay:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _moments(parameter: Tensor, saved: dict[str, Tensor]) -> dict[str, Any]:
    """Adam's state of a parameter in the parameter's memory layout, as the fused step requires."""
    step = {"step": saved["step"].to(parameter.device)}
    return step | {name: torch.empty_like(parameter).copy_(value) for name, value in saved.items() if name != "step"}
