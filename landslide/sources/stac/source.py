"""Scenes from a STAC catalogue on disk or a STAC API, through odc-stac, onto the case's grid.

One acquisition is what one pass took on one day: slices of a radar pass (same day, same orbit) and tiles of an optical
one (same day) are put together after each was scaled and masked by its own metadata, so an overlap counts once.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, cast

import numpy as np
import odc.stac
from odc.geo.geobox import GeoBox
from odc.loader import RasterLoadParams, RasterSource, RioDriver, RioReader

from landslide.artifacts.store import digest, file_digest
from landslide.cases.case import Case
from landslide.cases.sources import StacSource
from landslide.errors import SourceError
from landslide.features import optical, sar, terrain
from landslide.geo.grid import Roi, grid
from landslide.geo.warp import Method, Plane, RasterBand, grid_of, mosaic, native, pixel_metres, warped
from landslide.sources.base import Block, SceneInfo
from landslide.sources.compose import (
    COLOURS,
    TERRAIN,
    Acquisition,
    clear,
    colours,
    ground,
    measured,
    optical_bands,
    padded,
    radar,
    radar_bands,
    together,
)
from landslide.sources.stac.catalog import Catalogue, day, signer
from landslide.sources.stac.metadata import Scaling
from landslide.sources.stac.search import Scene, Search, local, uri_of

READERS = 4


class Stac:
    """A `Source` from a STAC catalogue; see `landslide.sources.Source`.

    Opening reads metadata only and raises SourceError (no catalogue, unknown collection or asset, metadata that leave a
    unit, an orbit or a reflectance open, a local file that is missing), EmptyWindowError or NoOverlapError.
    """

    def __init__(self, case: Case, config: StacSource) -> None:
        self._geobox = grid(case)
        self._sign = signer(config.sign)
        search = Search(case, Catalogue(config.catalog), self._geobox)
        self._radar = [] if config.sentinel1 is None else search.radar(config.sentinel1)
        self._optical = [] if config.sentinel2 is None else search.optical(config.sentinel2)
        self._dem = [] if config.dem is None else search.dem(config.dem)
        if not (self._radar or self._optical or self._dem):
            raise SourceError(f"case {case.id} names no collection. Add sentinel1, sentinel2 or dem to its source")
        self.parts: Mapping[str, GeoBox] = {"scene": self._geobox}
        self.bands = (
            *(radar_bands({"vv", "vh"}) if self._radar else ()),
            *(TERRAIN if self._dem else ()),
            *(optical_bands(set(COLOURS)) if self._optical else ()),
        )

    def fingerprint(self) -> str:
        """sha256 over the items as listed; of assets on disk the content counts, not the place."""
        everything = [*self._radar, *self._optical, *self._dem]
        return digest(sorted((_identity(scene) for scene in everything), key=digest))

    def scenes(self) -> Sequence[SceneInfo]:
        """The acquisitions' items, in time order."""
        ordered = sorted([*self._radar, *self._optical], key=lambda scene: (scene.acquisition, scene.item.id))
        return [
            SceneInfo(
                scene.sensor,
                scene.side,
                scene.item.id,
                day(scene.item).isoformat(),
                scene.orbit or None,
                scene.item.properties.get("eo:cloud_cover"),
            )
            for scene in ordered
        ]

    def read(self, part: str, roi: Roi) -> Block:
        """The bands at row and column slices."""
        geobox = self._geobox[roi]
        blocks = []
        if self._radar:
            grown = padded(self._geobox, roi, sar.HALO)
            blocks.append(radar(_acquisitions(self._radar, lambda scene: _power(scene, grown, self._sign))))
        if self._optical:
            grown = padded(self._geobox, roi, optical.HALO)
            blocks.append(colours(_acquisitions(self._optical, lambda scene: _colours(scene, grown, self._sign))))
        if self._dem:
            tiles = [(replace(band, uri=self._sign(band.uri)), tile) for band, tile in self._tiles]
            margin = terrain.margin(max(pixel_metres(tile) for _, tile in tiles))
            blocks.append(ground(native(tiles, geobox, margin), geobox))
        block = together(blocks)
        return Block({name: block.values[name] for name in self.bands}, block.seen)

    def label(self, part: str) -> None:
        """No ready-made label: it comes from the case's inventory."""
        return

    @cached_property
    def _tiles(self) -> list[tuple[RasterBand, GeoBox]]:
        bands = [_as_band(scene, "elevation") for scene in self._dem]
        return [(band, grid_of(self._sign(band.uri))) for band in bands]


def _identity(scene: Scene) -> dict[str, Any]:
    """What the bands depend on: the item's properties and each asset, on disk by its content."""
    assets = {}
    for name, key in scene.assets.items():
        uri = uri_of(scene.item, key)
        listed = {**scene.item.assets[key].to_dict(), "href": uri.split("?")[0]}
        assets[name] = {**listed, "href": file_digest(Path(uri))} if local(uri) else listed
    return {"id": scene.item.id, "properties": scene.item.to_dict()["properties"], "unit": scene.unit, "assets": assets}


def _as_band(scene: Scene, name: str) -> RasterBand:
    how = scene.scaling[name]
    return RasterBand(uri_of(scene.item, scene.assets[name]), 1, how.nodata, how.scale, how.offset)


def _acquisitions(scenes: Sequence[Scene], load: Callable[[Scene], dict[str, Plane]]) -> list[Acquisition]:
    """Scenes of one acquisition as one; of a tile that is there twice, the later processing baseline goes first."""
    ordered = sorted(scenes, key=lambda scene: scene.item.id)
    ordered.sort(key=lambda scene: str(scene.item.properties.get("s2:processing_baseline", "")), reverse=True)
    ordered.sort(key=lambda scene: scene.acquisition)
    acquisitions = []
    with ThreadPoolExecutor(READERS) as readers:
        loaded = zip(ordered, readers.map(load, ordered), strict=True)
        for _, group in groupby(loaded, key=lambda pair: pair[0].acquisition):
            members = list(group)
            merged = {name: mosaic([planes[name] for _, planes in members]) for name in members[0][1]}
            acquisitions.append(Acquisition(members[0][0].side, merged, members[0][0].orbit))
    return acquisitions


def _power(scene: Scene, geobox: GeoBox, sign: Callable[[str], str]) -> dict[str, Plane]:
    """Linear power of a scene. Decibels cannot be averaged, so they are resampled by the nearest pixel."""
    if scene.unit == "dB":
        loaded = _load(scene, dict.fromkeys(scene.assets, "nearest"), geobox, sign)
        planes = {name: sar.to_linear(plane) for name, plane in loaded.items()}
    else:
        planes = _load(scene, dict.fromkeys(scene.assets, "average"), geobox, sign)
    return {name: measured(plane, name) for name, plane in planes.items()}


def _colours(scene: Scene, geobox: GeoBox, sign: Callable[[str], str]) -> dict[str, Plane]:
    """Reflectance of a scene where its classification lets the ground be seen."""
    loaded = _load(scene, {**dict.fromkeys(COLOURS, "bilinear"), "scl": "nearest"}, geobox, sign)
    visible = clear(loaded["scl"])
    return {name: np.where(visible, loaded[name], np.float32(np.nan)) for name in COLOURS}


def _load(scene: Scene, methods: Mapping[str, str], geobox: GeoBox, sign: Callable[[str], str]) -> dict[str, Plane]:
    """float32 (y, x) of a scene's variables on a grid; NaN where the item has nodata or does not reach."""
    how = {uri_of(scene.item, key): scene.scaling[name] for name, key in scene.assets.items()}
    try:
        loaded = odc.stac.load(
            [scene.item], list(scene.assets.values()), geobox=geobox, dtype="float32", nodata=float("nan"),
            resampling={scene.assets[name]: method for name, method in methods.items()}, patch_url=sign,
            driver=_Driver(how),
        )  # fmt: skip
    except ValueError as error:
        raise SourceError(f"item {scene.item.id}: an asset is no raster ({error}). Name other assets") from error
    return {name: loaded[key].values[0] for name, key in scene.assets.items()}


class _Driver(RioDriver):
    """odc-stac's driver with this package's reader: exact on every block, the item's nodata and scale, named errors.

    `how` goes by the asset's address before it was signed.
    """

    def __init__(self, how: Mapping[str, Scaling]) -> None:
        super().__init__()
        self._how = how

    def open(self, src: RasterSource, ctx: Any) -> RioReader:
        plain = src.uri.removeprefix("file://")
        how = self._how.get(plain) or self._how[plain.split("?")[0]]
        return _Reader(src, ctx, RasterBand(src.uri, src.band or 1, how.nodata, how.scale, how.offset))


class _Reader(RioReader):
    def __init__(self, src: RasterSource, ctx: Any, band: RasterBand) -> None:
        super().__init__(src, ctx)
        self._band = band

    def read(
        self, cfg: RasterLoadParams, dst_geobox: GeoBox, *, dst: Any = None, selection: Any = None
    ) -> tuple[Roi, Plane]:
        values = warped(self._band, dst_geobox, cast(Method, cfg.resampling))
        if dst is not None:
            dst[:] = values
        return (slice(0, values.shape[0]), slice(0, values.shape[1])), values
