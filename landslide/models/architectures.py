"""The architectures of the training grid, with any encoder of segmentation-models-pytorch.

To add an architecture, add a row to `ARCHITECTURES`. torch is imported on use, so that an experiment loads fast.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from landslide.errors import InputError

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURES = {  # class name in the library: GFLOP of a training step on one 256-pixel crop; the longest run first
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
STRIDE = 32  # pixels: every encoder halves the image five times
PAN_MIN_SIDE = 128  # pixels: PAN's attention pools the encoder's output three more times


def check_encoder(name: str) -> None:
    """Raise InputError if segmentation-models-pytorch has no encoder of this name."""
    import segmentation_models_pytorch as smp

    names = smp.encoders.get_encoder_names()
    if name not in names and not name.startswith("tu-"):
        similar = ", ".join(get_close_matches(name, names, n=5, cutoff=0.4)) or ", ".join(sorted(names)[:5])
        raise InputError(f"unknown encoder {name!r}; similar names are {similar}. For a model of timm use `tu-<name>`")


def build(architecture: str, encoder: str, channels: int) -> nn.Module:
    """A randomly initialised network from (batch, channels, y, x) to logits (batch, 1, y, x). Downloads nothing."""
    import segmentation_models_pytorch as smp

    network: nn.Module = getattr(smp, architecture)(encoder, encoder_weights=None, in_channels=channels, classes=1)
    return network
