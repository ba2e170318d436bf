"""Counts by slices of a scene: where on the ground, and under what view, a map is good or bad.

A list of slices is a list of (label, mask (y, x)) that part the scene: every pixel is in one of them, also where the
band is unknown, so the counts of the slices add up to those of the scene.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from landslide.metrics.pixel import Counts

Slices = list[tuple[str, NDArray[np.bool_]]]

SLOPES_DEG = (10.0, 20.0, 30.0, 40.0)
LOOKS = (1.0, 2.0, 3.0, 5.0)
DISTANCES_M = (100.0, 300.0, 1000.0)
LEVEL_DEG = 10.0  # in range: as much as the first class of slope
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


def by_look(
    slope: NDArray[np.floating], northness: NDArray[np.floating], eastness: NDArray[np.floating], azimuth: float
) -> Slices:
    """Slopes by how they lie to a radar that looks towards `azimuth`, degrees clockwise from north; bands (y, x) of the
    stack, `slope` in degrees.

    By the slope in range, tan a = tan s cos(azimuth + 180° − aspect) (Vollrath et al. 2020, eq. 4): 10° and more
    towards the radar, where ground is foreshortened and laid over; as much away, where it is seen at a grazing angle or
    not at all.
    """
    look = np.radians(azimuth)
    rise = -np.tan(np.radians(slope)) * (np.cos(look) * northness + np.sin(look) * eastness)
    known, limit = ~np.isnan(rise), np.tan(np.radians(LEVEL_DEG))
    facing, away = known & (rise >= limit), known & (rise <= -limit)
    return [
        ("facing the radar", facing),
        ("facing away from the radar", away),
        ("flat or across the look", known & ~facing & ~away),
        (UNKNOWN, ~known),
    ]


def by_cover(cover: NDArray[np.uint8], names: Mapping[int, str], unknown: int) -> Slices:
    """Classes of land cover (y, x) by name, in the order of the names; numbers of one name are one class.

    A number without a name is a class of its own, such as `class 7`; `unknown` is the nodata.
    """
    present = (int(number) for number in np.unique(cover) if number != unknown)
    labels = {**names, **{number: f"class {number}" for number in present if number not in names}}
    by_label: dict[str, list[int]] = {}
    for number, label in labels.items():
        by_label.setdefault(label, []).append(number)
    by_label.pop(UNKNOWN, None)
    slices = [(label, np.isin(cover, numbers)) for label, numbers in by_label.items()]
    return [*slices, (UNKNOWN, ~np.isin(cover, [number for numbers in by_label.values() for number in numbers]))]


def by_distance(
    feature: NDArray[np.bool_], pixel_m: float, edges: Sequence[float] = DISTANCES_M, to: str = "",
    known: NDArray[np.bool_] | None = None,
) -> Slices:  # fmt: skip
    """Classes of the distance in metres to the nearest pixel of a feature (y, x): a road, a river, the scene's edge.

    Between centres of pixels of `pixel_m` metres; where there is no such feature, everything is far from it. `to` is
    appended to the labels. What is not `known` (y, x) is a class of its own, and no feature.
    """
    nothing = np.full(feature.shape, np.inf)
    distance = ndimage.distance_transform_edt(~feature, pixel_m) if feature.any() else nothing
    return by_value(distance if known is None else np.where(known, distance, np.nan), edges, f" m{to}")


def by_looks(looks: NDArray[np.integer], unknown: int) -> Slices:
    """Classes of how often a pixel was seen (y, x), such as `s2_post` of `seen.tif`; `unknown` is its nodata.

    Few clear looks are what clouds leave, and a median of few keeps what their masks overlook.
    """
    values = np.where(looks == unknown, np.nan, looks.astype("float32"))
    classes = by_value(values, LOOKS, "")
    names = ["not seen", "1 look", "2 looks", "3–4 looks", "≥ 5 looks", UNKNOWN]
    return [(name, mask) for name, (_, mask) in zip(names, classes, strict=True)]
