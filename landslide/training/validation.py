"""Validation on whole scenes: the mean loss, and F1 from counts accumulated on the device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from landslide.bands import band_indices
from landslide.datasets.stack import IGNORE
from landslide.metrics.pixel import Counts
from landslide.models.inference import OVERLAP, logit_rows, padding, precision
from landslide.training.devices import has_room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from landslide.datasets.training_store import Tiles
    from landslide.models.losses import Loss

MAX_SIDE = 2048  # pixels: larger scenes are predicted in windows of this size
RESERVE = 8 * 2**30  # bytes of GPU memory left to the network


class Diverged(Exception):
    """The loss of a member is no longer finite."""


@dataclass(frozen=True)
class ValidationScene:
    """`values` (y, x, band) z-scores, 0 = missing; `truth` (y, x) uint8, 255 = ignore; `columns`: the bands to use."""

    values: Tensor
    truth: Tensor
    columns: list[int]

    @property
    def image(self) -> Tensor:
        """(band, y, x), channels-last; a view of `values` if all bands are used."""
        all_bands = self.columns == list(range(self.values.shape[-1]))
        return (self.values if all_bands else self.values[..., self.columns]).permute(2, 0, 1)

    def to(self, device: str) -> ValidationScene:
        """Copy the bands that are used to a device."""
        values = self.image.permute(1, 2, 0).to(device)
        return ValidationScene(values, self.truth.to(device), list(range(len(self.columns))))


def scenes(tiles: Tiles, bands: Sequence[str], device: str) -> list[ValidationScene]:
    """The validation scenes with the bands of a set, copied to the device if it is a GPU with room for all of them."""
    group = tiles.split("validation")
    columns = band_indices(bands, tiles.info.bands, str(tiles.folder))
    truth = group.truth(columns)
    found = []
    for i in range(len(group.parts)):
        values, labels = torch.from_numpy(group.image(group.values, i)), torch.from_numpy(group.image(truth, i))
        found.append(ValidationScene(values, labels, columns))
    fits = has_room(device, truth.size * len(columns) * 4 + RESERVE)
    return [scene.to(device) for scene in found] if fits else found


def all_landslide_f1(scenes: Sequence[ValidationScene]) -> float:
    """F1 of mapping every pixel as landslide; a useful member scores higher."""
    counts = [((scene.truth == 1).sum().item(), (scene.truth == 0).sum().item()) for scene in scenes]
    return Counts(tp=sum(tp for tp, _ in counts), fp=sum(fp for _, fp in counts), fn=0).f1 or 0.0


def validate(
    network: nn.Module, scenes: Sequence[ValidationScene], loss: Loss, threshold: float, device: str, kind: str = "fp32"
) -> tuple[float, float]:
    """Validate a network on whole scenes.

    Args:
        network: The network, on `device`. It is set to evaluation mode.
        scenes: The validation scenes.
        loss: The loss function.
        threshold: The probability above which a pixel is landslide.
        device: Where the network runs.
        kind: The precision of the forward pass, `fp32` or `bf16`.

    Returns:
        The mean loss over the scenes, and F1 over all observed pixels.

    Raises:
        Diverged: The loss is not finite.
    """
    network.eval()
    logit_threshold = math.log(threshold / (1 - threshold))
    losses, counts = [], torch.zeros(3, dtype=torch.int64, device=device)
    for scene in scenes:
        with torch.inference_mode(), precision(device, kind):
            logits = _logits(network, scene, device)
        truth = scene.truth.to(device)
        valid, target, mapped = truth != IGNORE, truth == 1, logits > logit_threshold
        counts += torch.stack([(mapped & target).sum(), (mapped & ~target & valid).sum(), (~mapped & target).sum()])
        losses.append(loss(logits, target.float(), valid))
    mean = torch.stack(losses).mean().item()
    if not math.isfinite(mean):
        raise Diverged
    tp, fp, fn = counts.tolist()
    return mean, Counts(tp=tp, fp=fp, fn=fn).f1 or 0.0


def _logits(network: nn.Module, scene: ValidationScene, device: str) -> Tensor:
    """Logits (y, x), float32, on the device."""
    height, width = scene.truth.shape
    image = scene.image
    if max(height, width) <= MAX_SIDE:
        whole = torch.nn.functional.pad(image[None].to(device), (0, padding(width), 0, padding(height)))
        logits: Tensor = network(whole)[0, 0, :height, :width].float()
        return logits
    rows = logit_rows(network, lambda roi: image[:, *roi].cpu().numpy(), (height, width), MAX_SIDE, OVERLAP)
    return torch.from_numpy(np.concatenate([block for _, block in rows])).to(device)
