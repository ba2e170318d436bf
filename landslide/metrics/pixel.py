"""Exact pixel counts and the scores computed from them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


class Counts(BaseModel):
    """True and false positives and negatives, in pixels. A score whose denominator is zero is None, not 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0

    @classmethod
    def of(cls, predicted: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]) -> Counts:
        """Count the pixels that are `valid`; the three arrays have one shape."""
        positive, true = predicted & valid, truth & valid
        tp = int(np.count_nonzero(positive & true))
        fp, fn = int(np.count_nonzero(positive)) - tp, int(np.count_nonzero(true)) - tp
        return cls(tp=tp, fp=fp, fn=fn, tn=int(np.count_nonzero(valid)) - tp - fp - fn)

    def __add__(self, other: Counts) -> Counts:
        return Counts(tp=self.tp + other.tp, fp=self.fp + other.fp, fn=self.fn + other.fn, tn=self.tn + other.tn)

    @property
    def precision(self) -> float | None:
        """Share of mapped pixels that are landslide (success ratio)."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """Share of landslide pixels that are mapped (probability of detection)."""
        return _ratio(self.tp, self.tp + self.fn)

    @classmethod
    def from_row(cls, row: NDArray[np.integer]) -> Counts:
        """From an array (4,) of tp, fp, fn, tn, the order that the score functions take."""
        return cls(**dict(zip(("tp", "fp", "fn", "tn"), row.tolist(), strict=True)))

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None only if there is no true and no mapped pixel."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def iou(self) -> float | None:
        """Intersection over union of mapped and true pixels."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    @property
    def mcc(self) -> float | None:
        """Matthews correlation coefficient (Matthews 1975)."""
        tp, fp, fn, tn = self.tp, self.fp, self.fn, self.tn
        return _ratio(tp * tn - fp * fn, math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))

    def scores(self) -> dict[str, float | int | None]:
        """Precision, recall, F1, IoU, MCC and the four counts, by name."""
        names = ("precision", "recall", "f1", "iou", "mcc", "tp", "fp", "fn", "tn")
        return {name: getattr(self, name) for name in names}


def total(counts: list[Counts]) -> Counts:
    """The pooled counts."""
    return sum(counts, Counts())


Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""A function of sums of units, float64 (…, k), that returns one score for each (…), NaN where it is undefined."""


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """The quotient of broadcast arrays, float64, NaN where the denominator is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, "float64"), np.asarray(denominator, "float64"))
    return np.asarray(np.divide(top, bottom, out=np.full(bottom.shape, np.nan), where=bottom != 0))


def precision(counts: Floats) -> Floats:
    """Precision of counts (…, 4), in the order tp, fp, fn, tn."""
    tp, fp, _, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp, tp + fp)


def recall(counts: Floats) -> Floats:
    """Recall of counts (…, 4), in the order tp, fp, fn, tn."""
    tp, _, fn, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp, tp + fn)


def f1(counts: Floats) -> Floats:
    """F1 of counts (…, 4), in the order tp, fp, fn, tn."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return ratio(2 * tp, 2 * tp + fp + fn)


def iou(counts: Floats) -> Floats:
    """Intersection over union of counts (…, 4), in the order tp, fp, fn, tn."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp, tp + fp + fn)


def mcc(counts: Floats) -> Floats:
    """Matthews correlation coefficient (Matthews 1975) of counts (…, 4), in the order tp, fp, fn, tn."""
    tp, fp, fn, tn = np.moveaxis(
        np.asarray(counts, "float64"), -1, 0
    )  # products of four counts overflow 64-bit integers
    return ratio(tp * tn - fp * fn, np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn))


def area_bias(counts: Floats) -> Floats:
    """Mapped area over true area, of counts (…, 4) in the order tp, fp, fn, tn. Above 1 the map overestimates."""
    tp, fp, fn, _ = np.moveaxis(counts, -1, 0)
    return ratio(tp + fp, tp + fn)


SCORES: dict[str, Score] = {
    "precision": precision,
    "recall": recall,
    "f1": f1,
    "iou": iou,
    "mcc": mcc,
    "area_bias": area_bias,
}
