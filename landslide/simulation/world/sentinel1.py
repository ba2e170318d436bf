"""Sentinel-1 as it would see the ground: gamma0 in linear power from two orbit directions, with layover, shadow and
speckle."""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from .changes import Change, Truth
from .landscape import Cover, Landscape, green_fraction
from .noise import Flags, Floats, Random, power_law, ramp
from .terrain import PIXEL, Terrain

LOOKS = 4.4
COVER_DB = {
    "vv": np.array([-8.3, -11.0, -11.2, -9.2, -19.5], np.float32),
    "vh": np.array([-14.0, -18.0, -19.0, -17.0, -26.5], np.float32),
}
CHANGED_DB = {
    Truth.LANDSLIDE: {"vv": -9.3, "vh": -16.8},
    Truth.CLEAR_CUT: {"vv": -10.2, "vh": -17.2},
    Truth.HARVEST: {"vv": -11.8, "vh": -19.8},
    Truth.FLOOD: {"vv": -18.5, "vh": -25.5},
    Truth.SNOW: {"vv": -12.5, "vh": -19.0},
}
MUD_DB = {"vv": -12.0, "vh": -20.5}


@dataclass(frozen=True)
class Orbit:
    """A track: its direction, its relative number and the radar's incidence angle on level ground in degrees.

    An ascending Sentinel-1 looks to the east, a descending one to the west (the track's tilt of some 10 degrees is
    left out).
    """

    state: str
    number: int
    incidence: float

    @property
    def looks_east(self) -> bool:
        return self.state == "ascending"


@dataclass(frozen=True)
class Radar:
    """What an orbit's geometry does to the scene: pixels in layover or shadow, and the residual of radiometric
    terrain correction in dB."""

    blind: Flags
    slope_db: Floats


def radar_geometry(terrain: Terrain, orbit: Orbit) -> Radar:
    """Layover, shadow and local incidence of plane waves on the terrain's grid.

    A point lies in shadow if another nearer to the radar stands above the ray to it, and in layover where slant range
    is not monotonic along the look direction (Small 2011, IEEE TGRS 49, section II). What terrain flattening leaves
    over is taken as 0.35 of the cosine law of the local incidence angle.
    """
    angle = np.radians(orbit.incidence)
    height = terrain.elevation if orbit.looks_east else terrain.elevation[:, ::-1]
    ground = np.arange(height.shape[1], dtype=np.float32) * np.float32(PIXEL)
    ray = height + ground / np.tan(angle)
    shadow = ray < np.maximum.accumulate(ray, axis=1) - 0.5
    slant = ground * np.sin(angle) - height * np.cos(angle)
    nearer = slant < np.maximum.accumulate(slant, axis=1) - 0.5
    further = slant > np.minimum.accumulate(slant[:, ::-1], axis=1)[:, ::-1] + 0.5
    blind = shadow | nearer | further
    if not orbit.looks_east:
        blind = blind[:, ::-1]
    local = local_incidence(terrain, orbit)
    ratio = np.maximum(np.cos(local), 0.05) / np.cos(angle)
    return Radar(blind, (3.5 * np.log10(ratio)).astype(np.float32))


def local_incidence(terrain: Terrain, orbit: Orbit) -> Floats:
    """The angle between the radar's ray and the normal of the slope, radians."""
    angle = np.radians(orbit.incidence)
    towards = terrain.east if orbit.looks_east else -terrain.east
    cosine = (np.cos(angle) + towards * np.sin(angle)) / np.sqrt(1 + terrain.east**2 + terrain.north**2)
    return np.asarray(np.arccos(np.clip(cosine, -1, 1)), np.float32)


def radar_scene(
    random: Random, landscape: Landscape, changes: list[Change], radar: Radar, texture: Floats, day: int
) -> dict[str, Floats]:
    """`vv` and `vh` on the landscape's grid, gamma0 in linear power, float32, NaN in layover and shadow.

    `texture` (dB) is what stays the same from date to date; moisture of the day comes on top, more on open ground
    than under trees.
    """
    wet = np.float32(random.normal(0, 0.6)) + 0.35 * power_law(random, landscape.shape, 3.0)
    openness = np.where(landscape.cover == Cover.FOREST, 0.4, 1.0).astype(np.float32)
    green = green_fraction(landscape, landscape.place.event_date + timedelta(days=day))
    scene = {}
    for polarisation in ("vv", "vh"):
        decibel = backscatter(landscape, changes, green, polarisation, day) + texture + wet * openness + radar.slope_db
        power = 10 ** (decibel / 10) * speckle(random, landscape.shape)
        power[radar.blind] = np.nan
        scene[polarisation] = power.astype(np.float32)
    return scene


def backscatter(landscape: Landscape, changes: list[Change], green: Floats, polarisation: str, day: int) -> Floats:
    """Mean gamma0 of the dry ground in dB; shares of a pixel mix in linear power; a bank that has been flooded stays
    mud."""
    table = COVER_DB[polarisation]
    decibel = table[landscape.cover]
    fields = landscape.cover == Cover.FIELD
    decibel[fields] += (3.0 if polarisation == "vh" else 1.8) * (green[fields] - 0.4)
    power = 10 ** (decibel / 10)
    for change in changes:
        flooded = change.kind == Truth.FLOOD
        share = np.where(change.onset <= day, change.fraction, 0) if flooded else change.at(day)
        if not share.any():
            continue
        changed = np.float32(CHANGED_DB[change.kind][polarisation]) + change.rough
        if flooded:
            changed = np.where(day <= change.until, changed, np.float32(MUD_DB[polarisation]))
        power = power * (1 - share) + 10 ** (changed / 10) * share
    return (10 * np.log10(power)).astype(np.float32)


def texture_db(random: Random, landscape: Landscape) -> Floats:
    """The lasting unevenness of backscatter within a cover, dB, more where the ground is steep."""
    rugged = 0.5 + 0.5 * ramp(landscape.terrain.slope, 0, 40)
    return (rugged * power_law(random, landscape.shape, 1.4)).astype(np.float32)


def speckle(random: Random, shape: tuple[int, int], looks: float = LOOKS) -> Floats:
    """Multiplicative speckle of multi-looked intensity: gamma of mean 1 and variance 1 / looks (Goodman 1976)."""
    return random.gamma(looks, 1 / looks, shape).astype(np.float32)
