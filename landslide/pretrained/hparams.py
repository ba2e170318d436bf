"""`hparams.yaml` of a published model: its network, loss and data, as written by the authors' training program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from landslide.cases.fields import load
from landslide.models.architectures import ARCHITECTURES, check_encoder

CHANNELS = 15  # bands of a scene in the archive
LOSSES = {  # class in segmentation-models-pytorch: name in this project
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


def _distinct(channels: list[int]) -> list[int]:
    if not channels or len(set(channels)) != len(channels):
        raise ValueError("give each channel once, and at least one")
    return channels


class _Part(BaseModel):
    """A section of the file. Other keys are ignored: they only matter for training."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Net(_Part):
    """The network. Unknown keys are refused: `landslide.models.architectures.build` would ignore them."""

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
    """`channels` are the indices of the network's input bands among the scene's bands; None means all."""

    channels: Annotated[list[Annotated[int, Field(ge=0, lt=CHANNELS)]], AfterValidator(_distinct)] | None = None


class Settings(_Part):
    """The file."""

    model: Model
    data: Data = Data()
    seed: int | None = None

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(range(CHANNELS)) if self.data.channels is None else tuple(self.data.channels)


def load_settings(path: Path) -> Settings:
    """Read the file; InputError with the file, the key and the value that is wrong."""
    return load(Settings, path)
