"""Sentinel-2 bands: indices per date, composites before and after the event, and their change (post minus pre)."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

CLEAR = (4, 5, 6, 7)
SPREADING = (3, 8, 9, 10)
EDGE = 6  # pixels of 10 m by which clouds are grown where a case does not say otherwise
MAX_RATIO = 10.0

Cube = NDArray[np.float32]
Planes = dict[str, NDArray[np.float32]]
Counts = dict[str, NDArray[np.uint16]]


def clear(scl: xr.DataArray, dilation: int) -> xr.DataArray:
    """Where Sentinel-2's scene classification (..., y, x) lets the ground be seen: bool of the same shape.

    Kept: vegetation (4), bare (5), water (6) and unclassified (7), which is mixed or freshly bared ground more often
    than cloud: dropping it would hide landslides. Dropped: nodata (0), saturated (1), cloud shadow (3), clouds (8, 9),
    cirrus (10), snow (11), and dark (2), which on slopes is cast shadow with too little light for an index, or the
    missed shadow of a cloud. Clouds, cirrus and cloud shadows are grown by `dilation` pixels in all eight directions,
    because their edges are classified as ground; a block needs as many pixels around it. The default of a case, `EDGE`,
    is 60 m, three pixels of the classification.
    """
    classes = scl.values
    usable = np.isin(classes, CLEAR)
    spreading = np.isin(classes, SPREADING)
    if dilation and spreading.any():
        square = np.ones((1,) * (classes.ndim - 2) + (3, 3), bool)
        usable &= ~ndimage.binary_dilation(spreading, square, iterations=dilation)
    return scl.copy(data=usable)


def optical_bands(scenes: xr.Dataset) -> tuple[Planes, Counts]:
    """Sentinel-2 bands, float32 (y, x), and how often each pixel was seen, uint16 (y, x).

    `scenes` holds any of `blue`, `green`, `red`, `nir`: reflectance (time, y, x), NaN = not usable, with the coordinate
    `side` ("pre" or "post") along time. Delivered is what these allow:
    red and nir: `dndvi_median`, `dndvi_greenest` (greatest NDVI over the dates, Rouse et al. 1974);
    green and red: `dgrvi` (green-red vegetation index, Motohka et al. 2010), `rg_change` (red over green);
    blue, green, red: `brightness_change` (mean of the three medians); each visible band: its median after the event.
    An index is taken per date, then the median; normalised differences are clipped to [-1, 1], red over green to
    [0, `MAX_RATIO`], and both are NaN where the denominator is not positive. Counts: `s2_pre` and `s2_post`, dates with
    a value in any variable. A side without dates makes its changes NaN.
    """
    pre, post = (_side(scenes, side) for side in ("pre", "post"))
    bands: Planes = {f"{name}_post": _median(post[name]) for name in ("blue", "green", "red") if name in post}
    if {"red", "nir"} <= post.keys():
        before, after = (_normalised(side["nir"], side["red"]) for side in (pre, post))
        bands["dndvi_median"] = _median(after) - _median(before)
        bands["dndvi_greenest"] = _greatest(after) - _greatest(before)
    if {"green", "red"} <= post.keys():
        before, after = (_normalised(side["green"], side["red"]) for side in (pre, post))
        bands["dgrvi"] = _median(after) - _median(before)
        before, after = (_ratio(side["red"], side["green"]) for side in (pre, post))
        bands["rg_change"] = _median(after) - _median(before)
    if {"blue", "green", "red"} <= post.keys():
        bands["brightness_change"] = _brightness(post) - _brightness(pre)
    return bands, {"s2_pre": _seen(pre), "s2_post": _seen(post)}


def _side(scenes: xr.Dataset, side: str) -> dict[str, Cube]:
    chosen = scenes["side"].values == side
    return {str(name): scenes[name].values[chosen] for name in scenes.data_vars}


def _normalised(first: Cube, second: Cube) -> Cube:
    """(first - second) / (first + second), clipped to [-1, 1]."""
    total = first + second
    index: Cube = np.clip((first - second) / np.where(total > 0, total, np.nan), -1, 1)
    return index


def _ratio(over: Cube, under: Cube) -> Cube:
    ratio: Cube = np.clip(over / np.where(under > 0, under, np.nan), 0, MAX_RATIO)
    return ratio


def _median(cube: Cube) -> NDArray[np.float32]:
    """Median over time of the values that are there, NaN where there is none; as np.nanmedian, several times faster."""
    if len(cube) == 0:
        return np.full(cube.shape[1:], np.nan, "float32")
    ordered = np.sort(cube, axis=0)
    count = np.isfinite(cube).sum(0)
    middle = [np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(cube) - 1)]
    lower, upper = (np.take_along_axis(ordered, index[None], 0)[0] for index in middle)
    median: NDArray[np.float32] = ((lower + upper) / 2).astype("float32")
    return median


def _greatest(cube: Cube) -> NDArray[np.float32]:
    greatest: NDArray[np.float32] = np.fmax.reduce(cube, axis=0, initial=np.nan)
    return greatest


def _brightness(side: Mapping[str, Cube]) -> NDArray[np.float32]:
    mean: NDArray[np.float32] = np.mean([_median(side[name]) for name in ("blue", "green", "red")], axis=0)
    return mean


def _seen(side: Mapping[str, Cube]) -> NDArray[np.uint16]:
    count: NDArray[np.uint16] = np.any([np.isfinite(cube) for cube in side.values()], axis=0).sum(0, dtype="uint16")
    return count
