"""Sentinel-1 bands: linear-power composites before and after the event, per orbit, and their change in dB.

Means are taken of linear power and given in dB. A pair of composites belongs to one orbit: two viewing geometries never
mix inside a change; orbits that saw a pixel both before and after are then averaged, in dB.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import ndimage

BORDER_NOISE_DB = {"vv": -30.0, "vh": -40.0}
PATCH = 1
GROWTH = 2
HALO = 2 * PATCH + GROWTH

Planes = dict[str, NDArray[np.float32]]
Counts = dict[str, NDArray[np.uint16]]
Values = TypeVar("Values", xr.DataArray, NDArray[np.float32])


def to_linear(decibel: Values) -> Values:
    """Linear power of a backscatter in dB, 10^(dB/10), in the same type; NaN stays NaN."""
    linear: Values = 10.0 ** (decibel / 10.0)
    return linear


def clean(power: xr.DataArray, polarisation: str = "vv") -> xr.DataArray:
    """Linear power (..., y, x) without what is no measurement: non-finite, zero, negative and border noise → NaN.

    Border noise of products before March 2018 (Ali et al. 2018, doi:10.1109/JSTARS.2017.2787650) is a strip of values
    far below the sensor's noise floor (-22 dB at worst, about -25 dB in practice): VV under -30 dB, the mask of the
    Earth Engine guides; VH, which falls lower over calm water, under -40 dB. Only low values that fill 3 × 3 pixels
    with their like or with nodata count, so that a single dark speckle is kept; around them low and high values within
    `GROWTH` pixels go too. Needs `HALO` pixels around a block.
    """
    values = power.values
    measured = np.isfinite(values) & (values > 0)
    low = measured & (values < 10 ** (BORDER_NOISE_DB[polarisation] / 10))
    if low.any():
        square = np.ones((1,) * (values.ndim - 2) + (3, 3), bool)
        strips = ndimage.binary_opening(low | ~measured, square, iterations=PATCH) & low
        measured &= ~ndimage.binary_dilation(strips, square, iterations=GROWTH)
    return power.copy(data=np.where(measured, values, np.nan).astype("float32"))


def sar_bands(scenes: xr.Dataset) -> tuple[Planes, Counts]:
    """Sentinel-1 bands in dB, float32 (y, x), and how often each pixel was measured, uint16 (y, x).

    `scenes` holds `vv` and optionally `vh`, linear power (time, y, x), NaN = not measured, with the coordinates `side`
    ("pre" or "post") and `orbit` along time. Bands: `vv_pre`, `vv_post`, `vv_change` = post - pre; with `vh` also
    `vh_*` and `ratio_*` (VH - VV in dB). A pixel that no single orbit saw on both sides is NaN. Counts: `s1_pre` and
    `s1_post`, acquisitions with a VV, of any orbit.
    """
    keys = ["vv", "vh", "ratio"] if "vh" in scenes else ["vv"]
    shape = (scenes.sizes["y"], scenes.sizes["x"])
    means = {key: _PairMean.zeros(shape) for key in keys}
    seen = {f"s1_{side}": np.zeros(shape, "uint16") for side in ("pre", "post")}
    for orbit in np.unique(scenes["orbit"].values):
        pairs = {}
        for key in [key for key in keys if key != "ratio"]:
            pairs[key], counts = _pair(scenes[key], scenes, orbit)
            if key == "vv":
                seen = {name: seen[name] + count for name, count in zip(seen, counts, strict=True)}
        if "ratio" in keys:
            pairs["ratio"] = pairs["vh"] - pairs["vv"]
        for key, pair in pairs.items():
            means[key].add(pair)
    return _named(means), seen


@dataclass
class _PairMean:
    """Running mean over orbits of (2, y, x): before and after, in dB; a pixel NaN on one side adds to neither."""

    total: NDArray[np.float64]
    count: NDArray[np.uint16]

    @classmethod
    def zeros(cls, shape: tuple[int, int]) -> "_PairMean":
        return cls(np.zeros((2, *shape)), np.zeros(shape, "uint16"))

    def add(self, pair: NDArray[np.float64]) -> None:
        both = np.isfinite(pair).all(0)
        self.total += np.where(both, pair, 0)
        self.count += both

    def mean(self) -> NDArray[np.float64]:
        return _over(self.total, self.count)


def _pair(
    power: xr.DataArray, scenes: xr.Dataset, orbit: str
) -> tuple[NDArray[np.float64], tuple[NDArray[np.uint16], ...]]:
    """Mean power of one orbit before and after, in dB (2, y, x), and the acquisitions behind each."""
    sides = [
        power.values[(scenes["orbit"].values == orbit) & (scenes["side"].values == side)] for side in ("pre", "post")
    ]
    counts = tuple(np.isfinite(side).sum(0, dtype="uint16") for side in sides)
    means = [_over(np.nansum(side, 0, dtype="float64"), count) for side, count in zip(sides, counts, strict=True)]
    return 10 * np.log10(np.stack(means)), counts


def _over(total: NDArray[np.float64], count: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Total over count, NaN where nothing was counted."""
    return total / np.where(count > 0, count, np.nan)


def _named(means: dict[str, _PairMean]) -> Planes:
    bands: Planes = {}
    for key, running in means.items():
        pre, post = running.mean()
        for what, plane in (("pre", pre), ("post", post), ("change", post - pre)):
            bands[f"{key}_{what}"] = plane.astype("float32")
    return bands
