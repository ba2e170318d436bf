"""Random fields on a grid."""

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.fft
from rasterio.features import rasterize
from rasterio.transform import Affine
from scipy import ndimage, special
from shapely import Geometry

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Random = np.random.Generator

SUBPIXELS = 4

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Rasters = TypeVar("Rasters", bound="DataclassInstance")


def power_law(random: Random, shape: tuple[int, int], exponent: float, cutoff: float = 0.0) -> Floats:
    """A periodic Gaussian field of zero mean and unit variance whose power falls with wavenumber as k^-exponent.

    exponent 0 is white noise, 2-3 clouds, 3-4 terrain. Waves longer than 1/`cutoff` pixels carry no more than that
    one.
    """
    spectrum = scipy.fft.rfft2(random.standard_normal(shape, dtype=np.float32))
    rows = scipy.fft.fftfreq(shape[0])[:, None]
    columns = scipy.fft.rfftfreq(shape[1])[None, :]
    wavenumber = np.maximum(np.hypot(rows, columns), max(cutoff, 1 / max(shape)))
    field = scipy.fft.irfft2(spectrum * wavenumber ** (-exponent / 2), s=shape)
    field -= field.mean()
    return np.asarray(field / field.std(), np.float32)


def uniform(field: Floats) -> Floats:
    """A unit Gaussian field mapped to a uniform one in 0-1 by its own distribution function."""
    return np.asarray(special.ndtr(field), np.float32)


def ramp(values: Any, low: float, high: float) -> Floats:
    """0 below `low`, 1 above `high`, linear between; `high` below `low` turns it round."""
    return np.asarray(np.clip((np.asarray(values, np.float32) - low) / (high - low), 0, 1), np.float32)


def smooth(field: Floats, sigma: float) -> Floats:
    """Gaussian smoothing by `sigma` pixels."""
    return np.asarray(ndimage.gaussian_filter(field, sigma, mode="nearest"), np.float32)


def rank(field: Floats) -> Floats:
    """Each value's share of smaller values, 0-1."""
    order = np.empty(field.size, np.float32)
    order[np.argsort(field, axis=None, kind="stable")] = np.linspace(0, 1, field.size, dtype=np.float32)
    return order.reshape(field.shape)


def cut(rasters: Rasters, window: tuple[slice, slice]) -> Rasters:
    """A dataclass with every array in it cut to a window of its last two axes."""
    arrays = {field.name: getattr(rasters, field.name) for field in fields(rasters)}
    parts = {name: array[..., *window] for name, array in arrays.items() if isinstance(array, np.ndarray)}
    return replace(rasters, **parts)


def coverage(geometry: Geometry, shape: tuple[int, int], pixel: float = 1.0) -> tuple[tuple[slice, slice], Floats]:
    """The share of each pixel that a polygon covers, and the window it lies in.

    Coordinates are x = column * pixel, y = row * pixel from the upper left corner. The window may be empty (polygon
    outside).
    """
    left, top, right, bottom = (value / pixel for value in geometry.bounds)
    row, column = max(int(np.floor(top)), 0), max(int(np.floor(left)), 0)
    height = max(min(int(np.ceil(bottom)), shape[0]) - row, 0)
    width = max(min(int(np.ceil(right)), shape[1]) - column, 0)
    window = slice(row, row + height), slice(column, column + width)
    if not height or not width:
        return window, np.zeros((height, width), np.float32)
    fine = Affine(pixel / SUBPIXELS, 0, column * pixel, 0, pixel / SUBPIXELS, row * pixel)
    mask = rasterize([(geometry, 1)], (height * SUBPIXELS, width * SUBPIXELS), transform=fine, dtype="uint8")
    share = mask.reshape(height, SUBPIXELS, width, SUBPIXELS).mean(axis=(1, 3), dtype=np.float32)
    return window, share
