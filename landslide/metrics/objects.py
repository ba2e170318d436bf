"""Scores by landslide instead of by pixel: which landslides are detected, which mapped patches are false alarms.

A landslide is an 8-connected patch of true pixels, a mapped patch an 8-connected patch of mapped pixels, as in the
map's polygons. Only valid pixels (observed, not ignored) count. A landslide is detected if at least a given share of
its pixels is mapped; a mapped patch is a false alarm if less than that share of its pixels is landslide.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import ndimage, special

from landslide.metrics.pixel import Floats

SHARES = (0.2, 0.5)
"""Minimum shares for detection: 0.2 to locate a landslide, 0.5 to count it and estimate its area."""

EDGES_M2 = (1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0)
"""Edges of the size classes, half a decade apart: areas span four decades with a power-law tail (Malamud et al. 2004),
so classes of equal width would put nearly every landslide into one. 1,000 m² is ten pixels of 10 m."""

MIN_LANDSLIDES = 10  # to estimate the area of half detection
RIDGE, MAX_ITERATIONS, MAX_STEP = 0.01, 60, 2.0  # of the logistic regression
CORNERS = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Objects:
    """The landslides and mapped patches of one or more scenes; all arrays are float64 (object,).

    `true_m2` is the area of each landslide in m², `found_share` the share of it that is mapped; `mapped_m2` is the area
    of each mapped patch in m², `true_share` the share of it that is landslide.
    """

    true_m2: Floats
    found_share: Floats
    mapped_m2: Floats
    true_share: Floats

    @classmethod
    def of(
        cls, mapped: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_], pixel_m2: float
    ) -> Objects:
        """Measure the objects of one scene.

        Args:
            mapped: Pixels (y, x) mapped as landslide.
            truth: Pixels (y, x) that are landslide.
            valid: Pixels (y, x) that count.
            pixel_m2: Area of a pixel in m².
        """
        return cls(*_patches(truth & valid, mapped, pixel_m2), *_patches(mapped & valid, truth, pixel_m2))

    @classmethod
    def pooled(cls, scenes: Iterable[Objects]) -> Objects:
        """The objects of several scenes together; a landslide that extends over two scenes counts in both."""
        columns = zip(*(vars(scene).values() for scene in scenes), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def found(self, share: float) -> NDArray[np.bool_]:
        """Bool (landslide,): whether at least `share` of it is mapped."""
        return np.asarray(self.found_share >= share)

    def false_alarms(self, share: float) -> NDArray[np.bool_]:
        """Bool (patch,): whether less than `share` of it is landslide."""
        return np.asarray(self.true_share < share)

    def units(self, share: float) -> Floats:
        """Units (object, 4) for the bootstrap, one row for each landslide and mapped patch.

        Columns: detected landslides, false alarms, missed landslides, correct patches. Of their sums, `pixel.recall`
        is the detection rate, and column 1 / (column 1 + column 3) is the false alarm ratio.
        """
        found, false = self.found(share), self.false_alarms(share)
        return np.concatenate([np.eye(4)[np.where(found, 0, 2)], np.eye(4)[np.where(false, 1, 3)]])


def _patches(mask: NDArray[np.bool_], other: NDArray[np.bool_], pixel_m2: float) -> tuple[Floats, Floats]:
    """Area in m² of each 8-connected patch of a mask (y, x), and the share of its pixels that are in the other mask."""
    labels, number = ndimage.label(mask, CORNERS)
    pixels = np.bincount(labels[mask], minlength=number + 1)[1:]
    common = np.bincount(labels[mask & other], minlength=number + 1)[1:]
    return np.asarray(pixels * pixel_m2, "float64"), common / pixels


class SizeClass(BaseModel):
    """Landslides with `low_m2` ≤ area < `high_m2` (None: no upper limit) and how many of them are detected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low_m2: float
    high_m2: float | None
    landslides: int
    found: int
    detection_rate: float | None


class ObjectScores(BaseModel):
    """Object scores at one minimum share. A score that cannot be computed is None, not 0.

    `false_alarm_ratio` is false alarms over mapped patches, `area_bias` is mapped over true area, `half_detected_m2` is
    the area at which half of the landslides are detected.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float
    landslides: int
    found: int
    detection_rate: float | None
    patches: int
    false_alarms: int
    false_alarm_ratio: float | None
    half_detected_m2: float | None
    area_bias: float | None
    sizes: tuple[SizeClass, ...]


def object_scores(objects: Objects, share: float) -> ObjectScores:
    """Score the objects; a landslide is detected if at least `share` of it is mapped."""
    found, false = objects.found(share), objects.false_alarms(share)
    half = float(half_detected(objects.true_m2, found.astype("float64"), np.ones(found.shape)))
    return ObjectScores(
        share=share,
        landslides=found.size,
        found=int(found.sum()),
        detection_rate=_mean(found),
        patches=false.size,
        false_alarms=int(false.sum()),
        false_alarm_ratio=_mean(false),
        half_detected_m2=half if np.isfinite(half) else None,
        area_bias=float(objects.mapped_m2.sum() / objects.true_m2.sum()) if objects.true_m2.size else None,
        sizes=_by_size(objects.true_m2, found),
    )


def _mean(flags: NDArray[np.bool_]) -> float | None:
    return float(flags.mean()) if flags.size else None


def _by_size(areas: Floats, found: NDArray[np.bool_]) -> tuple[SizeClass, ...]:
    size = np.digitize(areas, EDGES_M2)
    return tuple(
        SizeClass(
            low_m2=low, high_m2=high, landslides=int((size == index).sum()), found=int(found[size == index].sum()),
            detection_rate=_mean(found[size == index]),
        )
        for index, (low, high) in enumerate(zip((0.0, *EDGES_M2), (*EDGES_M2, None), strict=True))
    )  # fmt: skip


def half_detected(areas: Floats, found: Floats, number: Floats) -> Floats:
    """The area in m² at which half of the landslides are detected, float64 (…), NaN where it cannot be estimated.

    It is where a logistic regression of detection on log area crosses 1/2. It cannot be estimated from fewer than 10
    landslides, if all or none are detected, if larger landslides are not detected more often, or if 1/2 is outside the
    range of areas.

    Args:
        areas: Areas (n,) in m².
        found: Number (…, n) of detected landslides of each area.
        number: Number (…, n) of landslides of each area.
    """
    unknown = np.full(number.shape[:-1], np.nan)
    if np.unique(areas).size < 2:
        return unknown
    log_area = np.log10(areas)
    centre, spread = log_area.mean(), log_area.std()
    intercept, slope = np.moveaxis(logistic((log_area - centre) / spread, found, number), -1, 0)
    detected, total = found.sum(-1), number.sum(-1)
    defined = (total >= MIN_LANDSLIDES) & (detected > 0) & (detected < total) & (slope > 0)
    half = centre - spread * np.divide(intercept, slope, out=unknown, where=defined)
    in_range = (half >= log_area.min()) & (half <= log_area.max())
    return np.asarray(np.where(in_range, 10**half, np.nan))


def logistic(x: Floats, found: Floats, number: Floats) -> Floats:
    """Intercept and slope (…, 2) of a logistic regression of `found` (…, n) out of `number` (…, n) on x (n,).

    `x` should be standardised. Newton's method on the binomial likelihood (iteratively reweighted least squares,
    McCullagh and Nelder 1989, section 2.5). A ridge penalty of 0.01, the weight of 1/25 of a landslide, keeps the
    result finite if one area separates detected from missed landslides. Steps are limited to a length of 2, so that the
    first ones do not overshoot.
    """
    beta = np.zeros((*number.shape[:-1], 2))
    for _ in range(MAX_ITERATIONS):
        probability = special.expit(beta[..., :1] + beta[..., 1:] * x)
        residual, weight = found - number * probability, number * probability * (1 - probability)
        a, b, c = weight.sum(-1) + RIDGE, weight @ x, weight @ x**2 + RIDGE  # the Hessian [[a, b], [b, c]]
        gradient_0, gradient_1 = residual.sum(-1) - RIDGE * beta[..., 0], residual @ x - RIDGE * beta[..., 1]
        step = np.stack([c * gradient_0 - b * gradient_1, a * gradient_1 - b * gradient_0], -1)
        step = step / (a * c - b * b)[..., None]
        length = np.linalg.norm(step, axis=-1, keepdims=True)
        beta += step * np.minimum(1, MAX_STEP / np.maximum(length, MAX_STEP))
        if length.max(initial=0) < 1e-9:
            break
    return beta
