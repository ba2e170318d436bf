"""The grid of members: nine architectures, five losses, any encoder of segmentation-models-pytorch.

An architecture is one row here, a loss one in `losses`. torch is imported on use, so that an experiment reads fast.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from landslide.errors import InputError

if TYPE_CHECKING:
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
PAN_MIN_SIDE = 128  # PAN's attention pools what is left three times more


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
