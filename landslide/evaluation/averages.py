"""Weighted averages of members, several at a time, and histograms of them, from stored predictions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from landslide.evaluation import ranking
from landslide.evaluation.library import Block, Library, single
from landslide.evaluation.scales import Scale, bounded, link, unlink
from landslide.evaluation.scores import Floats

PIECE = 2**12  # pixels: with 90 members 1.5 MB

Binning = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""From probabilities to the index of the bin of each, in the shape given."""


def mean(values: NDArray[np.float32], weights: Floats, scale: Scale) -> NDArray[np.float32]:
    """(…, pixel) of values (member, pixel) on a scale under weights (…, member), which need not sum to 1.

    The heaviest weight is taken as 1 and the sum divided at last: of equal weights, a mean that is the threshold comes
    out as it, and no third of 0.5 makes it more.
    """
    relative = np.asarray(weights / weights.max(-1, keepdims=True), "float32")
    return bounded(np.asarray((relative @ values) / relative.sum(-1, keepdims=True)), scale)


def means(block: Block, weights: Floats, scales: Sequence[Scale]) -> NDArray[np.float32]:
    """(way, pixel) mean probabilities of a block, of weights (way, member) on the scale of each way, in pieces that
    stay in the cache.
    """
    values = np.empty((len(weights), len(block.pixels)), "float32")
    rows = {scale: np.flatnonzero([one == scale for one in scales]) for scale in dict.fromkeys(scales)}
    for start in range(0, len(block.pixels), PIECE):
        part = slice(start, start + PIECE)
        probabilities = single(block.probabilities[:, part])
        for scale, ways in rows.items():
            values[ways, part] = unlink(mean(link(probabilities, scale), weights[ways], scale), scale)
    return values


def histograms(
    library: Library, weights: Floats, scales: Sequence[Scale],
    bin_of: Binning = ranking.bin_of, bins: int = ranking.BINS,
) -> dict[str, NDArray[np.int64]]:  # fmt: skip
    """By case, pixels (way, 2, bin) by truth and mean probability: of `ranking`, or of another binning."""

    def binned(block: Block) -> NDArray[np.int64]:
        offset = bins * block.truth
        places = (bin_of(mean) + offset for mean in means(block, weights, scales))
        return np.stack([np.bincount(place, minlength=2 * bins).reshape(2, bins) for place in places])

    nothing = np.zeros((len(weights), 2, bins), "int64")
    return {case: sum(library.each(case, binned), nothing) for case in library.cases}
