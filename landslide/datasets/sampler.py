"""Random crops of the training cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from landslide.datasets.training_store import SplitArrays

MAX_TRIES = 20  # for a crop without landslides; then the last one is used


@dataclass(frozen=True)
class Sampler:
    """Draws crops around landslide pixels, and a share `background` of crops without landslides."""

    group: SplitArrays
    crop: int
    background: float = 0.0

    def draw(self, count: int, seed: Sequence[int]) -> NDArray[np.int64]:
        """Draw crops: part, first row, first column and symmetry of each, (count, 4). Deterministic for a seed.

        A crop lies within its part, or starts at 0 and exceeds a part that is smaller. The symmetry is one of eight:
        bit 0 transposes, then bit 1 flips the rows, then bit 2 the columns.
        """
        random = np.random.default_rng(seed)
        return np.array([self._draw(random) for _ in range(count)], "int64")

    @cached_property
    def _anchored(self) -> list[int]:
        return [index for index, part in enumerate(self.group.parts) if part.anchors]

    def _draw(self, random: np.random.Generator) -> tuple[int, int, int, int]:
        draw = self._empty_crop if random.random() < self.background else self._landslide_crop
        return *draw(random), int(random.integers(8))

    def _landslide_crop(self, random: np.random.Generator) -> tuple[int, int, int]:
        index = self._anchored[random.integers(len(self._anchored))]
        anchor = self.group.first_anchor[index] + random.integers(self.group.parts[index].anchors)
        row, column = self.group.anchors[anchor].tolist()
        return self._around(index, row, column)

    def _empty_crop(self, random: np.random.Generator) -> tuple[int, int, int]:
        for _ in range(MAX_TRIES):
            index = int(random.integers(len(self.group.parts)))
            part = self.group.parts[index]
            drawn = self._around(index, int(random.integers(part.height)), int(random.integers(part.width)))
            _, top, left = drawn
            label = self.group.image(self.group.label, index)
            if not (label[top : top + self.crop, left : left + self.crop] == 1).any():
                break
        return drawn

    def _around(self, index: int, row: int, column: int) -> tuple[int, int, int]:
        """A crop centred on a pixel, shifted to stay inside."""
        part = self.group.parts[index]
        return index, self._start(row, part.height), self._start(column, part.width)

    def _start(self, centre: int, length: int) -> int:
        return int(min(max(centre - self.crop // 2, 0), max(length - self.crop, 0)))
