"""What a member is trained by, and what is told of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from landslide.artifacts.store import Request
from landslide.models.member import MemberSpec, TrainedMember

VERSION = 3
WEIGHTS = "weights.safetensors"
MEMBER_FILE = "member.json"


class Schedule(BaseModel):
    """How a member is trained: see `Experiment` for the meaning of each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int
    min_epochs: int
    patience: int
    lr_patience: int
    samples_per_epoch: int
    crop: int
    batch: int
    background_fraction: float
    threshold: float = 0.5
    precision: Literal["fp32", "bf16"] = "fp32"
    lr_schedule: Literal["plateau", "one-cycle"] = "plateau"
    min_lr_ratio: float = 0.0
    ema_decay: float = 0.0
    validate_every: int = 1
    stop_collapsed_after: int = 0
    compiled: bool = False


class Epoch(BaseModel):
    """What one epoch showed; the losses are means over batches and over validation scenes, None where not validated."""

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float | None
    validation_f1: float | None
    seconds: float


class Member(BaseModel):
    """`member.json`: a finished member. A diverged one has no weights and no score."""

    spec: MemberSpec
    status: Literal["trained", "diverged"]
    best_epoch: int | None
    validation_f1: float | None
    epochs: list[Epoch]
    seconds: float


def train_request(
    spec: MemberSpec, schedule: Schedule, tiles_key: str, device: str, until: int | None = None
) -> Request:
    """What a member depends on, or its first epochs `until` one. The kind of processor counts, since its arithmetic
    differs; its number does not.
    """
    parameters = {
        "spec": spec.model_dump(mode="json"),
        "schedule": schedule.model_dump(mode="json"),
        "device": device.split(":")[0],
        **({} if until is None else {"until": until}),
    }
    return Request(stage="train", version=VERSION, parameters=parameters, inputs={"tiles": tiles_key})


def candidate(key: str, folder: Path) -> TrainedMember:
    """A finished member as the selection sees it."""
    member = Member.model_validate_json((folder / MEMBER_FILE).read_text())
    return TrainedMember(key, member.spec, member.validation_f1, folder / WEIGHTS)
