"""Batches of augmented crops, read from the training store by a single gather."""

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

RESERVE = 4 * 2**30  # bytes of GPU memory left to the network


@dataclass(frozen=True)
class Batch:
    """`values` (n, band, y, x) z-scores, channels-last, 0 = missing; `target` (n, 1, y, x) float32, `valid` bool."""

    values: Tensor
    target: Tensor
    valid: Tensor


class BatchLoader:
    """Reads the crops that a `Sampler` draws from the training cases, as batches on a device.

    On a GPU with enough free memory the pixels are copied there; otherwise they stay memory-mapped and each batch is
    copied. Shapes do not depend on the draws. Raises BandError if a band set has one component of a direction only.
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
            self._values, self._columns = self._in_band_set(self._values).to(self._device), None
            rest = (self._truth, self._parts, self._steps)
            self._truth, self._parts, self._steps = (tensor.to(self._device) for tensor in rest)

    @property
    def data_device(self) -> torch.device:
        """The device of the pixels; the draws must be on it."""
        return self._values.device

    def __call__(self, draws: Tensor) -> Batch:
        """The batch of the draws (n, 4): part, first row, first column and symmetry of each crop."""
        pixels, rows_inside, columns_inside = self._pixels(draws)
        values = self._in_band_set(self._values.index_select(0, pixels.flatten())).view(*pixels.shape, -1)
        truth = self._truth.index_select(0, pixels.flatten()).view(pixels.shape)
        if self._small:
            inside = rows_inside[:, :, None] & columns_inside[:, None, :]
            values.masked_fill_(~inside[..., None], 0.0)
            truth.masked_fill_(~inside, IGNORE)
        chunk = len(draws) if values.is_cuda else 1  # a crop fits into a CPU's cache, a batch does not
        for start in range(0, len(draws), chunk):
            crops = slice(start, start + chunk)
            self._turn_directions(values[crops], draws[crops, 3, None, None])
        parts = (values.permute(0, 3, 1, 2), (truth == 1).float()[:, None], (truth != IGNORE)[:, None])
        return Batch(*(part.to(self._device) for part in parts))

    def _in_band_set(self, values: Tensor) -> Tensor:
        return values if self._columns is None else values.index_select(1, self._columns)

    def _pixels(self, draws: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Index (n, crop, crop) of each pixel in the group; which rows and columns (n, crop) lie inside the part."""
        part, top, left, symmetry = draws[:, :, None].unbind(1)
        first, height, width = self._parts[part[:, 0]][:, :, None].unbind(1)
        transposed = symmetry & 1 > 0
        back = len(self._steps) - 1 - self._steps
        terms = []
        for flips, is_row in ((symmetry & 2 > 0, ~transposed), (symmetry & 4 > 0, transposed)):  # along rows, columns
            position = torch.where(is_row, top, left) + torch.where(flips, back, self._steps)
            limit = torch.where(is_row, height, width)
            step = torch.where(is_row, width, 1)
            terms.append((torch.minimum(position, limit - 1) * step, position < limit))
        (rows, rows_inside), (columns, columns_inside) = terms
        return (first + rows)[:, :, None] + columns[:, None, :], rows_inside, columns_inside

    def _turn_directions(self, values: Tensor, symmetry: Tensor) -> None:
        """Apply each crop's symmetry to the components of directions, in place. Rows run south: transposing maps
        (north, east) to (−east, −north), flipping rows negates the northward, flipping columns the eastward component.
        """
        for north, east in self._pairs:
            northward, eastward = values[..., north].clone(), values[..., east].clone()
            transposed = symmetry & 1 > 0
            values[..., north] = torch.where(transposed, -eastward, northward) * (1 - (symmetry & 2))
            values[..., east] = torch.where(transposed, -northward, eastward) * (1 - (symmetry & 4) // 2)
