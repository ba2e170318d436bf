"""Votes: how members' probabilities become one probability, and where that is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landslide.ensembles.calibration import Calibration
from landslide.ensembles.predictions import Library, PredictionBlock, TruthPart, single
from landslide.ensembles.scale import Scale, bounded, link, unlink
from landslide.metrics import ranking
from landslide.metrics.pixel import Floats


@dataclass(frozen=True)
class Combiner:
    """The mean under weights (member,), in a library's order, on a scale; calibrated; mapped where above the threshold.

    Weights need not sum to 1.
    """

    weights: Floats
    scale: Scale = "probability"
    calibration: Calibration | None = None
    threshold: float = 0.5


@dataclass(frozen=True)
class ScenePrediction:
    """A scene as several votes see it: `probabilities` (vote, y, x) float32, NaN where nothing is counted; `valid` and
    `truth` (y, x).
    """

    part: TruthPart
    probabilities: NDArray[np.float32]
    valid: NDArray[np.bool_]
    truth: NDArray[np.bool_]

    @classmethod
    def blank(cls, part: TruthPart, votes: int) -> ScenePrediction:
        """Nothing counted yet."""
        shape = (part.height, part.width)
        return cls(part, np.full((votes, *shape), np.nan, "float32"), np.zeros(shape, bool), np.zeros(shape, bool))


def scene_predictions(library: Library, case: str, votes: Sequence[Combiner]) -> Iterator[ScenePrediction]:
    """The scenes of a case, one after the other."""
    weights, scales = np.stack([vote.weights for vote in votes]), [vote.scale for vote in votes]

    def work(block: PredictionBlock) -> tuple[PredictionBlock, NDArray[np.float32]]:
        values = means(block, weights, scales)
        for row, vote in zip(values, votes, strict=True):
            if vote.calibration is not None:
                row[:] = vote.calibration.apply(row)
        return block, values

    pending = library.parts(case)
    picture = ScenePrediction.blank(pending.pop(0), len(votes))
    for block, values in library.each(case, work):
        while block.part.name != picture.part.name:
            yield picture
            picture = ScenePrediction.blank(pending.pop(0), len(votes))
        picture.probabilities.reshape(len(votes), -1)[:, block.pixels] = values
        picture.valid.ravel()[block.pixels] = True
        picture.truth.ravel()[block.pixels] = block.truth
    yield picture
    yield from (ScenePrediction.blank(part, len(votes)) for part in pending)


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


def means(block: PredictionBlock, weights: Floats, scales: Sequence[Scale]) -> NDArray[np.float32]:
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

    def binned(block: PredictionBlock) -> NDArray[np.int64]:
        offset = bins * block.truth
        places = (bin_of(mean) + offset for mean in means(block, weights, scales))
        return np.stack([np.bincount(place, minlength=2 * bins).reshape(2, bins) for place in places])

    nothing = np.zeros((len(weights), 2, bins), "int64")
    return {case: sum(library.each(case, binned), nothing) for case in library.cases}
