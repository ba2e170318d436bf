"""Earth Engine assets made from the STAC items of a simulated world."""

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
    BlockMeans,
    Decode,
    RasterReader,
    StoredRaster,
    block_means_30m,
    constant_inside,
    decode_finite,
    decode_harmonised,
    decode_nonzero,
    decode_occurrence,
    decode_power,
    decode_rounded,
    decode_scaled,
    decode_unmasked,
    mosaicked,
    nearest_lookup,
    validity_mask,
)
from .replies import ApiError
from .values import ElementCollection, Image, ImageBand

S1, OPERA = "COPERNICUS/S1_GRD_FLOAT", "OPERA/RTC/L2_V1/S1"
S2, SCORES = "COPERNICUS/S2_SR_HARMONIZED", "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"
GLO30 = "COPERNICUS/DEM/GLO30_2024_1"
NASADEM, SURFACE_WATER = "NASA/NASADEM_HGT/001", "JRC/GSW1_4/GlobalSurfaceWater"

S2_BANDS = {"B2": "B02", "B3": "B03", "B4": "B04", "B8": "B08"}


@dataclass(frozen=True)
class StacItem:
    """One STAC item on disk."""

    folder: Path
    content: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.content["id"])

    @property
    def properties(self) -> Mapping[str, Any]:
        metadata: Mapping[str, Any] = self.content["properties"]
        return metadata

    @property
    def version(self) -> int:
        """The asset's version: a number that changes with the item's content."""
        return 1_600_000_000_000_000 + zlib.crc32(json.dumps(self.content, sort_keys=True).encode())

    @cached_property
    def common_properties(self) -> dict[str, Any]:
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
        """The offset of the asset's digital numbers: DN = reflectance / scale + offset."""
        band = self.content["assets"][asset]["raster:bands"][0]
        return -float(band["offset"]) / float(band["scale"])

    def stored(self, rasters: RasterReader, asset: str, decode: Decode) -> StoredRaster:
        metadata = self.content["assets"][asset]
        shape = metadata["proj:shape"]
        grid = Grid(metadata["proj:code"], tuple(metadata["proj:transform"]), (shape[0], shape[1]))
        return StoredRaster(rasters, self.folder / metadata["href"], grid, decode)


class Assets:
    """All assets of a world's folder, by name."""

    def __init__(self, world: Path) -> None:
        self._world, self._rasters = world, RasterReader()
        self._collections: dict[str, ElementCollection] = {}
        self._images: dict[str, Image] = {}
        factories: dict[str, tuple[str, Callable[[StacItem], Image]]] = {
            S1: (SENTINEL1, self._radar), OPERA: (SENTINEL1, self._opera), S2: (SENTINEL2, self._optical),
            SCORES: (SENTINEL2, self._scores), GLO30: (DEM, self._elevation),
        }  # fmt: skip
        self._factories = factories

    def collection(self, name: str) -> ElementCollection:
        """An image collection by name; ApiError if there is none."""
        name = _short_name(name)
        if name not in self._factories:
            raise ApiError(
                f"ImageCollection.load: ImageCollection asset '{name}' not found (does not exist or caller does not "
                "have access)."
            )
        if name not in self._collections:
            source, make = self._factories[name]
            images = [_as_asset(make(item), name) for item in self._items(source) if _usable(name, item)]
            images.sort(key=lambda image: (image.properties["system:time_start"], image.properties["system:index"]))
            self._collections[name] = ElementCollection(tuple(images), True)
        return self._collections[name]

    def image(self, name: str) -> Image:
        """A single image or a member of a collection by name; ApiError if there is none."""
        name = _short_name(name)
        if name in (NASADEM, SURFACE_WATER, RAMP):
            if name not in self._images:
                self._images[name] = {NASADEM: self._nasadem, SURFACE_WATER: self._occurrence, RAMP: ramp_image}[name]()
            return self._images[name]
        parent, _, index = name.rpartition("/")
        for element in self.collection(parent).elements if parent in self._factories else ():
            if isinstance(element, Image) and element.properties["system:index"] == index:
                return element
        if name in self._factories:
            raise ApiError(f"Image.load: Asset '{name}' is not an Image.")
        raise ApiError(f"Image.load: Image asset '{name}' not found (does not exist or caller does not have access).")

    def _items(self, source: str) -> Iterator[StacItem]:
        for path in sorted((self._world / source).glob("*/*.json")):
            yield StacItem(path.parent, json.loads(path.read_text()))

    def _band(self, name: str, stored: StoredRaster | BlockMeans, kind: PixelType) -> ImageBand:
        return ImageBand(name, kind, stored.grid.projection, nearest_lookup(stored), stored.grid)

    def _radar(self, item: StacItem) -> Image:
        stored = {name.upper(): item.stored(self._rasters, name, decode_power) for name in ("vv", "vh")}
        bands = [self._band(name, source, FLOAT) for name, source in stored.items()]
        reference = stored["VV"].grid
        angle = ImageBand(
            "angle",
            FLOAT,
            reference.projection,
            constant_inside(reference, item.properties["view:incidence_angle"]),
            reference,
        )
        metadata = item.properties
        properties = item.common_properties | {
            "instrumentMode": metadata["sar:instrument_mode"],
            "transmitterReceiverPolarisation": list(metadata["sar:polarizations"]),
            "orbitProperties_pass": metadata["sat:orbit_state"].upper(),
            "relativeOrbitNumber_start": metadata["sat:relative_orbit"],
            "resolution_meters": 10,
            "platform_number": metadata["platform"][-1].upper(),
            "platformHeading": metadata["view:azimuth"] - 90,
        }
        return Image(properties, item.common_properties["system:footprint"], (*bands, angle))

    def _opera(self, item: StacItem) -> Image:
        bands = []
        for name in ("vv", "vh"):
            averaged = block_means_30m(item.stored(self._rasters, name, decode_power))
            bands.append(self._band(name.upper(), averaged, FLOAT))
        reference = bands[0]
        mask = ImageBand("mask", UINT8, reference.projection, validity_mask(reference.compute_tile), reference.grid)
        metadata = item.properties
        properties = item.common_properties | {
            "ORBIT_PASS_DIRECTION": metadata["sat:orbit_state"].upper(),
            "TRACK_NUMBER": metadata["sat:relative_orbit"],
        }
        return Image(properties, item.common_properties["system:footprint"], (*bands, mask))

    def _optical(self, item: StacItem) -> Image:
        bands = [
            self._band(name, item.stored(self._rasters, asset, decode_harmonised(item.offset(asset))), UINT16)
            for name, asset in S2_BANDS.items()
        ]
        bands.append(self._band("SCL", item.stored(self._rasters, "SCL", decode_nonzero), UINT8))
        metadata = item.properties
        properties = item.common_properties | {
            "CLOUDY_PIXEL_PERCENTAGE": metadata["eo:cloud_cover"],
            "PROCESSING_BASELINE": metadata["s2:processing_baseline"],
            "MGRS_TILE": metadata["s2:mgrs_tile"],
            "SENSING_ORBIT_NUMBER": metadata["sat:relative_orbit"],
        }
        return Image(properties, item.common_properties["system:footprint"], tuple(bands))

    def _scores(self, item: StacItem) -> Image:
        scale = float(item.content["assets"]["cs_cdf"]["raster:bands"][0]["scale"])
        stored = item.stored(self._rasters, "cs_cdf", decode_scaled(scale))
        bands = tuple(self._band(name, stored, FLOAT) for name in ("cs", "cs_cdf"))
        return Image(
            item.common_properties | {"MGRS_TILE": item.properties["s2:mgrs_tile"]},
            item.common_properties["system:footprint"],
            bands,
        )

    def _elevation(self, item: StacItem) -> Image:
        bands = (
            self._band("DEM", item.stored(self._rasters, "data", decode_finite), FLOAT),
            self._band("WBM", item.stored(self._rasters, "wbm", decode_unmasked), UINT8),
        )
        return Image(item.common_properties | {"tile_version": 1}, item.common_properties["system:footprint"], bands)

    def _nasadem(self) -> Image:
        return self._global_image(NASADEM, "elevation", "data", decode_rounded, INT16)

    def _occurrence(self) -> Image:
        return self._global_image(SURFACE_WATER, "occurrence", "wbm", decode_occurrence, PixelType("int", 0, 100))

    def _global_image(self, name: str, band: str, asset: str, decode: Decode, kind: PixelType) -> Image:
        """A global image of all elevation tiles, on the lattice of the first."""
        items = list(self._items(DEM))
        parts = [item.stored(self._rasters, asset, decode) for item in items]
        made = ImageBand(band, kind, parts[0].grid.projection, mosaicked(parts))
        return Image({"system:index": name.rpartition("/")[2]}, None, (made,), name, items[0].version)


def _usable(name: str, item: StacItem) -> bool:
    return name != SCORES or item.has("cs_cdf")


def _short_name(name: str) -> str:
    return name.removeprefix("projects/earthengine-public/assets/")


def _as_asset(image: Image, collection: str) -> Image:
    index, version = image.properties["system:index"], image.properties["system:version"]
    return Image(image.properties, image.footprint, image.bands, f"{collection}/{index}", version)
