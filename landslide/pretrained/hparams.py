"""`hparams.yaml` of a published model: what it is, in the words of the program that trained it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from landslide.cases.fields import load
from landslide.models.architectures import ARCHITECTURES, check_encoder

CHANNELS = 15  # of a scene in the archive
LOSSES = {  # segmentation-models-pytorch's names, by which they are published: ours
    "SoftBCEWithLogitsLoss": "bce",
    "DiceLoss": "dice",
    "JaccardLoss": "jaccard",
    "LovaszLoss": "lovasz",
    "FocalLoss": "focal",
}


def _architecture(target: str) -> str:
    package, _, name = target.rpartition(".")
    if package != "segmentation_models_pytorch" or name not in ARCHITECTURES:
        raise ValueError(f"unknown architecture; known are {', '.join(ARCHITECTURES)}")
    return name


def _loss(target: str) -> str:
    name = target.rpartition(".")[2]
    if not target.startswith("segmentation_models_pytorch.losses.") or name not in LOSSES:
        raise ValueError(f"unknown loss; known are {', '.join(LOSSES)}")
    return LOSSES[name]


def _encoder(name: str) -> str:
    check_encoder(name)
    return name


def _some_once(channels: list[int]) -> list[int]:
    if not channels or len(set(channels)) != len(channels):
        raise ValueError("give each channel once, and at least one")
    return channels


class _Part(BaseModel):
    """A section of the file; what it says beyond the fields belongs to training."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Net(_Part):
    """Anything else here would make another network than `landslide.models.architectures.build` does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Annotated[str, AfterValidator(_architecture)] = Field(alias="_target_")
    encoder_name: Annotated[str, AfterValidator(_encoder)] = "resnet34"
    encoder_weights: str | None = None
    in_channels: int = Field(ge=1)
    classes: Literal[1] = 1


class Loss(_Part):
    """The loss and its options."""

    name: Annotated[str, AfterValidator(_loss)] = Field(alias="_target_")


class Optimizer(_Part):
    """Adam and its options."""

    lr: float = Field(gt=0)


class Model(_Part):
    """The network and how it was trained."""

    net: Net
    loss: Loss
    optimizer: Optimizer


class Data(_Part):
    """`channels`: positions among the bands of a scene, in the order the network takes them; all without it."""

    channels: Annotated[list[Annotated[int, Field(ge=0, lt=CHANNELS)]], AfterValidator(_some_once)] | None = None


class Settings(_Part):
    """The file."""

    model: Model
    data: Data = Data()
    seed: int | None = None

    @property
    def channels(self) -> tuple[int, ...]:
        """Positions of the bands that the network takes."""
        return tuple(range(CHANNELS)) if self.data.channels is None else tuple(self.data.channels)


def load_settings(path: Path) -> Settings:
    """Read the file; InputError names it, the key and the value that is wrong."""
    return load(Settings, path)
