"""What grows where, and how green it is on a given day."""

from dataclasses import dataclass, replace
from datetime import date
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .noise import Bytes, Floats, Random, cut, power_law, ramp, uniform
from .places import Place
from .terrain import PIXEL, Terrain, make_terrain


class Cover(IntEnum):
    """Land cover of a pixel before anything happened to it."""

    FOREST = 0
    GRASS = 1
    FIELD = 2
    ROCK = 3
    WATER = 4


@dataclass(frozen=True)
class Landscape:
    """A place as it was: terrain and, on the same 10 m grid, cover (`Cover`), field parcels (0 outside fields), the
    day of year on which each parcel is greenest, the texture of vegetation and the brightness of its soil (both
    around 1)."""

    place: Place
    terrain: Terrain
    cover: Bytes
    parcel: npt.NDArray[np.int32]
    crop_peak: Floats
    texture: Floats
    soil: Floats

    @property
    def shape(self) -> tuple[int, int]:
        return self.cover.shape


def make_landscape(random: Random, shape: tuple[int, int], place: Place) -> Landscape:
    """The landscape of a place on a grid of `shape` (rows, columns) pixels of 10 m."""
    terrain = make_terrain(random, shape, place)
    parcel = _parcels(random, shape)
    cover = _cover(random, terrain, place)
    parcel[cover != Cover.FIELD] = 0
    peaks = (_summer(place) + random.normal(0, 45, parcel.max() + 1)).astype(np.float32)
    stands = 0.55 * power_law(random, shape, 2.0) + 0.45 * power_law(random, shape, 0.6)
    return Landscape(
        place=place,
        terrain=terrain,
        cover=cover,
        parcel=parcel,
        crop_peak=peaks[parcel],
        texture=(1 + 0.06 * stands).astype(np.float32),
        soil=(place.soil * np.exp(0.12 * power_law(random, shape, 2.4))).astype(np.float32),
    )


def green_fraction(landscape: Landscape, day: date) -> Floats:
    """The share of each pixel covered by green leaves, 0-1: an annual cosine for wild cover, a bell of 40 days for
    each field."""
    place, cover = landscape.place, landscape.cover
    day_of_year = day.timetuple().tm_yday
    winter = 0.5 - 0.5 * np.cos(2 * np.pi * (day_of_year - _summer(place)) / 365.25)
    away = np.abs((day_of_year - landscape.crop_peak + 182.6) % 365.25 - 182.6)
    by_cover = np.zeros(len(Cover), np.float32)
    by_cover[Cover.FOREST] = place.vigour * (1 - 0.6 * place.seasonality * winter)
    by_cover[Cover.GRASS] = 0.8 * place.vigour * (1 - place.seasonality * winter)
    by_cover[Cover.ROCK] = 0.1
    fields = 0.14 + 0.72 * place.vigour * np.exp(-0.5 * (away / 40) ** 2)
    green = np.where(cover == Cover.FIELD, fields, by_cover[cover]) * landscape.texture
    return np.clip(green, 0, 0.99).astype(np.float32)


def _summer(place: Place) -> float:
    return 200.0 if place.latitude > 0 else 17.0


def _cover(random: Random, terrain: Terrain, place: Place) -> Bytes:
    shape = terrain.elevation.shape
    height = ramp(terrain.elevation, terrain.elevation.min(), terrain.elevation.max())
    wild = uniform(power_law(random, shape, 2.6)) + 0.25 * (height - 0.5)
    cover = np.where(wild < np.quantile(wild, place.forest), Cover.FOREST, Cover.GRASS).astype(np.uint8)
    gentle = (ndimage.gaussian_filter(terrain.slope, 3) < 15) & (height < 0.75)
    farmed = uniform(power_law(random, shape, 2.4)) < 0.75
    cover[gentle & farmed] = Cover.FIELD
    steep = terrain.slope + 8 * height + 3 * power_law(random, shape, 2.0)
    cover[steep > 54] = Cover.ROCK
    cover[terrain.river] = Cover.WATER
    return cover


def _parcels(random: Random, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Numbered parcels of about 90 by 150 m in rows turned by a random angle, from 1 on."""
    row, column = np.indices(shape, np.float32) * np.float32(PIXEL)
    turn = random.uniform(0, np.pi)
    along, across = column * np.cos(turn) + row * np.sin(turn), row * np.cos(turn) - column * np.sin(turn)
    strip = np.floor(across / 90).astype(np.int64)
    strip -= strip.min()
    lengths, offsets = random.uniform(90, 240, strip.max() + 1), random.uniform(0, 200, strip.max() + 1)
    piece = np.floor((along + offsets[strip]) / lengths[strip]).astype(np.int64)
    piece -= piece.min()
    _, number = np.unique(strip * (piece.max() + 1) + piece, return_inverse=True)
    return (number.reshape(shape) + 1).astype(np.int32)


def crop(landscape: Landscape, window: tuple[slice, slice]) -> Landscape:
    """The landscape inside a window of its grid."""
    return cut(replace(landscape, terrain=cut(landscape.terrain, window)), window)
