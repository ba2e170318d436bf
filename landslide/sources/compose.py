"""From acquisitions on a padded block to bands on the block, by the features; what a source of scenes can deliver."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from landslide.cases.fields import When
from landslide.features import optical, sar, terrain
from landslide.geo.grid import Roi
from landslide.geo.warp import Plane
from landslide.sources.base import Block

COLOURS = ("blue", "green", "red", "nir")
TERRAIN = ("elevation", "slope", "northness", "eastness", "plan_curvature", "profile_curvature")
OPTICAL: Mapping[str, Set[str]] = {
    "dndvi_median": {"red", "nir"},
    "dndvi_greenest": {"red", "nir"},
    "dgrvi": {"green", "red"},
    "rg_change": {"green", "red"},
    "brightness_change": {"blue", "green", "red"},
    "blue_post": {"blue"},
    "green_post": {"green"},
    "red_post": {"red"},
}


@dataclass(frozen=True)
class Acquisition:
    """What one sensor saw at one time, on a padded block: float32 (y, x) per variable, NaN = not usable."""

    side: When
    planes: Mapping[str, Plane]
    orbit: str = ""


def radar_bands(polarisations: Set[str]) -> tuple[str, ...]:
    """The bands that these polarisations allow: the ratio needs both."""
    keys = [key for key in ("vv", "vh") if key in polarisations] + (["ratio"] if {"vv", "vh"} <= polarisations else [])
    return tuple(f"{key}_{what}" for key in keys for what in ("pre", "post", "change"))


def optical_bands(colours: Set[str]) -> tuple[str, ...]:
    """The bands that these colours allow."""
    return tuple(band for band, needs in OPTICAL.items() if needs <= colours)


def padded(geobox: GeoBox, roi: Roi, halo: int) -> GeoBox:
    """The grid of a block with `halo` pixels around it, beyond the scene's edge if need be."""
    return geobox[roi].pad(halo)


def radar(acquisitions: Sequence[Acquisition]) -> Block:
    """Sentinel-1 bands of linear power (variables vv, vh) on a block padded by `sar.HALO`."""
    values, seen = sar.sar_bands(_scenes(acquisitions))
    return Block(_cropped(values, sar.HALO), _cropped(seen, sar.HALO))


def colours(acquisitions: Sequence[Acquisition]) -> Block:
    """Sentinel-2 bands of reflectance (variables blue, green, red, nir) on a block padded by `optical.HALO`."""
    values, seen = optical.optical_bands(_scenes(acquisitions))
    return Block(_cropped(values, optical.HALO), _cropped(seen, optical.HALO))


def ground(dem: xr.DataArray, geobox: GeoBox) -> Block:
    """Terrain bands of a DEM on its own grid, on the block's grid."""
    return Block(terrain.terrain_on(dem, geobox))


def together(parts: Iterable[Block]) -> Block:
    """One block of the bands of several."""
    values: dict[str, NDArray[np.float32]] = {}
    seen: dict[str, NDArray[np.uint16]] = {}
    for part in parts:
        values |= part.values
        seen |= part.seen
    return Block(values, seen)


def measured(power: Plane, polarisation: str) -> Plane:
    """Linear power without border noise and what is no measurement."""
    plane: Plane = sar.clean(xr.DataArray(power, dims=("y", "x")), polarisation).values
    return plane


def clear(scl: Plane) -> NDArray[np.bool_]:
    """Where a scene classification (NaN = none) lets the ground be seen."""
    classes = np.nan_to_num(scl, nan=0).astype("uint8")
    mask: NDArray[np.bool_] = optical.clear(xr.DataArray(classes, dims=("y", "x"))).values
    return mask


def _scenes(acquisitions: Sequence[Acquisition]) -> xr.Dataset:
    dims = ("time", "y", "x")
    return xr.Dataset(
        {name: (dims, np.stack([one.planes[name] for one in acquisitions])) for name in acquisitions[0].planes},
        coords={
            "time": np.arange(len(acquisitions)),
            "side": ("time", [one.side for one in acquisitions]),
            "orbit": ("time", [one.orbit for one in acquisitions]),
        },
    )


def _cropped(planes: Mapping[str, NDArray[Any]], halo: int) -> dict[str, NDArray[Any]]:
    inner = slice(halo, -halo or None)
    return {name: plane[inner, inner] for name, plane in planes.items()}
