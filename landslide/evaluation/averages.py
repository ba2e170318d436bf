"""Weighted averages of members, several at a time: counts at a threshold, and histograms, from stored predictions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from landslide.evaluation import ranking
from landslide.evaluation.library import Block, Library, single
from landslide.evaluation.scores import Floats
from landslide.evaluation.sizes import Table, completed

PIECE = 2**12  # pixels: with 90 members 1.5 MB

Binning = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""From probabilities to the index of the bin of each, in the shape given."""


def mean(probabilities: NDArray[np.float32], weights: Floats) -> NDArray[np.float32]:
    """(…, pixel) of (member, pixel) under weights (…, member), which need not sum to 1.

    The heaviest weight is taken as 1 and the sum divided at last: of equal weights, a mean that is the threshold comes
    out as it, and no third of 0.5 makes it more.
    """
    relative = np.asarray(weights / weights.max(-1, keepdims=True), "float32")
    return np.asarray((relative @ probabilities) / relative.sum(-1, keepdims=True))


def means(block: Block, weights: Floats) -> NDArray[np.float32]:
    """(way, pixel) `mean` of a block under weights (way, member), in pieces that stay in the cache."""
    values = np.empty((len(weights), len(block.pixels)), "float32")
    for start in range(0, len(block.pixels), PIECE):
        part = np.s_[:, start : start + PIECE]
        values[part] = mean(single(block.probabilities[part]), weights)
    return values


def counts(library: Library, weights: Floats, threshold: float) -> dict[str, Table]:
    """By case, counts (way, 4) of `mean > threshold`, of weights (way, member).

    A product of matrices adds in an order of its own: a mean within rounding (10⁻⁷) of the threshold may fall on the
    other side than in `all_sizes`.
    """

    def mapped(block: Block) -> NDArray[np.int64]:
        above = means(block, weights) > np.float32(threshold)
        sides = above[:, : block.positives], above[:, block.positives :]
        return np.stack([np.count_nonzero(side, axis=1) for side in sides], -1)

    nothing = np.zeros((len(weights), 2), "int64")
    return {case: completed(sum(library.each(case, mapped), nothing), library, case) for case in library.cases}


def histograms(
    library: Library, weights: Floats, bin_of: Binning = ranking.bin_of, bins: int = ranking.BINS
) -> dict[str, NDArray[np.int64]]:
    """By case, pixels (way, 2, bin) by truth and mean probability: of `ranking`, or of another binning."""

    def binned(block: Block) -> NDArray[np.int64]:
        offset = bins * block.truth
        places = (bin_of(mean) + offset for mean in means(block, weights))
        return np.stack([np.bincount(place, minlength=2 * bins).reshape(2, bins) for place in places])

    nothing = np.zeros((len(weights), 2, bins), "int64")
    return {case: sum(library.each(case, binned), nothing) for case in library.cases}
