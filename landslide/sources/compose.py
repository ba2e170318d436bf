"""From acquisitions on a padded block to bands on the block; and the bands that a sensor's variables allow."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from landslide.cases.fields import When
from landslide.errors import EmptyWindowError
from landslide.features import optical, sar
from landslide.geo.warp import Plane
from landslide.sources.base import SCENE, Block, LayerName, LayerRequest, PartGrid, SceneList

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


def scene_list(case: str, geobox: GeoBox, requests: Mapping[LayerName, Callable[[], LayerRequest]]) -> SceneList:
    """The scene list of a case on its own grid.

    Args:
        case: Its id.
        geobox: Its grid.
        requests: What makes the request of each layer that the case asks for; a layer whose function raises
            EmptyWindowError is listed as missing, with the error's message.

    Returns:
        At least one layer, and the missing ones.

    Raises:
        EmptyWindowError: Every layer is missing.
    """
    layers: dict[LayerName, LayerRequest] = {}
    missing: dict[LayerName, str] = {}
    for layer, request in requests.items():
        try:
            layers[layer] = request()
        except EmptyWindowError as error:
            missing[layer] = str(error)
    if not layers:
        raise EmptyWindowError("; ".join(missing.values()))
    return SceneList(case=case, parts={SCENE: PartGrid.of(geobox)}, layers=layers, missing=missing)


def radar_block(acquisitions: Sequence[Acquisition]) -> Block:
    """Sentinel-1 bands of linear power (variables vv, vh) on a block padded by `sar.HALO`."""
    values, seen = sar.sar_bands(_dataset(acquisitions))
    return Block(_cropped(values, sar.HALO), _cropped(seen, sar.HALO))


def optical_block(acquisitions: Sequence[Acquisition], padding: int) -> Block:
    """Sentinel-2 bands of reflectance (variables blue, green, red, nir) on a block padded by `padding` pixels."""
    values, seen = optical.optical_bands(_dataset(acquisitions))
    return Block(_cropped(values, padding), _cropped(seen, padding))


def merged(blocks: Iterable[Block], bands: Sequence[str]) -> Block:
    """The named bands of several blocks, and all their counts, as one block."""
    values: dict[str, NDArray[np.float32]] = {}
    seen: dict[str, NDArray[np.uint16]] = {}
    for block in blocks:
        values |= block.values
        seen |= block.seen
    return Block({band: values[band] for band in bands}, seen)


def without_border_noise(power: Plane, polarisation: str) -> Plane:
    """Linear power (y, x), NaN where it is no measurement; see `features.sar.clean`."""
    plane: Plane = sar.clean(xr.DataArray(power, dims=("y", "x")), polarisation).values
    return plane


def clear(scl: Plane, dilation: int) -> NDArray[np.bool_]:
    """Where a scene classification (y, x; NaN = none) shows the ground; see `features.optical.clear`."""
    classes = np.nan_to_num(scl, nan=0).astype("uint8")
    mask: NDArray[np.bool_] = optical.clear(xr.DataArray(classes, dims=("y", "x")), dilation).values
    return mask


def _dataset(acquisitions: Sequence[Acquisition]) -> xr.Dataset:
    """(time, y, x) per variable, with the coordinates `side` and `orbit` along time."""
    dims = ("time", "y", "x")
    names = acquisitions[0].planes
    return xr.Dataset(
        {name: (dims, np.stack([acquisition.planes[name] for acquisition in acquisitions])) for name in names},
        coords={
            "time": np.arange(len(acquisitions)),
            "side": ("time", [acquisition.side for acquisition in acquisitions]),
            "orbit": ("time", [acquisition.orbit for acquisition in acquisitions]),
        },
    )


def _cropped(planes: Mapping[str, NDArray[Any]], padding: int) -> dict[str, NDArray[Any]]:
    inner = slice(padding, -padding or None)
    return {name: plane[inner, inner] for name, plane in planes.items()}
