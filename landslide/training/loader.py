"""Crops to batches: sampled, turned, and masked as one gather on the device, whatever their number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from landslide.bands import band_indices, direction_pairs
from landslide.datasets.stack import IGNORE
from landslide.training.devices import has_room

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from landslide.datasets.training_store import Tiles

RESERVE = 4 * 2**30  # bytes of a GPU's memory that the tiles leave to the network


@dataclass(frozen=True)
class Batch:
    """`values` float32 (n, band, y, x) channels-last, z-scores, 0 where missing; `target` float32 and `valid` bool
    (n, 1, y, x).
    """

    values: Tensor
    target: Tensor
    valid: Tensor


class BatchLoader:
    """Turns what a `Sampler` draws from the training cases into batches on a device.

    The pixels lie on the device where it is a GPU with room for them; else they stay memory maps and the batches are
    sent over. No shape depends on what is drawn. Raises BandError for one component of a direction without the other.
    """

    def __init__(self, tiles: Tiles, bands: Sequence[str], crop: int, device: str) -> None:
        group = tiles.split("train")
        columns = band_indices(bands, tiles.info.bands, str(tiles.folder))
        self._pairs = direction_pairs(bands)
        self._columns = None if columns == list(range(len(tiles.info.bands))) else torch.tensor(columns)
        self._values = torch.from_numpy(group.values)
        self._truth = torch.from_numpy(group.truth(columns))
        sides = torch.tensor([(part.height, part.width) for part in group.parts])
        self._parts = torch.cat([torch.from_numpy(group.first)[:, None], sides], dim=1)
        self._steps = torch.arange(crop)
        self._small = bool((sides < crop).any())
        self._device = torch.device(device)
        if has_room(device, len(self._values) * len(columns) * 4 + RESERVE):
            self._move()

    def _move(self) -> None:
        self._values, self._columns = self._chosen(self._values).to(self._device), None
        self._truth, self._parts, self._steps = (
            part.to(self._device) for part in (self._truth, self._parts, self._steps)
        )

    @property
    def place(self) -> torch.device:
        """Where the pixels lie, and so the draws have to."""
        return self._values.device

    def __call__(self, draws: Tensor) -> Batch:
        """The batch of (n, 4) draws: part, first row, first column and symmetry of each crop."""
        pixels, down, across = self._pixels(draws)
        values = self._chosen(self._values.index_select(0, pixels.flatten())).view(*pixels.shape, -1)
        truth = self._truth.index_select(0, pixels.flatten()).view(pixels.shape)
        if self._small:
            inside = down[:, :, None] & across[:, None, :]
            values.masked_fill_(~inside[..., None], 0.0)
            truth.masked_fill_(~inside, IGNORE)
        at_once = len(draws) if values.is_cuda else 1  # a crop fits a CPU's cache, a batch does not
        for start in range(0, len(draws), at_once):
            crops = slice(start, start + at_once)
            self._turn_directions(values[crops], draws[crops, 3, None, None])
        parts = (values.permute(0, 3, 1, 2), (truth == 1).float()[:, None], (truth != IGNORE)[:, None])
        return Batch(*(part.to(self._device) for part in parts))

    def _chosen(self, values: Tensor) -> Tensor:
        return values if self._columns is None else values.index_select(1, self._columns)

    def _pixels(self, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, crop, crop): which pixel of the group each one of a batch is; (n, crop): rows and columns in the part."""
        part, top, left, symmetry = draws[:, :, None].unbind(1)
        first, height, width = self._parts[part[:, 0]][:, :, None].unbind(1)
        transposed = symmetry & 1 > 0
        back = len(self._steps) - 1 - self._steps
        terms = []
        for flips, is_row in ((symmetry & 2 > 0, ~transposed), (symmetry & 4 > 0, transposed)):  # along rows, columns
            place = torch.where(is_row, top, left) + torch.where(flips, back, self._steps)
            limit = torch.where(is_row, height, width)
            step = torch.where(is_row, width, 1)
            terms.append((torch.minimum(place, limit - 1) * step, place < limit))
        (down, down_inside), (across, across_inside) = terms
        pixels = (first + down)[:, :, None] + across[:, None, :]
        return pixels, down_inside, across_inside

    def _turn_directions(self, values: Tensor, symmetry: Tensor) -> None:
        """Components of a direction turn as the picture does. Rows run south: transposing maps (north, east) to (−east,
        −north), flipping the rows negates the northward one, flipping the columns the eastward one.
        """
        for north, east in self._pairs:
            northward, eastward = values[..., north].clone(), values[..., east].clone()
            transposed = symmetry & 1 > 0
            values[..., north] = torch.where(transposed, -eastward, northward) * (1 - (symmetry & 2))
            values[..., east] = torch.where(transposed, -northward, eastward) * (1 - (symmetry & 4) // 2)
