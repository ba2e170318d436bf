"""Sentinel-2 L2A as it would see the ground: reflectance of four bands and the scene classification.

Reflectance is a linear mixture of green leaves, bare ground, water and snow, lit by the sun over terrain, seen
through cloud and haze.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from scipy import ndimage

from landslide.geo.solar import Sun, sun_at

from .changes import Change, Truth
from .landscape import Cover, Landscape, green_fraction
from .noise import Bytes, Floats, Random, power_law, smooth
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

OPAQUE, DEEP = 0.30, 0.70

DARK, SHADOW, VEGETATION, BARE, WET, UNSURE, MEDIUM, HIGH, CIRRUS, WHITE = 2, 3, 4, 5, 6, 7, 8, 9, 10, 11


@dataclass(frozen=True)
class Optical:
    """One scene: reflectance float32 (band, row, column) in the order of `BANDS`, the scene classification uint8 at
    20 m, and the cloud opacity and cloud shadow (0-1, 10 m) that the classification tries to find."""

    reflectance: Floats
    scl: Bytes
    cloud: Floats
    shadow: Floats


def optical_scene(random: Random, landscape: Landscape, changes: list[Change], day: int) -> Optical:
    """The scene `day` days after the event (before it if negative), on the landscape's grid; its shape must be
    even."""
    when = landscape.place.event_date + timedelta(days=day)
    sun = sun_at(when, landscape.place.latitude)
    surface, snow, water = surface_reflectance(landscape, changes, day)
    light = illumination(landscape, sun)
    cloud = _clouds(random, landscape)
    shadow = _cast(cloud, sun, height=random.uniform(900, 2200))
    seen = surface * light * (1 - 0.62 * shadow)
    haze = np.float32(random.uniform(0, 0.012))
    seen = (seen + haze) * (1 - cloud) + CLOUD[:, None, None] * np.float32(random.uniform(0.85, 1.15)) * cloud
    seen *= 1 + 0.015 * random.standard_normal((4, 1, 1), dtype=np.float32)
    seen += 0.0025 * random.standard_normal(seen.shape, dtype=np.float32)
    seen = np.asarray(np.clip(seen, 0.0005, 1.5), np.float32)
    return Optical(seen, _classify(random, seen, cloud, shadow, snow, water, light), cloud, shadow)


def clearness(scene: Optical) -> Floats:
    """How well each pixel shows the ground, float32 from 0 (opaque) to 1 (clear), on the meaning of Cloud Score+: the
    worse of cloud and shadow, so that 0.60 falls where the classification starts to see either."""
    worse = np.maximum(scene.cloud / np.float32(OPAQUE), scene.shadow / np.float32(DEEP))
    return np.asarray(1 - np.clip(worse, 0, 1), np.float32)


def surface_reflectance(landscape: Landscape, changes: list[Change], day: int) -> tuple[Floats, Floats, Floats]:
    """Reflectance of the level, cloudless ground (band, row, column), and the shares of snow and water in each
    pixel."""
    green = green_fraction(landscape, landscape.place.event_date + timedelta(days=day))
    bright: Floats = landscape.soil.copy()
    fresh = np.zeros_like(green)
    snow, water = np.zeros_like(green), (landscape.cover == Cover.WATER).astype(np.float32)
    for change in changes:
        share = change.at(day)
        if change.kind == Truth.SNOW:
            snow = share
            continue
        left = change.green
        if change.kind == Truth.LANDSLIDE:
            fresh = share
            left = left + landscape.place.regrowth * max(day, 0) / 60
        if change.kind == Truth.FLOOD:
            water = np.maximum(water, share)
            share = np.where(change.onset <= day, change.fraction, 0)
        green = np.asarray(green * (1 - share) + np.minimum(left, green) * share, np.float32)
        bright *= 1 + share * (change.tone - 1)
    fields = (landscape.cover == Cover.FIELD).astype(np.float32)
    leaves = LEAVES[:, None, None] * (1 + fields * (FIELD_LEAVES - 1)[:, None, None]) * landscape.texture**2
    ground = bright * (SOIL[:, None, None] * (1 - fresh) + DEBRIS[:, None, None] * fresh)
    mixed = green * leaves + (1 - green) * ground
    mixed = mixed * (1 - water) + WATER[:, None, None] * water
    return (mixed * (1 - snow) + SNOW[:, None, None] * snow).astype(np.float32), snow, water


def illumination(landscape: Landscape, sun: Sun) -> Floats:
    """Sunlight on the slope relative to level ground, the C-correction's model (Teillet et al. 1982): (cos i + C) /
    (cos z + C)."""
    terrain = landscape.terrain
    low, high = np.cos(sun.elevation), np.sin(sun.elevation)
    towards = terrain.east * np.sin(sun.azimuth) + terrain.north * np.cos(sun.azimuth)
    incidence = (high - low * towards) / np.sqrt(1 + terrain.east**2 + terrain.north**2)
    return np.asarray((np.maximum(incidence, 0) + 0.45) / (high + 0.45), np.float32)


def cloud_share(random: Random, place: Place) -> float:
    """The share of a scene's sky under cloud: from a beta distribution around the place's cloudiness (Falls 1974,
    Journal of Geophysical Research 79)."""
    mean, evenness = place.cloudiness, place.evenness
    return random.beta(evenness * mean, evenness * (1 - mean)) if mean > 0 else 0.0


def _clouds(random: Random, landscape: Landscape) -> Floats:
    """Opacity 0-1 over a share of the sky, thick inside and thin at the edge."""
    share = cloud_share(random, landscape.place)
    rows, columns = landscape.shape
    field = ndimage.zoom(power_law(random, (-(-rows // 2), -(-columns // 2)), 2.7), 2, order=1)[:rows, :columns]
    if share < 0.01:
        return np.zeros(landscape.shape, np.float32)
    edge = np.quantile(field[::4, ::4], max(1 - share, 0))
    depth = np.maximum(field - edge + 0.03, 0) * 5
    return np.asarray(1 - np.exp(-depth), np.float32)


def _cast(cloud: Floats, sun: Sun, height: float) -> Floats:
    """The clouds' shadow on the ground, away from the sun; the cloud field goes on periodically beyond the scene."""
    reach = height / np.tan(max(sun.elevation, 0.15)) / PIXEL
    down, right = reach * np.cos(sun.azimuth), -reach * np.sin(sun.azimuth)
    moved = np.roll(cloud, (round(down), round(right)), axis=(0, 1))
    return np.asarray(np.clip(smooth(moved, 1.5) * 1.1, 0, 1), np.float32)


def _classify(
    random: Random, seen: Floats, cloud: Floats, shadow: Floats, snow: Floats, water: Floats, light: Floats
) -> Bytes:
    """The scene classification at 20 m, right but for thin cloud edges, faint shadows and the ragged edge of snow."""
    veil, shade, white, wet, lit = (_halve(layer) for layer in (cloud, shadow, snow, water, light))
    red, infrared = _halve(seen[2]), _halve(seen[3])
    ndvi = (infrared - red) / (infrared + red)
    classes = np.where(ndvi > 0.35, VEGETATION, BARE).astype(np.uint8)
    classes[(ndvi > 0.22) & (ndvi <= 0.35)] = UNSURE
    classes[lit < 0.45] = DARK
    classes[wet > 0.5] = WET
    classes[white > 0.55] = WHITE
    doubt = 0.04 * random.standard_normal(veil.shape, dtype=np.float32)
    classes[shade + doubt > 0.30] = SHADOW
    classes[veil + doubt > 0.13] = CIRRUS
    classes[veil + doubt > 0.25] = MEDIUM
    classes[veil + doubt > 0.55] = HIGH
    return classes


def _halve(layer: Floats) -> Floats:
    rows, columns = layer.shape
    return np.asarray(layer.reshape(rows // 2, 2, columns // 2, 2).mean(axis=(1, 3)), np.float32)
