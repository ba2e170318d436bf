"""The grid of members: nine architectures, five losses, any encoder of segmentation-models-pytorch.

An architecture is one row here, a loss one in `losses`. torch is imported on use, so that an experiment reads fast.
"""

from __future__ import annotations

import itertools
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from landslide.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

ARCHITECTURES = {  # by its name in the library: GFLOP of a training step a crop of 256 pixels, to run the longest first
    "Unet": 49.0,
    "UnetPlusPlus": 112.5,
    "MAnet": 52.1,
    "Linknet": 32.3,
    "FPN": 43.3,
    "PSPNet": 16.2,
    "PAN": 46.8,
    "DeepLabV3": 166.0,
    "DeepLabV3Plus": 60.2,
}
STRIDE = 32  # every encoder halves the picture five times
LEAST = 128  # PAN's attention pools what is left three times more


class MemberSpec(BaseModel):
    """What one member is: a point of the grid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: str
    loss: str
    learning_rate: float
    bands: tuple[str, ...]
    encoder: str = "resnet34"
    seed: int = 42

    @property
    def name(self) -> str:
        """A short name for people: `Unet-dice-0.001`."""
        return f"{self.architecture}-{self.loss}-{self.learning_rate:g}"


def grid(
    architectures: Sequence[str], losses: Sequence[str], rates: Sequence[float], bands: Sequence[str], **common: Any
) -> Iterator[MemberSpec]:
    """Every combination, architecture by architecture."""
    for architecture, loss, rate in itertools.product(architectures, losses, rates):
        yield MemberSpec(architecture=architecture, loss=loss, learning_rate=rate, bands=tuple(bands), **common)


def check_encoder(name: str) -> None:
    """InputError if segmentation-models-pytorch has no such encoder."""
    import segmentation_models_pytorch as smp

    names = smp.encoders.get_encoder_names()
    if name not in names and not name.startswith("tu-"):
        near = ", ".join(get_close_matches(name, names, n=5, cutoff=0.4)) or ", ".join(sorted(names)[:5])
        raise InputError(f"unknown encoder {name!r}; near it are {near}; any model of timm is `tu-<its name>`")


def build(architecture: str, encoder: str, channels: int) -> nn.Module:
    """A network from (batch, channels, y, x) to logits (batch, 1, y, x), randomly initialised, no download."""
    import segmentation_models_pytorch as smp

    network: nn.Module = getattr(smp, architecture)(encoder, encoder_weights=None, in_channels=channels, classes=1)
    return network
