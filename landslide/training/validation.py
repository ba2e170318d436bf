"""Validation on whole scenes: the mean loss, and F1 from counts that stay on the device until the end."""

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

WHOLE = 2048  # scenes up to this side are one pass, larger ones windows of this size
RESERVE = 8 * 2**30  # bytes of a GPU's memory that the scenes leave to the network


class Diverged(Exception):
    """The loss of a member is no longer finite."""


@dataclass(frozen=True)
class ValidationScene:
    """`values` (y, x, band) z-scores, 0 where missing; `truth` uint8 (y, x), 255 = ignore; `columns`: which bands."""

    values: Tensor
    truth: Tensor
    columns: list[int]

    @property
    def picture(self) -> Tensor:
        """(band, y, x), channels-last; all bands of a memory map are not copied."""
        every = self.columns == list(range(self.values.shape[-1]))
        return (self.values if every else self.values[..., self.columns]).permute(2, 0, 1)

    def to(self, device: str) -> ValidationScene:
        """With its own bands alone, on a device."""
        values = self.picture.permute(1, 2, 0).to(device)
        return ValidationScene(values, self.truth.to(device), list(range(len(self.columns))))


def scenes(tiles: Tiles, bands: Sequence[str], device: str) -> list[ValidationScene]:
    """The validation scenes with the bands of a set, on the device where it is a GPU with room for all of them."""
    group = tiles.split("validation")
    columns = band_indices(bands, tiles.info.bands, str(tiles.folder))
    truth = group.truth(columns)
    found = [
        ValidationScene(
            torch.from_numpy(group.picture(group.values, i)), torch.from_numpy(group.picture(truth, i)), columns
        )
        for i in range(len(group.parts))
    ]
    size = truth.size * len(columns) * 4
    if has_room(device, size + RESERVE):
        return [scene.to(device) for scene in found]
    return found


def found_everywhere(scenes: Sequence[ValidationScene]) -> float:
    """F1 of a map that is landslide all over: what a member has to beat to have learnt anything."""
    counts = [((scene.truth == 1).sum().item(), (scene.truth == 0).sum().item()) for scene in scenes]
    return Counts(tp=sum(tp for tp, _ in counts), fp=sum(fp for _, fp in counts), fn=0).f1 or 0.0


def validate(
    network: nn.Module, scenes: Sequence[ValidationScene], loss: Loss, threshold: float, device: str, kind: str = "fp32"
) -> tuple[float, float]:
    """Mean loss over the scenes and F1 over all their observed pixels; raises Diverged."""
    network.eval()
    cut = math.log(threshold / (1 - threshold))
    losses, counts = [], torch.zeros(3, dtype=torch.int64, device=device)
    for scene in scenes:
        with torch.inference_mode(), precision(device, kind):
            logits = _logits(network, scene, device)
        truth = scene.truth.to(device)
        valid, target, mapped = truth != IGNORE, truth == 1, logits > cut
        counts += torch.stack([(mapped & target).sum(), (mapped & ~target & valid).sum(), (~mapped & target).sum()])
        losses.append(loss(logits, target.float(), valid))
    mean = torch.stack(losses).mean().item()
    if not math.isfinite(mean):
        raise Diverged
    tp, fp, fn = counts.tolist()
    return mean, Counts(tp=tp, fp=fp, fn=fn).f1 or 0.0


def _logits(network: nn.Module, scene: ValidationScene, device: str) -> Tensor:
    """(y, x) float32 on the device."""
    height, width = scene.truth.shape
    picture = scene.picture
    if max(height, width) <= WHOLE:
        whole = torch.nn.functional.pad(picture[None].to(device), (0, padding(width), 0, padding(height)))
        logits: Tensor = network(whole)[0, 0, :height, :width].float()
        return logits
    rows = logit_rows(network, lambda roi: picture[:, *roi].cpu().numpy(), (height, width), WHOLE, OVERLAP)
    return torch.from_numpy(np.concatenate([block for _, block in rows])).to(device)
