"""The training schedule of a member, and its records: `member.json` and the history of epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from landslide.artifacts.stage import Keyed
from landslide.models.member import MemberSpec, TrainedMember

WEIGHTS = "weights.safetensors"
MEMBER_FILE = "member.json"


class Schedule(Keyed):
    """The hyperparameters of training; `Experiment` describes each."""

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
    """Losses are means over batches and over validation scenes; None where the epoch was not validated."""

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


def trained_member(key: str, folder: Path) -> TrainedMember:
    """Read a finished member from its artifact's folder."""
    member = Member.model_validate_json((folder / MEMBER_FILE).read_text())
    return TrainedMember(key=key, spec=member.spec, validation_f1=member.validation_f1, weights=folder / WEIGHTS)
