"""Simulated Sentinel-1: gamma0 in linear power from two orbit directions, with layover, shadow and speckle."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from .changes import Change, GroundTruth
from .landscape import LandCover, Landscape, green_fraction
from .noise import Flags, Floats, Generator, power_law, ramp
from .terrain import PIXEL, Terrain

LOOKS = 4.4  # equivalent number of looks
# Mean gamma0 in dB by land cover, in the order of `LandCover`.
COVER_DB = {
    "vv": np.array([-8.3, -11.0, -11.2, -9.2, -19.5], np.float32),
    "vh": np.array([-14.0, -18.0, -19.0, -17.0, -26.5], np.float32),
}
CHANGED_DB = {
    GroundTruth.LANDSLIDE: {"vv": -9.3, "vh": -16.8},
    GroundTruth.CLEAR_CUT: {"vv": -10.2, "vh": -17.2},
    GroundTruth.HARVEST: {"vv": -11.8, "vh": -19.8},
    GroundTruth.FLOOD: {"vv": -18.5, "vh": -25.5},
    GroundTruth.SNOW: {"vv": -12.5, "vh": -19.0},
}
MUD_DB = {"vv": -12.0, "vh": -20.5}


@dataclass(frozen=True)
class Orbit:
    """A relative orbit: direction (`state`), number, and incidence angle on level ground in degrees.

    An ascending Sentinel-1 looks east, a descending one west; the tilt of the track, about 10 degrees, is ignored.
    """

    state: str
    number: int
    incidence: float

    @property
    def looks_east(self) -> bool:
        return self.state == "ascending"


@dataclass(frozen=True)
class RadarGeometry:
    """Pixels in layover or shadow of an orbit, and the residual of the radiometric terrain correction in dB."""

    layover_shadow: Flags
    residual_db: Floats


def radar_geometry(terrain: Terrain, orbit: Orbit) -> RadarGeometry:
    """Layover, shadow and local incidence of plane waves on the terrain's grid.

    A point is in shadow if the terrain nearer to the radar rises above its ray, and in layover where slant range is not
    monotonic along the look direction (Small 2011, IEEE TGRS 49, section II). The residual of terrain flattening is
    taken as 0.35 of the cosine law of the local incidence angle.
    """
    angle = np.radians(orbit.incidence)
    height = terrain.elevation if orbit.looks_east else terrain.elevation[:, ::-1]
    ground = np.arange(height.shape[1], dtype=np.float32) * np.float32(PIXEL)
    ray = height + ground / np.tan(angle)
    shadow = ray < np.maximum.accumulate(ray, axis=1) - 0.5
    slant = ground * np.sin(angle) - height * np.cos(angle)
    nearer = slant < np.maximum.accumulate(slant, axis=1) - 0.5
    further = slant > np.minimum.accumulate(slant[:, ::-1], axis=1)[:, ::-1] + 0.5
    layover_shadow = shadow | nearer | further
    if not orbit.looks_east:
        layover_shadow = layover_shadow[:, ::-1]
    local = local_incidence(terrain, orbit)
    ratio = np.maximum(np.cos(local), 0.05) / np.cos(angle)
    return RadarGeometry(layover_shadow, (3.5 * np.log10(ratio)).astype(np.float32))


def local_incidence(terrain: Terrain, orbit: Orbit) -> Floats:
    """The local incidence angle, between the radar's ray and the surface normal, in radians."""
    angle = np.radians(orbit.incidence)
    towards = terrain.gradient_east if orbit.looks_east else -terrain.gradient_east
    cosine = (np.cos(angle) + towards * np.sin(angle)) / np.sqrt(
        1 + terrain.gradient_east**2 + terrain.gradient_north**2
    )
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)), np.float32)


def radar_scene(
    rng: Generator, landscape: Landscape, changes: list[Change], radar: RadarGeometry, texture: Floats, day: int
) -> dict[str, Floats]:
    """One scene: `vv` and `vh`, gamma0 in linear power, float32 (rows, columns), NaN in layover and shadow.

    Args:
        rng: Random number generator.
        landscape: The landscape before the event.
        changes: The changes of the surface.
        radar: Geometry of the orbit on the landscape's grid.
        texture: Backscatter variation that is the same on every date, in dB.
        day: Days after the event, negative before it. Each day has its own soil moisture, whose effect is larger on
            open ground than under forest.
    """
    wet = np.float32(rng.normal(0, 0.6)) + 0.35 * power_law(rng, landscape.shape, 3.0)
    openness = np.where(landscape.cover == LandCover.FOREST, 0.4, 1.0).astype(np.float32)
    green = green_fraction(landscape, landscape.place.event_date + timedelta(days=day))
    scene = {}
    for polarisation in ("vv", "vh"):
        decibel = (
            backscatter(landscape, changes, green, polarisation, day) + texture + wet * openness + radar.residual_db
        )
        power = 10 ** (decibel / 10) * speckle(rng, landscape.shape)
        power[radar.layover_shadow] = np.nan
        scene[polarisation] = power.astype(np.float32)
    return scene


def backscatter(landscape: Landscape, changes: list[Change], green: Floats, polarisation: str, day: int) -> Floats:
    """Mean gamma0 of dry ground in dB, float32 (rows, columns).

    Shares of a pixel are mixed in linear power. A flooded bank stays mud after the flood.

    Args:
        landscape: The landscape before the event.
        changes: The changes of the surface.
        green: Green fraction on this day, 0-1.
        polarisation: `vv` or `vh`.
        day: Days after the event.
    """
    table = COVER_DB[polarisation]
    decibel = table[landscape.cover]
    fields = landscape.cover == LandCover.FIELD
    decibel[fields] += (3.0 if polarisation == "vh" else 1.8) * (green[fields] - 0.4)
    power = 10 ** (decibel / 10)
    for change in changes:
        flooded = change.kind == GroundTruth.FLOOD
        share = np.where(change.onset <= day, change.fraction, 0) if flooded else change.at(day)
        if not share.any():
            continue
        changed = np.float32(CHANGED_DB[change.kind][polarisation]) + change.roughness_db
        if flooded:
            changed = np.where(day <= change.end, changed, np.float32(MUD_DB[polarisation]))
        power = power * (1 - share) + 10 ** (changed / 10) * share
    return (10 * np.log10(power)).astype(np.float32)


def texture_db(rng: Generator, landscape: Landscape) -> Floats:
    """Constant variation of backscatter within a land cover class, in dB; larger on steep slopes."""
    rugged = 0.5 + 0.5 * ramp(landscape.terrain.slope, 0, 40)
    return (rugged * power_law(rng, landscape.shape, 1.4)).astype(np.float32)


def speckle(rng: Generator, shape: tuple[int, int], looks: float = LOOKS) -> Floats:
    """Speckle of multi-looked intensity: gamma-distributed factors, mean 1, variance 1 / looks (Goodman 1976)."""
    return rng.gamma(looks, 1 / looks, shape).astype(np.float32)
