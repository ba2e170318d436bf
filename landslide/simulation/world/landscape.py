"""Land cover and the green fraction of vegetation on a given day."""

from dataclasses import dataclass, replace
from datetime import date
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from .noise import Bytes, Floats, Generator, crop_arrays, power_law, ramp, to_uniform
from .places import Place
from .terrain import PIXEL, Terrain, make_terrain


class LandCover(IntEnum):
    """Land cover of a pixel before the event."""

    FOREST = 0
    GRASS = 1
    FIELD = 2
    ROCK = 3
    WATER = 4


@dataclass(frozen=True)
class Landscape:
    """A place before the event, on one 10 m grid (rows, columns).

    `cover` holds `LandCover`; `parcel` numbers the fields from 1, 0 elsewhere; `crop_peak` is the day of year on which
    the parcel is greenest; `texture` (of vegetation) and `soil_brightness` are factors around 1.
    """

    place: Place
    terrain: Terrain
    cover: Bytes
    parcel: npt.NDArray[np.int32]
    crop_peak: Floats
    texture: Floats
    soil_brightness: Floats

    @property
    def shape(self) -> tuple[int, int]:
        return self.cover.shape


def make_landscape(rng: Generator, shape: tuple[int, int], place: Place) -> Landscape:
    """The landscape of a place on a grid of `shape` (rows, columns) pixels of 10 m."""
    terrain = make_terrain(rng, shape, place)
    parcel = _draw_parcels(rng, shape)
    cover = _draw_cover(rng, terrain, place)
    parcel[cover != LandCover.FIELD] = 0
    peaks = (_midsummer(place) + rng.normal(0, 45, parcel.max() + 1)).astype(np.float32)
    stands = 0.55 * power_law(rng, shape, 2.0) + 0.45 * power_law(rng, shape, 0.6)
    return Landscape(
        place=place,
        terrain=terrain,
        cover=cover,
        parcel=parcel,
        crop_peak=peaks[parcel],
        texture=(1 + 0.06 * stands).astype(np.float32),
        soil_brightness=(place.soil_brightness * np.exp(0.12 * power_law(rng, shape, 2.4))).astype(np.float32),
    )


def green_fraction(landscape: Landscape, day: date) -> Floats:
    """The green vegetation fraction of each pixel, 0-1, float32.

    An annual cosine for wild vegetation, a Gaussian with a standard deviation of 40 days for each field.
    """
    place, cover = landscape.place, landscape.cover
    day_of_year = day.timetuple().tm_yday
    winter = 0.5 - 0.5 * np.cos(2 * np.pi * (day_of_year - _midsummer(place)) / 365.25)
    days_from_peak = np.abs((day_of_year - landscape.crop_peak + 182.6) % 365.25 - 182.6)
    by_cover = np.zeros(len(LandCover), np.float32)
    by_cover[LandCover.FOREST] = place.peak_green * (1 - 0.6 * place.seasonality * winter)
    by_cover[LandCover.GRASS] = 0.8 * place.peak_green * (1 - place.seasonality * winter)
    by_cover[LandCover.ROCK] = 0.1
    fields = 0.14 + 0.72 * place.peak_green * np.exp(-0.5 * (days_from_peak / 40) ** 2)
    green = np.where(cover == LandCover.FIELD, fields, by_cover[cover]) * landscape.texture
    return np.clip(green, 0, 0.99).astype(np.float32)


def _midsummer(place: Place) -> float:
    return 200.0 if place.latitude > 0 else 17.0


def _draw_cover(rng: Generator, terrain: Terrain, place: Place) -> Bytes:
    shape = terrain.elevation.shape
    height = ramp(terrain.elevation, terrain.elevation.min(), terrain.elevation.max())
    wild = to_uniform(power_law(rng, shape, 2.6)) + 0.25 * (height - 0.5)
    cover = np.where(wild < np.quantile(wild, place.forest), LandCover.FOREST, LandCover.GRASS).astype(np.uint8)
    gentle = (ndimage.gaussian_filter(terrain.slope, 3) < 15) & (height < 0.75)
    farmed = to_uniform(power_law(rng, shape, 2.4)) < 0.75
    cover[gentle & farmed] = LandCover.FIELD
    steep = terrain.slope + 8 * height + 3 * power_law(rng, shape, 2.0)
    cover[steep > 54] = LandCover.ROCK
    cover[terrain.river] = LandCover.WATER
    return cover


def _draw_parcels(rng: Generator, shape: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Parcels of about 90 m by 150 m in strips at a random angle, numbered from 1."""
    row, column = np.indices(shape, np.float32) * np.float32(PIXEL)
    turn = rng.uniform(0, np.pi)
    along, across = column * np.cos(turn) + row * np.sin(turn), row * np.cos(turn) - column * np.sin(turn)
    strip = np.floor(across / 90).astype(np.int64)
    strip -= strip.min()
    lengths, offsets = rng.uniform(90, 240, strip.max() + 1), rng.uniform(0, 200, strip.max() + 1)
    piece = np.floor((along + offsets[strip]) / lengths[strip]).astype(np.int64)
    piece -= piece.min()
    _, number = np.unique(strip * (piece.max() + 1) + piece, return_inverse=True)
    return (number.reshape(shape) + 1).astype(np.int32)


def crop_landscape(landscape: Landscape, window: tuple[slice, slice]) -> Landscape:
    """The landscape inside a window of its grid."""
    return crop_arrays(replace(landscape, terrain=crop_arrays(landscape.terrain, window)), window)
