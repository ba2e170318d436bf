"""The assets: what the simulated world's STAC items are called and look like in Earth Engine's catalogue."""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import shapely

from landslide.simulation.world.catalogue import DEM, SENTINEL1, SENTINEL2

from .geometry import Geometry
from .grids import Grid
from .pixeltypes import FLOAT, INT16, UINT8, UINT16, PixelType
from .ramp import RAMP, ramp_image
from .rasters import (
    Averaged,
    Decode,
    Rasters,
    Stored,
    everywhere,
    finite,
    harmonised,
    looked_up,
    mosaicked,
    not_zero,
    occurrence,
    on_thirty_metres,
    positive,
    rounded,
    scaled,
    validity,
    within,
)
from .replies import ApiError
from .values import Band, Collection, Image

S1, OPERA = "COPERNICUS/S1_GRD_FLOAT", "OPERA/RTC/L2_V1/S1"
S2, SCORES = "COPERNICUS/S2_SR_HARMONIZED", "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"
GLO30 = "COPERNICUS/DEM/GLO30_2024_1"
NASADEM, SURFACE_WATER = "NASA/NASADEM_HGT/001", "JRC/GSW1_4/GlobalSurfaceWater"

COLOURS = {"B2": "B02", "B3": "B03", "B4": "B04", "B8": "B08"}


@dataclass(frozen=True)
class Item:
    """One STAC item on disk."""

    folder: Path
    content: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.content["id"])

    @property
    def properties(self) -> Mapping[str, Any]:
        told: Mapping[str, Any] = self.content["properties"]
        return told

    @property
    def version(self) -> int:
        """A number that changes with the item, as an asset's version does."""
        return 1_600_000_000_000_000 + zlib.crc32(json.dumps(self.content, sort_keys=True).encode())

    @cached_property
    def common(self) -> dict[str, Any]:
        """The properties that every image has."""
        return {
            "system:index": self.id,
            "system:time_start": round(datetime.fromisoformat(self.properties["datetime"]).timestamp() * 1000),
            "system:footprint": Geometry(shapely.geometry.shape(self.content["geometry"])),
            "system:version": self.version,
        }

    def has(self, asset: str) -> bool:
        return asset in self.content["assets"]

    def offset(self, asset: str) -> float:
        """What the asset's numbers are too large by."""
        band = self.content["assets"][asset]["raster:bands"][0]
        return -float(band["offset"]) / float(band["scale"])

    def stored(self, rasters: Rasters, asset: str, decode: Decode) -> Stored:
        told = self.content["assets"][asset]
        shape = told["proj:shape"]
        grid = Grid(told["proj:code"], tuple(told["proj:transform"]), (shape[0], shape[1]))
        return Stored(rasters, self.folder / told["href"], grid, decode)


class Assets:
    """All assets of a world's folder, by name; unknown ones are refused as Google refuses them."""

    def __init__(self, world: Path) -> None:
        self._world, self._rasters = world, Rasters()
        self._collections: dict[str, Collection] = {}
        self._images: dict[str, Image] = {}
        makers: dict[str, tuple[str, Callable[[Item], Image]]] = {
            S1: (SENTINEL1, self._radar), OPERA: (SENTINEL1, self._opera), S2: (SENTINEL2, self._optical),
            SCORES: (SENTINEL2, self._scores), GLO30: (DEM, self._elevation),
        }  # fmt: skip
        self._makers = makers

    def collection(self, name: str) -> Collection:
        """An image collection; ApiError if there is none."""
        name = _plain(name)
        if name not in self._makers:
            raise ApiError(
                f"ImageCollection.load: ImageCollection asset '{name}' not found (does not exist or caller does not "
                "have access)."
            )
        if name not in self._collections:
            source, make = self._makers[name]
            images = [_as_asset(make(item), name) for item in self._items(source) if _usable(name, item)]
            images.sort(key=lambda image: (image.properties["system:time_start"], image.properties["system:index"]))
            self._collections[name] = Collection(tuple(images), True)
        return self._collections[name]

    def image(self, name: str) -> Image:
        """A single image or a member of a collection; ApiError if there is none."""
        name = _plain(name)
        if name in (NASADEM, SURFACE_WATER, RAMP):
            if name not in self._images:
                self._images[name] = {NASADEM: self._nasadem, SURFACE_WATER: self._occurrence, RAMP: ramp_image}[name]()
            return self._images[name]
        parent, _, index = name.rpartition("/")
        for element in self.collection(parent).elements if parent in self._makers else ():
            if isinstance(element, Image) and element.properties["system:index"] == index:
                return element
        if name in self._makers:
            raise ApiError(f"Image.load: Asset '{name}' is not an Image.")
        raise ApiError(f"Image.load: Image asset '{name}' not found (does not exist or caller does not have access).")

    def _items(self, source: str) -> Iterator[Item]:
        for path in sorted((self._world / source).glob("*/*.json")):
            yield Item(path.parent, json.loads(path.read_text()))

    def _band(self, name: str, stored: Stored | Averaged, kind: PixelType) -> Band:
        return Band(name, kind, stored.grid.projection, looked_up(stored), stored.grid)

    def _radar(self, item: Item) -> Image:
        stored = {name.upper(): item.stored(self._rasters, name, positive) for name in ("vv", "vh")}
        bands = [self._band(name, source, FLOAT) for name, source in stored.items()]
        seen = stored["VV"].grid
        angle = Band("angle", FLOAT, seen.projection, within(seen, item.properties["view:incidence_angle"]), seen)
        told = item.properties
        properties = item.common | {
            "instrumentMode": told["sar:instrument_mode"],
            "transmitterReceiverPolarisation": list(told["sar:polarizations"]),
            "orbitProperties_pass": told["sat:orbit_state"].upper(),
            "relativeOrbitNumber_start": told["sat:relative_orbit"],
            "resolution_meters": 10,
            "platform_number": told["platform"][-1].upper(),
            "platformHeading": told["view:azimuth"] - 90,
        }
        return Image(properties, item.common["system:footprint"], (*bands, angle))

    def _opera(self, item: Item) -> Image:
        bands = []
        for name in ("vv", "vh"):
            averaged = on_thirty_metres(item.stored(self._rasters, name, positive))
            bands.append(self._band(name.upper(), averaged, FLOAT))
        seen = bands[0]
        mask = Band("mask", UINT8, seen.projection, validity(seen.pull), seen.grid)
        told = item.properties
        properties = item.common | {
            "ORBIT_PASS_DIRECTION": told["sat:orbit_state"].upper(),
            "TRACK_NUMBER": told["sat:relative_orbit"],
        }
        return Image(properties, item.common["system:footprint"], (*bands, mask))

    def _optical(self, item: Item) -> Image:
        bands = [
            self._band(name, item.stored(self._rasters, asset, harmonised(item.offset(asset))), UINT16)
            for name, asset in COLOURS.items()
        ]
        bands.append(self._band("SCL", item.stored(self._rasters, "SCL", not_zero), UINT8))
        told = item.properties
        properties = item.common | {
            "CLOUDY_PIXEL_PERCENTAGE": told["eo:cloud_cover"],
            "PROCESSING_BASELINE": told["s2:processing_baseline"],
            "MGRS_TILE": told["s2:mgrs_tile"],
            "SENSING_ORBIT_NUMBER": told["sat:relative_orbit"],
        }
        return Image(properties, item.common["system:footprint"], tuple(bands))

    def _scores(self, item: Item) -> Image:
        scale = float(item.content["assets"]["cs_cdf"]["raster:bands"][0]["scale"])
        stored = item.stored(self._rasters, "cs_cdf", scaled(scale))
        bands = tuple(self._band(name, stored, FLOAT) for name in ("cs", "cs_cdf"))
        return Image(
            item.common | {"MGRS_TILE": item.properties["s2:mgrs_tile"]}, item.common["system:footprint"], bands
        )

    def _elevation(self, item: Item) -> Image:
        bands = (
            self._band("DEM", item.stored(self._rasters, "data", finite), FLOAT),
            self._band("WBM", item.stored(self._rasters, "wbm", everywhere), UINT8),
        )
        return Image(item.common | {"tile_version": 1}, item.common["system:footprint"], bands)

    def _nasadem(self) -> Image:
        return self._world_wide(NASADEM, "elevation", "data", rounded, INT16)

    def _occurrence(self) -> Image:
        return self._world_wide(SURFACE_WATER, "occurrence", "wbm", occurrence, PixelType("int", 0, 100))

    def _world_wide(self, name: str, band: str, asset: str, decode: Decode, kind: PixelType) -> Image:
        """One image of all elevation tiles, on the lattice of the first."""
        items = list(self._items(DEM))
        parts = [item.stored(self._rasters, asset, decode) for item in items]
        made = Band(band, kind, parts[0].grid.projection, mosaicked(parts))
        return Image({"system:index": name.rpartition("/")[2]}, None, (made,), name, items[0].version)


def _usable(name: str, item: Item) -> bool:
    return name != SCORES or item.has("cs_cdf")


def _plain(name: str) -> str:
    return name.removeprefix("projects/earthengine-public/assets/")


def _as_asset(image: Image, collection: str) -> Image:
    index, version = image.properties["system:index"], image.properties["system:version"]
    return Image(image.properties, image.footprint, image.bands, f"{collection}/{index}", version)
