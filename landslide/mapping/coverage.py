"""How much of the area of interest was seen: what a map must say before it says anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from landslide.datasets.stack import COUNT_UNKNOWN, SEEN
from landslide.geo.grid import aoi_mask, blocks
from landslide.geo.raster import BLOCK_SIDE, Reader
from landslide.mapping.summary import PART

if TYPE_CHECKING:
    from pathlib import Path

    from landslide.datasets.stack import Stack


@dataclass(frozen=True)
class Coverage:
    """Counts of pixels: of the area of interest, of those a map covers, and per layer of `SEEN` those seen at least
    once and those where that is known.
    """

    inside: int
    observed: int
    seen: Mapping[str, int]
    known: Mapping[str, int]

    @property
    def shares(self) -> dict[str, float | None]:
        """Share of the area of interest seen per sensor and window; None where the source cannot know."""
        return {name: self.seen[name] / self.inside if self.known[name] else None for name in SEEN}


def measure(stack: Stack, probability: Path) -> Coverage:
    """Count over a stack and its map, block by block."""
    counts: dict[str, Any] = {"inside": 0, "observed": 0}
    seen, known = dict.fromkeys(SEEN, 0), dict.fromkeys(SEEN, 0)
    with Reader(probability) as reader, stack.seen(PART) as times:
        for roi in blocks(reader.shape, BLOCK_SIDE):
            within = aoi_mask(stack.info.case, reader.geobox[roi])
            counts["inside"] += int(within.sum())
            counts["observed"] += int((np.isfinite(reader.read(["probability"], roi)[0]) & within).sum())
            for name, plane in zip(SEEN, times.read(SEEN, roi), strict=True):
                sure = within & (plane != COUNT_UNKNOWN)
                known[name] += int(sure.sum())
                seen[name] += int((sure & (plane > 0)).sum())
    return Coverage(counts["inside"], counts["observed"], seen, known)
