"""Counts of every size of an ensemble, and of every member alone, from stored predictions in one pass.

Members are taken in the library's order, best first. A block's running sum of float32 stays in the processor's cache
and is compared, after each member, with the greatest sum whose mean is not above the threshold, so nothing is divided.
The counts are exactly those of `np.mean(probabilities[:k], axis=0) > threshold` in float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landslide.ensembles.predictions import BLOCK_PIXELS, Library, PredictionBlock, single

Table = NDArray[np.int64]
"""(row, 4): pixels in the order tp, fp, fn, tn."""


@dataclass(frozen=True)
class SizeCounts:
    """Counts by case: row k - 1 of `curve` is the mean of the first k members, row i of `alone` is member i."""

    curve: Mapping[str, Table]
    alone: Mapping[str, Table]


def all_sizes(library: Library, threshold: float, size: int = BLOCK_PIXELS) -> SizeCounts:
    """Counts of `mean > threshold` and `probability > threshold`; `size` is the number of pixels of a block."""
    single_threshold = np.float32(threshold)
    bounds = [greatest_sum(k, single_threshold) for k in range(1, len(library.members) + 1)]
    found = {
        case: sum(
            library.each(case, lambda block: _mapped(block, single_threshold, bounds), size),
            np.zeros((2, len(bounds), 2), "int64"),
        )
        for case in library.cases
    }
    tables = {case: with_negatives(mapped, library, case) for case, mapped in found.items()}
    return SizeCounts(
        {case: table[0] for case, table in tables.items()}, {case: table[1] for case, table in tables.items()}
    )


def greatest_sum(k: int, threshold: np.float32) -> np.float32:
    """The greatest float32 sum with sum / k ≤ threshold, in float32."""
    count, up = np.float32(k), np.float32(np.inf)
    bound = threshold * count
    while bound / count > threshold:
        bound = np.nextafter(bound, -up)
    while np.nextafter(bound, up) / count <= threshold:
        bound = np.nextafter(bound, up)
    return np.float32(bound)


def _mapped(block: PredictionBlock, threshold: np.float32, bounds: list[np.float32]) -> NDArray[np.int64]:
    """(2, member, 2): of the curve and of each member alone, true and false positives."""
    pixels = len(block.pixels)
    value, total, above = np.empty(pixels, "float32"), np.zeros(pixels, "float32"), np.empty(pixels, bool)
    found = np.empty((2, len(bounds), 2), "int64")
    for index, (row, bound) in enumerate(zip(block.probabilities, bounds, strict=True)):
        np.add(total, single(row, value), out=total)
        for kind, (values, least) in enumerate(((total, bound), (value, threshold))):
            np.greater(values, least, out=above)
            found[kind, index] = np.count_nonzero(above[: block.positives]), np.count_nonzero(above[block.positives :])
    return found


def with_negatives(mapped: NDArray[np.int64], library: Library, case: str) -> Table:
    """Counts (…, 4) of a whole case, from its true and false positives (…, 2)."""
    positives = sum(part.positives for part in library.parts(case))
    pixels = sum(part.pixels for part in library.parts(case))
    tp, fp = np.moveaxis(mapped, -1, 0)
    return np.stack([tp, fp, positives - tp, pixels - positives - fp], -1)
