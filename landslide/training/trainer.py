"""One member, from tiles to weights.

The protocol of arXiv 2310.05959: Adam, the learning rate falling tenfold when the validation loss stalls, an early stop
and the best epoch by validation F1 on whole scenes. A member is a pure function of its spec, schedule and tiles: same
seed, same processor, same weights, whether or not it was killed on the way. One that diverges ends as a recorded result
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
from landslide.training.validation import Diverged, found_everywhere, scenes, validate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor, nn

    from landslide.datasets.training_store import Tiles
    from landslide.models.member import MemberSpec
    from landslide.training.records import Schedule

WARM_UP, FIRST = 0.1, 0.1  # of a cycle's steps the rate rises from this share of its peak
LR_FACTOR = 0.1  # of the learning rate where the validation loss stalls


def train(
    spec: MemberSpec,
    schedule: Schedule,
    tiles: Tiles,
    device: str,
    folder: Path,
    workspace: Path | None = None,
    tell: Callable[[Epoch], None] = lambda epoch: None,
    until: int | None = None,
) -> Member:
    """Train a member and write `weights.safetensors` and `member.json` into a folder.

    `tell` hears each epoch, also those that an earlier process got through; what outlasts a process that is killed lies
    in `workspace`. A member that stops after the epoch `until`, unless it ends before, can go on from there.
    """
    with torch.random.fork_rng(devices=_indices(device)):
        torch.manual_seed(spec.seed)
        run = _Run(spec, schedule, tiles, device, Checkpoints(workspace))
        for epoch in run.history:
            tell(epoch)
        try:
            while not run.finished and len(run.history) != until:
                tell(run.epoch())
            if until is not None:
                run.save()
        except Diverged:
            run.best = None
    if run.best is not None:
        save_file({name: value.contiguous() for name, value in run.best[1].items()}, folder / WEIGHTS)
    member = Member(
        spec=spec,
        status="diverged" if run.best is None else "trained",
        best_epoch=run.best and run.best[0].epoch,
        validation_f1=run.best and run.best[0].validation_f1,
        epochs=run.history,
        seconds=sum(epoch.seconds for epoch in run.history),
    )
    (folder / MEMBER_FILE).write_text(member.model_dump_json(indent=1))
    return member


def _indices(device: str) -> list[int]:
    return [torch.device(device).index or 0] if is_gpu(device) else []


def one_cycle(done: float) -> float:
    """The learning rate's share of its peak after a share of the steps: a linear rise, then half a cosine to 0.

    After Smith and Topin 2017 (arXiv 1708.07120), with the cosine of Loshchilov and Hutter 2016.
    """
    if done < WARM_UP:
        return FIRST + (1 - FIRST) * done / WARM_UP
    return (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2


class _Run:
    """A member while it learns. `best` is the epoch with the highest validation F1 and its weights."""

    def __init__(
        self, spec: MemberSpec, schedule: Schedule, tiles: Tiles, device: str, checkpoints: Checkpoints
    ) -> None:
        self.spec, self.schedule, self.device, self.checkpoints = spec, schedule, device, checkpoints
        network = build(spec.architecture, spec.encoder, len(spec.bands)).to(device)
        self.network: nn.Module = network.to(memory_format=torch.channels_last)  # convolutions are fastest in it
        self.averaged = _averaged(self.network, schedule.ema_decay)
        torch.backends.cudnn.deterministic |= is_gpu(device)  # costs no time that could be measured
        self.optimiser = adam(self.network, spec.learning_rate, device)
        self.plateau = ReduceLROnPlateau(self.optimiser, factor=LR_FACTOR, patience=schedule.lr_patience)
        feed = BatchLoader(tiles, spec.bands, schedule.crop, device)
        self.place = feed.place
        self.sampler = Sampler(tiles.split("train"), schedule.crop, schedule.background_fraction)
        self.loss = LOSSES[spec.loss]
        learner = _compiled(self.network) if schedule.compiled else self.network
        self.step = Step(learner, feed, self.loss, self.optimiser, device, schedule.precision)
        self.learn = Graphed(self.step) if feed.place.type == "cuda" else self.step
        self.scenes = scenes(tiles, spec.bands, device)
        self.collapsed = found_everywhere(self.scenes)
        self.history: list[Epoch] = []
        self.best: tuple[Epoch, dict[str, Tensor]] | None = None
        self._resume()

    @property
    def finished(self) -> bool:
        """Whether the epochs or the patience have run out, the learning rate is too small to change anything, or
        mapping everything as one landslide would do as well.
        """
        if not self.history:
            return False
        done = self.history[-1].epoch
        if done >= self.schedule.epochs:
            return True
        if done >= self.schedule.stop_collapsed_after > 0 and self.best and self._best_f1 <= self.collapsed:
            return True
        if done < self.schedule.min_epochs:
            return False
        patient = done - (self.best[0].epoch if self.best else 0) < self.schedule.patience
        return not patient or self._rate < self.schedule.min_lr_ratio * self.spec.learning_rate

    @property
    def _best_f1(self) -> float:
        return (self.best and self.best[0].validation_f1) or 0.0

    @property
    def voting(self) -> nn.Module:
        """The network that is validated and kept."""
        return self.network if self.averaged is None else self.averaged.module

    @cached_property
    def steps(self) -> int:
        """Steps an epoch: at least the samples, in full batches."""
        return -(-self.schedule.samples_per_epoch // self.schedule.batch)

    def epoch(self) -> Epoch:
        """One epoch and, where one is due, its validation and a checkpoint; raises Diverged."""
        number, started, rate = len(self.history) + 1, time.monotonic(), self._rate
        train_loss = self._learn(number)
        loss = f1 = None
        if number % self.schedule.validate_every == 0 or number == self.schedule.epochs:
            loss, f1 = validate(
                self.voting, self.scenes, self.loss, self.schedule.threshold, self.device, self.schedule.precision
            )
            if self.schedule.lr_schedule == "plateau":
                self.plateau.step(loss)
        epoch = Epoch(
            epoch=number,
            learning_rate=rate,
            train_loss=train_loss,
            validation_loss=loss,
            validation_f1=f1,
            seconds=time.monotonic() - started,
        )
        self.history.append(epoch)
        if f1 is not None and (self.best is None or f1 > self._best_f1):
            self.best = epoch, {name: value.detach().clone() for name, value in self.voting.state_dict().items()}
        if self.checkpoints.due():
            self.save()
        return epoch

    def _learn(self, number: int) -> float:
        """The steps of an epoch; the mean loss, read once."""
        torch.manual_seed(self.spec.seed + number)  # for dropout: what an epoch draws depends on nothing before it
        drawn = self.sampler.draw(self.steps * self.schedule.batch, (self.spec.seed, number))
        draws = torch.from_numpy(drawn).to(self.place).view(self.steps, self.schedule.batch, -1)
        self.network.train()
        self.step.total.zero_()
        for index, batch in enumerate(draws):
            if self.schedule.lr_schedule == "one-cycle":
                done = (number - 1 + index / self.steps) / self.schedule.epochs
                self._rate = self.spec.learning_rate * one_cycle(done)
            self.learn(batch)
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
        """Keep what another process goes on from."""
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        if self.averaged is not None:
            tensors |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        for index, parameter in enumerate(self.network.parameters()):
            kept = self.optimiser.state.get(parameter, {})  # nothing for layers that the architecture leaves unused
            tensors |= {f"optimiser.{index}.{name}": value for name, value in kept.items()}
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
        kept = self.checkpoints.load()
        if kept is None:
            return
        tensors, state = kept
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
    """The same network, small kernels fused. What an earlier member compiled is forgotten: torch counts recompilations,
    and after a few of them it stops compiling.
    """
    torch.compiler.reset()
    return torch.compile(network, dynamic=False)


def _averaged(network: nn.Module, decay: float) -> AveragedModel | None:
    """An exponential average of the weights and of the statistics of normalisation layers; None without a decay."""
    if not decay:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _moments(parameter: Tensor, kept: dict[str, Tensor]) -> dict[str, Any]:
    """Adam's state of a parameter, in the parameter's own layout, which a fused step takes for granted."""
    step = {"step": kept["step"].to(parameter.device)}
    return step | {name: torch.empty_like(parameter).copy_(value) for name, value in kept.items() if name != "step"}
