"""The grid of members: nine architectures, five losses, any encoder of segmentation-models-pytorch.

An architecture or a loss is one row here. torch is imported on use, so that reading an experiment stays fast.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn

ARCHITECTURES = ("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "PAN", "DeepLabV3", "DeepLabV3Plus")
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "bce": ("SoftBCEWithLogitsLoss", {}),
    "dice": ("DiceLoss", {"mode": "binary"}),
    "jaccard": ("JaccardLoss", {"mode": "binary"}),
    "lovasz": ("LovaszLoss", {"mode": "binary"}),
    "focal": ("FocalLoss", {"mode": "binary"}),
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


def build(architecture: str, encoder: str, channels: int) -> nn.Module:
    """A network from (batch, channels, y, x) to logits (batch, 1, y, x), randomly initialised, no download."""
    import segmentation_models_pytorch as smp

    network: nn.Module = getattr(smp, architecture)(encoder, encoder_weights=None, in_channels=channels, classes=1)
    return network


def masked_loss(name: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The loss of (logits, target, valid), each (batch, 1, y, x), over valid pixels alone.

    The published losses see the valid pixels as one long picture: all five are sums over pixels of a batch, so on
    fully valid input they are unchanged, and an ignored pixel counts for nothing. Zero where nothing is valid.
    """
    import segmentation_models_pytorch as smp

    kind, options = LOSSES[name]
    loss = getattr(smp.losses, kind)(**options)

    def over_valid(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        if not bool(valid.any()):
            return logits.sum() * 0.0
        result: Tensor = loss(logits[valid][None, None, None], target[valid][None, None, None])
        return result

    return over_valid
