"""Counts by slices of a scene: by terrain, land cover, illumination, viewing geometry and number of observations.

Slices are a list of (label, mask (y, x)). Every pixel of the scene is in exactly one of them, also where the band is
unknown, so the counts of the slices add up to those of the scene.
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
OBSERVATIONS = (1.0, 2.0, 3.0, 5.0)
DISTANCES_M = (100.0, 300.0, 1000.0)
LEVEL_DEG = 10.0  # slopes in range direction below this count as flat
UNKNOWN = "unknown"


def counts_by_slice(
    slices: Slices, mapped: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]
) -> dict[str, Counts]:
    """Count the pixels of each slice.

    Args:
        slices: The slices of the scene.
        mapped: Pixels (y, x) mapped as landslide.
        truth: Pixels (y, x) that are landslide.
        valid: Pixels (y, x) that count.

    Returns:
        Counts by label; all 0 for a slice without a valid pixel.
    """
    return {label: Counts.of(mapped, truth, valid & mask) for label, mask in slices}


def by_value(values: NDArray[np.floating], edges: Sequence[float], unit: str) -> Slices:
    """Classes of a band (y, x) between increasing edges; a class includes its lower edge. NaN is `unknown`."""
    class_of = np.digitize(values, edges)  # of NaN the last class
    known = ~np.isnan(values)
    labels = [f"< {edges[0]:g}{unit}", *(f"{low:g}–{high:g}{unit}" for low, high in pairwise(edges))]
    slices = [(label, known & (class_of == index)) for index, label in enumerate([*labels, f"≥ {edges[-1]:g}{unit}"])]
    return [*slices, (UNKNOWN, ~known)]


def by_slope(slope: NDArray[np.floating]) -> Slices:
    """Classes of the band `slope` (y, x), in degrees."""
    return by_value(slope, SLOPES_DEG, "°")


def by_illumination(
    slope: NDArray[np.floating], northness: NDArray[np.floating], eastness: NDArray[np.floating],
    azimuth: float, elevation: float,
) -> Slices:  # fmt: skip
    """Classes of illumination by the sun.

    The cosine of the incidence angle is cos s sin e + sin s cos e cos(azimuth − aspect), with slope s and sun elevation
    e (Horn 1981). Pixels with less light than flat ground are turned away from the sun; pixels without light are in
    their own shadow. Shadows cast by other terrain are not included.

    Args:
        slope: Slope (y, x) in degrees.
        northness: Cosine (y, x) of the downslope direction, clockwise from north.
        eastness: Sine (y, x) of the downslope direction.
        azimuth: Azimuth of the sun in degrees, clockwise from north.
        elevation: Elevation of the sun above the horizon in degrees.
    """
    sun_azimuth, sun_elevation, s = np.radians(azimuth), np.radians(elevation), np.radians(slope)
    towards = np.cos(sun_azimuth) * northness + np.sin(sun_azimuth) * eastness
    light = np.cos(s) * np.sin(sun_elevation) + np.sin(s) * np.cos(sun_elevation) * towards
    known = ~np.isnan(light)
    shaded = known & (light <= 0)
    away = known & (light > 0) & (light < np.sin(sun_elevation) - 1e-6)  # tolerance of flat ground in float32
    return [
        ("in its own shadow", shaded),
        ("turned away from the sun", away),
        ("flat or turned to the sun", known & ~shaded & ~away),
        (UNKNOWN, ~known),
    ]


def by_radar_look(
    slope: NDArray[np.floating], northness: NDArray[np.floating], eastness: NDArray[np.floating], azimuth: float
) -> Slices:
    """Classes of orientation towards a radar.

    The slope a in range direction follows from tan a = tan s cos(azimuth + 180° − aspect) (Vollrath et al. 2020,
    eq. 4). Slopes of 10° and more towards the radar are subject to foreshortening and layover; slopes of 10° and more
    away from it are seen at a grazing angle or are in radar shadow.

    Args:
        slope: Slope (y, x) in degrees.
        northness: Cosine (y, x) of the downslope direction, clockwise from north.
        eastness: Sine (y, x) of the downslope direction.
        azimuth: The radar's look direction in degrees, clockwise from north.
    """
    look = np.radians(azimuth)
    range_slope = -np.tan(np.radians(slope)) * (np.cos(look) * northness + np.sin(look) * eastness)
    known, limit = ~np.isnan(range_slope), np.tan(np.radians(LEVEL_DEG))
    facing, away = known & (range_slope >= limit), known & (range_slope <= -limit)
    return [
        ("facing the radar", facing),
        ("facing away from the radar", away),
        ("flat or across the look", known & ~facing & ~away),
        (UNKNOWN, ~known),
    ]


def by_cover(cover: NDArray[np.uint8], names: Mapping[int, str], unknown: int) -> Slices:
    """Classes of land cover (y, x) by name, in the order of `names`; numbers with the same name are one class.

    A number without a name is a class of its own, such as `class 7`; `unknown` is the nodata value.
    """
    present = (int(number) for number in np.unique(cover) if number != unknown)
    labels = {**names, **{number: f"class {number}" for number in present if number not in names}}
    by_label: dict[str, list[int]] = {}
    for number, label in labels.items():
        by_label.setdefault(label, []).append(number)
    by_label.pop(UNKNOWN, None)
    slices = [(label, np.isin(cover, numbers)) for label, numbers in by_label.items()]
    return [*slices, (UNKNOWN, ~np.isin(cover, [number for numbers in by_label.values() for number in numbers]))]


def by_distance(feature: NDArray[np.bool_], pixel_m: float, known: NDArray[np.bool_]) -> Slices:
    """Classes of the distance to the nearest pixel of a feature (y, x), such as water.

    Distances are in metres, between pixel centres; pixels are `pixel_m` metres. Without any feature pixel, all pixels
    are in the farthest class. Pixels that are not `known` (y, x) are in the class `unknown`.
    """
    infinite = np.full(feature.shape, np.inf)
    distance = ndimage.distance_transform_edt(~feature, pixel_m) if feature.any() else infinite
    return by_value(np.where(known, distance, np.nan), DISTANCES_M, " m")


def by_observations(count: NDArray[np.integer], unknown: int) -> Slices:
    """Classes of the number of valid observations (y, x), such as `s2_post` of `seen.tif`; `unknown` is its nodata.

    Where clouds leave few observations, the median may contain clouds that the cloud mask missed.
    """
    values = np.where(count == unknown, np.nan, count.astype("float32"))
    classes = by_value(values, OBSERVATIONS, "")
    names = ["not seen", "1 look", "2 looks", "3–4 looks", "≥ 5 looks", UNKNOWN]
    return [(name, mask) for name, (_, mask) in zip(names, classes, strict=True)]
