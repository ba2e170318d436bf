"""Combining members: the weighted mean of their probabilities, calibrated and cut at a threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landslide.ensembles.calibration import Calibration
from landslide.ensembles.predictions import Library, PredictionBlock, TruthPart, single
from landslide.ensembles.scale import Scale, bounded, inverse_link, link
from landslide.metrics import ranking
from landslide.metrics.pixel import Floats

CHUNK_PIXELS = 2**12  # with 90 members 1.5 MB of float32, which fits into the cache


@dataclass(frozen=True)
class Combiner:
    """The weighted mean of members on a scale, then calibrated; a pixel is mapped if it is above the threshold.

    `weights` (member,) are in the order of a library's members and need not sum to 1.
    """

    weights: Floats
    scale: Scale = "probability"
    calibration: Calibration | None = None
    threshold: float = 0.5


@dataclass(frozen=True)
class ScenePrediction:
    """The predictions of several combiners for a scene.

    `probabilities` (combiner, y, x) are float32, NaN where a pixel is not `valid`; `valid` and `truth` are (y, x).
    """

    part: TruthPart
    probabilities: NDArray[np.float32]
    valid: NDArray[np.bool_]
    truth: NDArray[np.bool_]

    @classmethod
    def blank(cls, part: TruthPart, combiners: int) -> ScenePrediction:
        """A scene without any valid pixel."""
        shape = (part.height, part.width)
        return cls(part, np.full((combiners, *shape), np.nan, "float32"), np.zeros(shape, bool), np.zeros(shape, bool))


def scene_predictions(library: Library, case: str, combiners: Sequence[Combiner]) -> Iterator[ScenePrediction]:
    """Predict the scenes of a case, one after the other, with several combiners."""
    weights, scales = np.stack([combiner.weights for combiner in combiners]), [one.scale for one in combiners]

    def predict(block: PredictionBlock) -> tuple[PredictionBlock, NDArray[np.float32]]:
        values = weighted_means(block, weights, scales)
        for row, combiner in zip(values, combiners, strict=True):
            if combiner.calibration is not None:
                row[:] = combiner.calibration.apply(row)
        return block, values

    pending = library.parts(case)
    scene = ScenePrediction.blank(pending.pop(0), len(combiners))
    for block, values in library.each(case, predict):
        while block.part.name != scene.part.name:
            yield scene
            scene = ScenePrediction.blank(pending.pop(0), len(combiners))
        scene.probabilities.reshape(len(combiners), -1)[:, block.pixels] = values
        scene.valid.ravel()[block.pixels] = True
        scene.truth.ravel()[block.pixels] = block.truth
    yield scene
    yield from (ScenePrediction.blank(part, len(combiners)) for part in pending)


Binning = Callable[[NDArray[np.float32]], NDArray[np.int64]]
"""From probabilities to the index of the bin of each, in the same shape."""


def weighted_mean(values: NDArray[np.float32], weights: Floats, scale: Scale) -> NDArray[np.float32]:
    """Means (…, pixel) of values (member, pixel) on a scale under weights (…, member), which need not sum to 1.

    Weights are divided by the largest one before the sum and by their sum after it. With equal weights, a mean equal to
    the threshold is then exact, while for example three times a third of 0.5 could exceed 0.5 by a rounding.
    """
    relative = np.asarray(weights / weights.max(-1, keepdims=True), "float32")
    return bounded(np.asarray((relative @ values) / relative.sum(-1, keepdims=True)), scale)


def weighted_means(block: PredictionBlock, weights: Floats, scales: Sequence[Scale]) -> NDArray[np.float32]:
    """Mean probabilities (combiner, pixel) of a block, under weights (combiner, member), each on its own scale.

    The block is processed in chunks that fit into the cache.
    """
    values = np.empty((len(weights), len(block.pixels)), "float32")
    rows_of = {scale: np.flatnonzero([one == scale for one in scales]) for scale in dict.fromkeys(scales)}
    for start in range(0, len(block.pixels), CHUNK_PIXELS):
        chunk = slice(start, start + CHUNK_PIXELS)
        probabilities = single(block.probabilities[:, chunk])
        for scale, rows in rows_of.items():
            means = weighted_mean(link(probabilities, scale), weights[rows], scale)
            values[rows, chunk] = inverse_link(means, scale)
    return values


def histograms(
    library: Library, weights: Floats, scales: Sequence[Scale],
    bin_of: Binning = ranking.bin_of, bins: int = ranking.BINS,
) -> dict[str, NDArray[np.int64]]:  # fmt: skip
    """Count pixels by truth and mean probability.

    Args:
        library: The predictions of the members.
        weights: Weights (combiner, member).
        scales: The scale of each combiner.
        bin_of: The binning of probabilities.
        bins: The number of bins of `bin_of`.

    Returns:
        Counts (combiner, 2, bin) by case.
    """

    def count(block: PredictionBlock) -> NDArray[np.int64]:
        offset = bins * block.truth
        indices = (bin_of(means) + offset for means in weighted_means(block, weights, scales))
        return np.stack([np.bincount(index, minlength=2 * bins).reshape(2, bins) for index in indices])

    zero = np.zeros((len(weights), 2, bins), "int64")
    return {case: sum(library.each(case, count), zero) for case in library.cases}
