"""Scores by landslide rather than by pixel: which were found, which mapped patches are false alarms.

A landslide is a patch of true pixels that touch at an edge or a corner, and so is a mapped patch, as in the map's
outlines; only valid pixels (observed, and not marked to ignore) belong to either. It is found where at least a share
of its valid pixels is mapped; a mapped patch is a false alarm where less than that share of it lies on truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy import ndimage, special

from landslide.metrics.pixel import Floats

SHARES = (0.2, 0.5)
"""Touched by a fifth, enough to send someone there; covered by half, enough to count it and measure its area."""

EDGES_M2 = (1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0)
"""Half a decade each, because areas span four decades with a power-law tail (Malamud et al. 2004): equal steps of area
would put nearly every landslide into one class. Below 1,000 m² a landslide has fewer than ten pixels of 10 m."""

FEWEST_LANDSLIDES = 10
RIDGE, STEPS, LONGEST = 0.01, 60, 2.0
CORNERS = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Objects:
    """Every landslide and every mapped patch of one or more scenes, float64, one value each.

    `true_m2` areas of landslides, `found_share` the share of each that is mapped; `mapped_m2` areas of mapped patches,
    `true_share` the share of each that is landslide. Areas in m².
    """

    true_m2: Floats
    found_share: Floats
    mapped_m2: Floats
    true_share: Floats

    @classmethod
    def of(
        cls, mapped: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_], pixel_m2: float
    ) -> Objects:
        """From (y, x) arrays of one scene; `pixel_m2` is the area of a pixel in m²."""
        return cls(*_patches(truth & valid, mapped, pixel_m2), *_patches(mapped & valid, truth, pixel_m2))

    @classmethod
    def pooled(cls, scenes: Iterable[Objects]) -> Objects:
        """The objects of several scenes as one list; a landslide across two scenes counts in both."""
        columns = zip(*(vars(scene).values() for scene in scenes), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def found(self, share: float) -> NDArray[np.bool_]:
        """(landslide,): those of which at least `share` is mapped."""
        return np.asarray(self.found_share >= share)

    def false_alarms(self, share: float) -> NDArray[np.bool_]:
        """(patch,): those of which less than `share` is landslide."""
        return np.asarray(self.true_share < share)

    def units(self, share: float) -> Floats:
        """(object, 4) to resample, one row a landslide or patch: landslide found, a false alarm, landslide missed, a
        true alarm. Summed over rows, recall is the detection rate, and the false alarm ratio is column 1 over 1 + 3."""
        found, false = self.found(share), self.false_alarms(share)
        return np.concatenate([np.eye(4)[np.where(found, 0, 2)], np.eye(4)[np.where(false, 1, 3)]])


def _patches(mask: NDArray[np.bool_], other: NDArray[np.bool_], pixel_m2: float) -> tuple[Floats, Floats]:
    """Area in m² of each 8-connected patch of a mask (y, x), and the share of it that is in the other."""
    labels, number = ndimage.label(mask, CORNERS)
    pixels = np.bincount(labels[mask], minlength=number + 1)[1:]
    common = np.bincount(labels[mask & other], minlength=number + 1)[1:]
    return np.asarray(pixels * pixel_m2, "float64"), common / pixels


class SizeClass(BaseModel):
    """Landslides of `low_m2` ≤ area < `high_m2` (None: no upper edge), how many there are and how many were found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low_m2: float
    high_m2: float | None
    landslides: int
    found: int
    detection_rate: float | None


class ObjectScores(BaseModel):
    """What is said of the objects at one share. What cannot be told is None, never 0.

    `false_alarm_ratio` is false alarms over mapped patches, `area_bias` mapped over true area, `half_detected_m2` the
    area of which half of the landslides are found.
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
    """Score the objects, a landslide being found where at least `share` of it is mapped."""
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
    """The area in m² of which half of the landslides are found, float64 (…), NaN where it cannot be told.

    `areas` (n,) in m²; `number` (…, n) landslides of each area, `found` (…, n) how many of them were found. It is where
    a logistic regression of found on log area passes 1/2. It cannot be told from fewer than 10 landslides, where all or
    none were found, where the larger are not found more often, or where 1/2 lies outside the areas there are.
    """
    unknown = np.full(number.shape[:-1], np.nan)
    if np.unique(areas).size < 2:
        return unknown
    place = np.log10(areas)
    centre, spread = place.mean(), place.std()
    intercept, slope = np.moveaxis(logistic((place - centre) / spread, found, number), -1, 0)
    all_found, all_there = found.sum(-1), number.sum(-1)
    told = (all_there >= FEWEST_LANDSLIDES) & (all_found > 0) & (all_found < all_there) & (slope > 0)
    half = centre - spread * np.divide(intercept, slope, out=unknown, where=told)
    inside = (half >= place.min()) & (half <= place.max())
    return np.asarray(np.where(inside, 10**half, np.nan))


def logistic(x: Floats, found: Floats, number: Floats) -> Floats:
    """Intercept and slope (…, 2) of a logistic regression of `found` (…, n) of `number` (…, n) on x (n,), about 0 ± 1.

    Newton's steps on the binomial likelihood (iteratively reweighted least squares, McCullagh and Nelder 1989, 2.5). A
    ridge of 0.01 keeps it finite where one size parts the found from the missed: it weighs a 25th of
    one landslide. No step is longer than 2, so that the first ones do not overshoot.
    """
    beta = np.zeros((*number.shape[:-1], 2))
    for _ in range(STEPS):
        chance = special.expit(beta[..., :1] + beta[..., 1:] * x)
        rest, weight = found - number * chance, number * chance * (1 - chance)
        a, b, c = weight.sum(-1) + RIDGE, weight @ x, weight @ x**2 + RIDGE
        up, across = rest.sum(-1) - RIDGE * beta[..., 0], rest @ x - RIDGE * beta[..., 1]
        step = np.stack([c * up - b * across, a * across - b * up], -1) / (a * c - b * b)[..., None]
        length = np.linalg.norm(step, axis=-1, keepdims=True)
        beta += step * np.minimum(1, LONGEST / np.maximum(length, LONGEST))
        if length.max(initial=0) < 1e-9:
            break
    return beta


def size_units(events: Mapping[str, Objects], share: float) -> tuple[Floats, dict[str, Floats]]:
    """Areas (n,) in m² there are, and per event (landslide, 2, n) to resample: found, and there, one row a landslide.

    `lambda sums: half_detected(areas, sums[..., 0, :], sums[..., 1, :])` scores their sums.
    """
    areas = np.unique(np.concatenate([objects.true_m2 for objects in events.values()]))
    units = {}
    for name, objects in events.items():
        there = (objects.true_m2[:, None] == areas).astype("float64")
        units[name] = np.stack([there * objects.found(share)[:, None], there], 1)
    return areas, units
