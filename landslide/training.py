"""One member, from tiles to weights.

The protocol of arXiv 2310.05959: Adam, the learning rate falling tenfold when the validation loss stalls, an early stop
and the best epoch by validation F1 on whole scenes. A member is a pure function of its spec, schedule and tiles: same
seed, same processor, same weights. One that diverges ends as a recorded result without weights.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from safetensors.torch import save_file

from landslide.ensemble import Candidate, Normalisation, observed
from landslide.errors import InputError
from landslide.evaluation.counts import Counts, total
from landslide.mapping.windows import OVERLAP, logit_rows
from landslide.models import MemberSpec, build, masked_loss
from landslide.stack import IGNORE
from landslide.store import Request
from landslide.tiles import Batch, Picture, Sampler, Tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn

    Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

VERSION = 1
WEIGHTS = "weights.safetensors"
FILE = "member.json"
WHOLE = 2048  # validation scenes up to this side are one pass, larger ones windows of this size


class Schedule(BaseModel):
    """How a member is trained: see `Experiment` for the meaning of each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int
    min_epochs: int
    patience: int
    plateau: int
    samples: int
    crop: int
    batch: int
    background: float
    threshold: float = 0.5


class Epoch(BaseModel):
    """What one epoch showed; the losses are means over batches and over validation scenes."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float
    validation_f1: float
    seconds: float


class Member(BaseModel):
    """`member.json`: a finished member. A diverged one has no weights and no score."""

    spec: MemberSpec
    status: Literal["trained", "diverged"]
    best_epoch: int | None
    validation_f1: float | None
    epochs: list[Epoch]
    seconds: float


class Diverged(Exception):
    """The loss or the logits of a member are no longer finite."""


def train_request(spec: MemberSpec, schedule: Schedule, tiles_key: str, device: str) -> Request:
    """What a member depends on. The kind of processor counts, since its arithmetic differs; its number does not."""
    parameters = {"spec": spec.model_dump(mode="json"), "schedule": schedule.model_dump(mode="json")}
    parameters["device"] = device.split(":")[0]  # type: ignore[assignment]
    return Request(stage="train", version=VERSION, parameters=parameters, inputs={"tiles": tiles_key})


def candidate(key: str, folder: Path) -> Candidate:
    """A finished member as the selection sees it."""
    member = Member.model_validate_json((folder / FILE).read_text())
    return Candidate(key, member.spec, member.validation_f1, folder / WEIGHTS)


def choose_device(wanted: str) -> str:
    """`auto` to a GPU where there is one; InputError if the GPU asked for is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda"):
        count, number = torch.cuda.device_count(), int(wanted.partition(":")[2] or 0)
        if number >= count:
            raise InputError(f"device {wanted!r} is not there: torch sees {count} GPU(s). Use `device: auto` or `cpu`")
    return wanted


def train(
    spec: MemberSpec,
    schedule: Schedule,
    tiles: Tiles,
    device: str,
    folder: Path,
    tell: Callable[[Epoch], None] = lambda epoch: None,
) -> Member:
    """Train a member and write `weights.safetensors` and `member.json` into a folder; `tell` hears each epoch."""
    started = time.monotonic()
    with torch.random.fork_rng(devices=_indices(device)):
        torch.manual_seed(spec.seed)
        run = _Run(spec, schedule, tiles, device)
        for epoch in range(1, schedule.epochs + 1):
            try:
                run.step(epoch)
            except Diverged:
                run.best = None
                break
            tell(run.history[-1])
            if run.finished:
                break
    best = run.best
    if best is not None:
        save_file({name: value.contiguous() for name, value in best[1].items()}, folder / WEIGHTS)
    member = Member(
        spec=spec,
        status="diverged" if best is None else "trained",
        best_epoch=best and best[0].epoch,
        validation_f1=best and best[0].validation_f1,
        epochs=run.history,
        seconds=time.monotonic() - started,
    )
    (folder / FILE).write_text(member.model_dump_json(indent=1))
    return member


def _indices(device: str) -> list[int]:
    return [torch.device(device).index or 0] if device.startswith("cuda") else []


class _Run:
    """A member while it learns. `best` is the epoch with the highest validation F1 and its weights."""

    def __init__(self, spec: MemberSpec, schedule: Schedule, tiles: Tiles, device: str) -> None:
        self.spec, self.schedule, self.device = spec, schedule, device
        network = build(spec.architecture, spec.encoder, len(spec.bands)).to(device)
        self.network = network.to(memory_format=torch.channels_last)  # the layout convolutions are fastest in
        self.loss = masked_loss(spec.loss)
        self.optimiser = torch.optim.Adam(self.network.parameters(), spec.learning_rate)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(self.optimiser, factor=0.1, patience=schedule.plateau)
        self.sampler = Sampler(tiles, spec.bands, schedule.crop, schedule.background)
        self.scenes = list(_validation(tiles, spec.bands))
        self.history: list[Epoch] = []
        self.best: tuple[Epoch, dict[str, Tensor]] | None = None

    @property
    def finished(self) -> bool:
        """Whether patience has run out."""
        epoch = self.history[-1].epoch
        best = self.best[0].epoch if self.best else 0
        return epoch >= self.schedule.min_epochs and epoch - best >= self.schedule.patience

    def step(self, number: int) -> None:
        """One epoch and its validation; raises Diverged."""
        started = time.monotonic()
        rate = float(self.optimiser.param_groups[0]["lr"])
        seed = (self.spec.seed, number)
        batches = self.sampler.batches(self.schedule.samples, self.schedule.batch, seed)
        train_loss = _mean([self._learn(batch) for batch in batches])
        validation_loss, f1 = validate(self.network, self.scenes, self.loss, self.schedule.threshold)
        self.plateau.step(validation_loss)
        epoch = Epoch(
            epoch=number,
            learning_rate=rate,
            train_loss=train_loss,
            validation_loss=validation_loss,
            validation_f1=f1,
            seconds=time.monotonic() - started,
        )
        self.history.append(epoch)
        if self.best is None or f1 > self.best[0].validation_f1:
            self.best = epoch, {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def _learn(self, batch: Batch) -> float:
        self.network.train()
        values, target, valid = (
            torch.from_numpy(part).to(self.device) for part in (batch.values, batch.target, batch.valid)
        )
        logits = self.network(values.contiguous(memory_format=torch.channels_last))
        loss = self.loss(logits, target, valid)
        if not math.isfinite(loss.item()):
            raise Diverged
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.item()


Scene = tuple[Picture, list[int], Normalisation]


def _validation(tiles: Tiles, bands: tuple[str, ...]) -> Iterator[Scene]:
    indices = [tiles.info.bands.index(band) for band in bands]
    for picture in tiles.pictures("validation"):
        yield picture, indices, tiles.normalisation(bands)


def validate(network: nn.Module, scenes: Sequence[Scene], loss: Loss, threshold: float) -> tuple[float, float]:
    """Mean loss over whole scenes and pooled F1 over their observed pixels; raises Diverged."""
    network.eval()
    losses, counts = [], []
    cut = math.log(threshold / (1 - threshold))
    for picture, indices, normalisation in scenes:
        values = np.stack([picture.values[index] for index in indices])
        valid = observed(values) & (picture.label != IGNORE)
        logits = _whole_scene(network, normalisation.apply(values))
        if not np.isfinite(logits).all():
            raise Diverged
        truth = picture.label == 1
        counts.append(Counts.of(logits > cut, truth, valid))
        if valid.any():
            pictures = (torch.from_numpy(part)[None, None] for part in (logits, truth.astype("float32"), valid))
            losses.append(loss(*pictures).item())
    return _mean(losses), total(counts).f1 or 0.0


def _whole_scene(network: nn.Module, values: np.ndarray) -> np.ndarray:
    rows = logit_rows(network, lambda roi: values[:, *roi], values.shape[1:], WHOLE, OVERLAP)
    return np.concatenate([block for _, block in rows])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
