"""Random fields and raster helpers."""

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
Generator = np.random.Generator

SUBPIXELS = 4

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Rasters = TypeVar("Rasters", bound="DataclassInstance")


def power_law(rng: Generator, shape: tuple[int, int], exponent: float, cutoff: float = 0.0) -> Floats:
    """A periodic Gaussian random field with a power spectrum of k^-exponent, zero mean and unit variance.

    Args:
        rng: Random number generator.
        shape: (rows, columns).
        exponent: 0 is white noise, 2-3 resembles clouds, 3-4 terrain.
        cutoff: Wavenumber in cycles per pixel below which the spectrum is flat.

    Returns:
        float32 (rows, columns).
    """
    spectrum = scipy.fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    rows = scipy.fft.fftfreq(shape[0])[:, None]
    columns = scipy.fft.rfftfreq(shape[1])[None, :]
    wavenumber = np.maximum(np.hypot(rows, columns), max(cutoff, 1 / max(shape)))
    field = scipy.fft.irfft2(spectrum * wavenumber ** (-exponent / 2), s=shape)
    field -= field.mean()
    return np.asarray(field / field.std(), np.float32)


def to_uniform(field: Floats) -> Floats:
    """A standard normal field mapped to a uniform distribution in 0-1 by the normal cumulative distribution."""
    return np.asarray(special.ndtr(field), np.float32)


def ramp(values: Any, low: float, high: float) -> Floats:
    """0 at `low`, 1 at `high`, linear between and constant beyond. With `high` < `low` the ramp falls."""
    return np.asarray(np.clip((np.asarray(values, np.float32) - low) / (high - low), 0, 1), np.float32)


def smooth(field: Floats, sigma: float) -> Floats:
    """Gaussian smoothing by `sigma` pixels."""
    return np.asarray(ndimage.gaussian_filter(field, sigma, mode="nearest"), np.float32)


def rank(field: Floats) -> Floats:
    """The normalised rank of each value, 0-1."""
    order = np.empty(field.size, np.float32)
    order[np.argsort(field, axis=None, kind="stable")] = np.linspace(0, 1, field.size, dtype=np.float32)
    return order.reshape(field.shape)


def crop_arrays(rasters: Rasters, window: tuple[slice, slice]) -> Rasters:
    """The dataclass with every array field cropped to a window of its last two axes."""
    arrays = {field.name: getattr(rasters, field.name) for field in fields(rasters)}
    parts = {name: array[..., *window] for name, array in arrays.items() if isinstance(array, np.ndarray)}
    return replace(rasters, **parts)


def coverage(geometry: Geometry, shape: tuple[int, int], pixel: float = 1.0) -> tuple[tuple[slice, slice], Floats]:
    """The window (rows, columns) of a grid that a polygon lies in, and the share of each of its pixels that it covers.

    The polygon's coordinates are x = column * pixel, y = row * pixel from the upper left corner. The window is empty
    if the polygon lies outside the grid.
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
