"""Votes: how members' probabilities become one probability, and where that is cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from landslide.evaluation.averages import means
from landslide.evaluation.calibration import Calibration
from landslide.evaluation.library import Block, Library, Part
from landslide.evaluation.scales import Scale
from landslide.evaluation.scores import Floats


@dataclass(frozen=True)
class Vote:
    """The mean under weights (member,), in a library's order, on a scale; calibrated; mapped where above the threshold.

    Weights need not sum to 1.
    """

    weights: Floats
    scale: Scale = "probability"
    calibration: Calibration | None = None
    threshold: float = 0.5


@dataclass(frozen=True)
class Picture:
    """A scene as several votes see it: `probabilities` (vote, y, x) float32, NaN where nothing is counted; `valid` and
    `truth` (y, x).
    """

    part: Part
    probabilities: NDArray[np.float32]
    valid: NDArray[np.bool_]
    truth: NDArray[np.bool_]

    @classmethod
    def blank(cls, part: Part, votes: int) -> Picture:
        """Nothing counted yet."""
        shape = (part.height, part.width)
        return cls(part, np.full((votes, *shape), np.nan, "float32"), np.zeros(shape, bool), np.zeros(shape, bool))


def pictures(library: Library, case: str, votes: Sequence[Vote]) -> Iterator[Picture]:
    """The scenes of a case, one after the other."""
    weights, scales = np.stack([vote.weights for vote in votes]), [vote.scale for vote in votes]

    def work(block: Block) -> tuple[Block, NDArray[np.float32]]:
        values = means(block, weights, scales)
        for row, vote in zip(values, votes, strict=True):
            if vote.calibration is not None:
                row[:] = vote.calibration.apply(row)
        return block, values

    pending = library.parts(case)
    picture = Picture.blank(pending.pop(0), len(votes))
    for block, values in library.each(case, work):
        while block.part.name != picture.part.name:
            yield picture
            picture = Picture.blank(pending.pop(0), len(votes))
        picture.probabilities.reshape(len(votes), -1)[:, block.pixels] = values
        picture.valid.ravel()[block.pixels] = True
        picture.truth.ravel()[block.pixels] = block.truth
    yield picture
    yield from (Picture.blank(part, len(votes)) for part in pending)
