"""Simulated Sentinel-2 L2A: surface reflectance of four bands and the scene classification (SCL).

Reflectance is a linear mixture of green leaves, bare ground, water and snow, illuminated on terrain, with clouds, cloud
shadow and haze.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from scipy import ndimage

from landslide.geo.solar import Sun, sun_at

from .changes import Change, GroundTruth
from .landscape import LandCover, Landscape, green_fraction
from .noise import Bytes, Floats, Generator, power_law, smooth
from .places import Place
from .terrain import PIXEL

BANDS = ("B02", "B03", "B04", "B08")
LEAVES = np.array([0.028, 0.055, 0.032, 0.36], np.float32)
SOIL = np.array([0.075, 0.105, 0.145, 0.215], np.float32)
DEBRIS = np.array([0.095, 0.125, 0.160, 0.225], np.float32)
WATER = np.array([0.055, 0.065, 0.050, 0.025], np.float32)
SNOW = np.array([0.78, 0.79, 0.78, 0.70], np.float32)
CLOUD = np.array([0.62, 0.61, 0.60, 0.64], np.float32)
FIELD_LEAVES = np.array([1.1, 1.25, 1.15, 1.18], np.float32)

ZERO_SCORE_OPACITY, ZERO_SCORE_SHADOW = 0.30, 0.70  # cloud opacity and shadow at which the cloud score is 0

SCL_DARK, SCL_SHADOW, SCL_VEGETATION, SCL_BARE, SCL_WATER, SCL_UNCLASSIFIED = 2, 3, 4, 5, 6, 7
SCL_CLOUD_MEDIUM, SCL_CLOUD_HIGH, SCL_CIRRUS, SCL_SNOW = 8, 9, 10, 11


@dataclass(frozen=True)
class OpticalScene:
    """One scene.

    `reflectance` is float32 (band, row, column) in the order of `BANDS`, `scl` the scene classification, uint8 at 20 m;
    `cloud` (opacity) and `shadow` are the true values on the 10 m grid, 0-1.
    """

    reflectance: Floats
    scl: Bytes
    cloud: Floats
    shadow: Floats


def optical_scene(rng: Generator, landscape: Landscape, changes: list[Change], day: int) -> OpticalScene:
    """The scene `day` days after the event (negative: before) on the landscape's grid.

    Args:
        rng: Random number generator.
        landscape: The landscape before the event; its rows and columns must be even numbers.
        changes: The changes of the surface.
        day: Days after the event.
    """
    when = landscape.place.event_date + timedelta(days=day)
    sun = sun_at(when, landscape.place.latitude)
    surface, snow, water = surface_reflectance(landscape, changes, day)
    light = illumination(landscape, sun)
    cloud = _draw_clouds(rng, landscape)
    shadow = _cast_shadow(cloud, sun, height=rng.uniform(900, 2200))
    observed = surface * light * (1 - 0.62 * shadow)
    haze = np.float32(rng.uniform(0, 0.012))
    observed = (observed + haze) * (1 - cloud) + CLOUD[:, None, None] * np.float32(rng.uniform(0.85, 1.15)) * cloud
    observed *= 1 + 0.015 * rng.standard_normal((4, 1, 1), dtype=np.float32)
    observed += 0.0025 * rng.standard_normal(observed.shape, dtype=np.float32)
    observed = np.asarray(np.clip(observed, 0.0005, 1.5), np.float32)
    return OpticalScene(observed, _classify(rng, observed, cloud, shadow, snow, water, light), cloud, shadow)


def cloud_score(scene: OpticalScene) -> Floats:
    """A score like that of Cloud Score+, float32 (row, column) from 0 (opaque) to 1 (clear).

    It is the lower of the cloud and the shadow score. The scene classification starts to detect either at about 0.60.
    """
    worse = np.maximum(scene.cloud / np.float32(ZERO_SCORE_OPACITY), scene.shadow / np.float32(ZERO_SCORE_SHADOW))
    return np.asarray(1 - np.clip(worse, 0, 1), np.float32)


def surface_reflectance(landscape: Landscape, changes: list[Change], day: int) -> tuple[Floats, Floats, Floats]:
    """Reflectance of level ground without atmosphere, float32 (band, row, column), and the snow and water fractions."""
    green = green_fraction(landscape, landscape.place.event_date + timedelta(days=day))
    bright: Floats = landscape.soil_brightness.copy()
    debris = np.zeros_like(green)
    snow, water = np.zeros_like(green), (landscape.cover == LandCover.WATER).astype(np.float32)
    for change in changes:
        share = change.at(day)
        if change.kind == GroundTruth.SNOW:
            snow = share
            continue
        remaining = change.green
        if change.kind == GroundTruth.LANDSLIDE:
            debris = share
            remaining = remaining + landscape.place.regrowth * max(day, 0) / 60
        if change.kind == GroundTruth.FLOOD:
            water = np.maximum(water, share)
            share = np.where(change.onset <= day, change.fraction, 0)
        green = np.asarray(green * (1 - share) + np.minimum(remaining, green) * share, np.float32)
        bright *= 1 + share * (change.brightness - 1)
    fields = (landscape.cover == LandCover.FIELD).astype(np.float32)
    leaves = LEAVES[:, None, None] * (1 + fields * (FIELD_LEAVES - 1)[:, None, None]) * landscape.texture**2
    ground = bright * (SOIL[:, None, None] * (1 - debris) + DEBRIS[:, None, None] * debris)
    mixed = green * leaves + (1 - green) * ground
    mixed = mixed * (1 - water) + WATER[:, None, None] * water
    return (mixed * (1 - snow) + SNOW[:, None, None] * snow).astype(np.float32), snow, water


def illumination(landscape: Landscape, sun: Sun) -> Floats:
    """Illumination of the slope relative to level ground: (cos i + C) / (cos z + C), the model of the C-correction
    (Teillet et al. 1982), with the incidence angle i, the solar zenith angle z and C = 0.45."""
    terrain = landscape.terrain
    low, high = np.cos(sun.elevation), np.sin(sun.elevation)
    towards = terrain.gradient_east * np.sin(sun.azimuth) + terrain.gradient_north * np.cos(sun.azimuth)
    incidence = (high - low * towards) / np.sqrt(1 + terrain.gradient_east**2 + terrain.gradient_north**2)
    return np.asarray((np.maximum(incidence, 0) + 0.45) / (high + 0.45), np.float32)


def draw_cloud_cover(rng: Generator, place: Place) -> float:
    """The cloud cover of a scene, 0-1, drawn from a beta distribution whose mean is the place's cloudiness (Falls 1974,
    Journal of Geophysical Research 79)."""
    mean, concentration = place.cloudiness, place.cloud_concentration
    return rng.beta(concentration * mean, concentration * (1 - mean)) if mean > 0 else 0.0


def _draw_clouds(rng: Generator, landscape: Landscape) -> Floats:
    """Cloud opacity, 0-1: dense inside the clouds, thin at their edges."""
    share = draw_cloud_cover(rng, landscape.place)
    rows, columns = landscape.shape
    field = ndimage.zoom(power_law(rng, (-(-rows // 2), -(-columns // 2)), 2.7), 2, order=1)[:rows, :columns]
    if share < 0.01:
        return np.zeros(landscape.shape, np.float32)
    edge = np.quantile(field[::4, ::4], max(1 - share, 0))
    depth = np.maximum(field - edge + 0.03, 0) * 5
    return np.asarray(1 - np.exp(-depth), np.float32)


def _cast_shadow(cloud: Floats, sun: Sun, height: float) -> Floats:
    """The cloud shadow on the ground for clouds at `height` metres. The cloud field is periodic beyond the scene."""
    distance = height / np.tan(max(sun.elevation, 0.15)) / PIXEL
    down, right = distance * np.cos(sun.azimuth), -distance * np.sin(sun.azimuth)
    moved = np.roll(cloud, (round(down), round(right)), axis=(0, 1))
    return np.asarray(np.clip(smooth(moved, 1.5) * 1.1, 0, 1), np.float32)


def _classify(
    rng: Generator, observed: Floats, cloud: Floats, shadow: Floats, snow: Floats, water: Floats, light: Floats
) -> Bytes:
    """The scene classification at 20 m. It misses thin cloud edges, faint shadows and the edge of snow."""
    opacity, shade, snowy, wet, lit = (_to_20_m(layer) for layer in (cloud, shadow, snow, water, light))
    red, infrared = _to_20_m(observed[2]), _to_20_m(observed[3])
    ndvi = (infrared - red) / (infrared + red)
    classes = np.where(ndvi > 0.35, SCL_VEGETATION, SCL_BARE).astype(np.uint8)
    classes[(ndvi > 0.22) & (ndvi <= 0.35)] = SCL_UNCLASSIFIED
    classes[lit < 0.45] = SCL_DARK
    classes[wet > 0.5] = SCL_WATER
    classes[snowy > 0.55] = SCL_SNOW
    noise = 0.04 * rng.standard_normal(opacity.shape, dtype=np.float32)
    classes[shade + noise > 0.30] = SCL_SHADOW
    classes[opacity + noise > 0.13] = SCL_CIRRUS
    classes[opacity + noise > 0.25] = SCL_CLOUD_MEDIUM
    classes[opacity + noise > 0.55] = SCL_CLOUD_HIGH
    return classes


def _to_20_m(layer: Floats) -> Floats:
    rows, columns = layer.shape
    return np.asarray(layer.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3)), np.float32)
