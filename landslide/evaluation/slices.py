"""Counts by slices of a scene: where on the ground, and under what view, a map is good or bad.

A list of slices is a list of (label, mask (y, x)) that part the scene: every pixel is in one of them, also where the
band is unknown, so the counts of the slices add up to those of the scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from landslide.evaluation.counts import Counts

Slices = list[tuple[str, NDArray[np.bool_]]]

SLOPES_DEG = (10.0, 20.0, 30.0, 40.0)
LOOKS = (1.0, 2.0, 3.0, 5.0)
DISTANCES_M = (100.0, 300.0, 1000.0)
UNKNOWN = "unknown"


def counts_by_slice(
    slices: Slices, mapped: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]
) -> dict[str, Counts]:
    """Counts of each slice by its label; the arrays are (y, x). A slice without a valid pixel has no score."""
    return {label: Counts.of(mapped, truth, valid & mask) for label, mask in slices}


def by_value(values: NDArray[np.floating], edges: Sequence[float], unit: str) -> Slices:
    """Classes of a band (y, x) between rising edges, each from its lower edge on; NaN is `unknown`."""
    place = np.digitize(values, edges)  # NaN falls into the last class
    known = ~np.isnan(values)
    labels = [f"< {edges[0]:g}{unit}", *(f"{low:g}–{high:g}{unit}" for low, high in pairwise(edges))]
    slices = [(label, known & (place == index)) for index, label in enumerate([*labels, f"≥ {edges[-1]:g}{unit}"])]
    return [*slices, (UNKNOWN, ~known)]


def by_slope(slope: NDArray[np.floating]) -> Slices:
    """Classes of the band `slope`, degrees (y, x): plains and run-outs, then the steps of hillslopes that fail."""
    return by_value(slope, SLOPES_DEG, "°")


def by_illumination(
    slope: NDArray[np.floating], northness: NDArray[np.floating], eastness: NDArray[np.floating],
    azimuth: float, elevation: float,
) -> Slices:  # fmt: skip
    """Slopes by how the sun lights them, from three bands (y, x) of the stack, `slope` in degrees.

    `azimuth` is where the sun stands, clockwise from north, `elevation` its height above the horizon, both in degrees.
    With i the angle of incidence, cos i = cos s sin e + sin s cos e cos(azimuth − aspect) (Horn 1981): what is lit less
    than flat ground is turned away, what is not lit at all shades itself. Shadows cast by other hills are not in it.
    """
    sun, height, steepness = np.radians(azimuth), np.radians(elevation), np.radians(slope)
    towards = np.cos(sun) * northness + np.sin(sun) * eastness
    light = np.cos(steepness) * np.sin(height) + np.sin(steepness) * np.cos(height) * towards
    known = ~np.isnan(light)
    shaded, away = known & (light <= 0), known & (light > 0) & (light < np.sin(height) - 1e-6)  # flat in float32
    return [
        ("in its own shadow", shaded),
        ("turned away from the sun", away),
        ("flat or turned to the sun", known & ~shaded & ~away),
        (UNKNOWN, ~known),
    ]


def by_distance(
    feature: NDArray[np.bool_], pixel_m: float, edges: Sequence[float] = DISTANCES_M, to: str = ""
) -> Slices:
    """Classes of the distance in metres to the nearest pixel of a feature (y, x): a road, a river, the scene's edge.

    Between centres of pixels of `pixel_m` metres; where there is no such feature, everything is far from it. `to` is
    appended to the labels.
    """
    nothing = np.full(feature.shape, np.inf)
    distance = ndimage.distance_transform_edt(~feature, pixel_m) if feature.any() else nothing
    return by_value(distance, edges, f" m{to}")


def by_looks(looks: NDArray[np.integer], unknown: int) -> Slices:
    """Classes of how often a pixel was seen (y, x), such as `s2_post` of `seen.tif`; `unknown` is its nodata.

    Few clear looks are what clouds leave, and a median of few keeps what their masks overlook.
    """
    values = np.where(looks == unknown, np.nan, looks.astype("float32"))
    classes = by_value(values, LOOKS, "")
    names = ["not seen", "1 look", "2 looks", "3–4 looks", "≥ 5 looks", UNKNOWN]
    return [(name, mask) for name, (_, mask) in zip(names, classes, strict=True)]
