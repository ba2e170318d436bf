"""Blocks of a layer from the raster files of its scenes: how the `stac` and `files` sources read pixels.

Scenes that are consecutive in the request and state the same `acquisition` (in `Scene.properties`) are one acquisition:
slices of a radar pass, tiles of a day. They are mosaicked after each was scaled and masked by its own metadata. Where
they overlap, the first scene with a value counts, so the overlap is one observation. A scene that states no
`acquisition` is one by itself.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import cast

import numpy as np
from odc.geo.geobox import GeoBox

from landslide.cases.fields import When
from landslide.features import sar, terrain
from landslide.geo.grid import Roi, blocks
from landslide.geo.warp import Method, Plane, RasterBand, grid_of, mosaic, native, overlaps, pixel_metres, warped
from landslide.progress import track
from landslide.sources.base import Asset, Block, LayerRequest, Scene
from landslide.sources.compose import (
    Acquisition,
    clear,
    merged,
    optical_block,
    radar_block,
    without_border_noise,
)

BLOCK_SIDE = 512
THREADS = 4  # scenes that are read at a time
Load = Callable[[Scene, Sequence[str], GeoBox], dict[str, Plane]]


class SceneReader:
    """Reads a layer on a grid from the assets of its scenes.

    Sensors of scenes: `sentinel-1` (assets vv, vh), `sentinel-2` (colours, scl), `dem` (elevation), and `file`, whose
    assets are ready-made bands by name.

    Args:
        request: The layer; nothing else is asked for.
        geobox: The grid of the case.
        sign: Turns the address of an asset into one that may be read.
    """

    def __init__(self, request: LayerRequest, geobox: GeoBox, sign: Callable[[str], str] = str) -> None:
        self._request, self._geobox, self._sign = request, geobox, sign
        self._grids: dict[str, GeoBox] = {}
        self._dilation = cast(int, request.settings.get("cloud_dilation", 0))

    def read_all(self, description: str) -> Iterator[tuple[Roi, Block]]:
        """The whole grid in blocks, in reading order; `description` is what people see of the progress."""
        shape = (self._geobox.shape.y, self._geobox.shape.x)
        for roi in track(blocks(shape, BLOCK_SIDE), description):
            yield roi, self.read(roi)

    def read(self, roi: Roi) -> Block:
        """The bands at row and column slices, whose values do not depend on the slices.

        SourceError names a file that is missing, truncated, without CRS or refused by a server.
        """
        geobox = self._geobox[roi]
        found = []
        if scenes := self._scenes("sentinel-1"):
            found.append(radar_block(self._acquisitions(scenes, self._power, geobox.pad(sar.HALO))))
        if scenes := self._scenes("sentinel-2"):
            acquisitions = self._acquisitions(scenes, self._reflectance, geobox.pad(self._dilation))
            found.append(optical_block(acquisitions, self._dilation))
        if scenes := self._scenes("dem"):
            found.append(self._terrain(scenes, geobox))
        for scene in self._scenes("file"):
            ready = {band: self._plane(asset, geobox, "bilinear") for band, asset in scene.assets.items()}
            found.append(Block(ready))
        return merged(found, self._request.bands)

    def _scenes(self, sensor: str) -> list[Scene]:
        return [scene for scene in self._request.scenes if scene.sensor == sensor]

    def _acquisitions(self, scenes: Sequence[Scene], load: Load, geobox: GeoBox) -> list[Acquisition]:
        """The common variables of the scenes on a padded block, mosaicked by acquisition."""
        names = common_variables(scenes)
        acquisitions = []
        with ThreadPoolExecutor(THREADS) as threads:
            loaded = threads.map(lambda scene: load(scene, names, geobox), scenes)
            numbered = enumerate(zip(scenes, loaded, strict=True))
            for _, group in groupby(numbered, key=lambda pair: _acquisition(pair[0], pair[1][0])):
                members = [member for _, member in group]
                mosaicked = {name: mosaic([planes[name] for _, planes in members]) for name in names}
                first = members[0][0]
                acquisitions.append(Acquisition(cast(When, first.side), mosaicked, first.orbit))
        return acquisitions

    def _power(self, scene: Scene, names: Sequence[str], geobox: GeoBox) -> dict[str, Plane]:
        """Linear power. Decibels cannot be averaged, so they are resampled by the nearest pixel."""
        if scene.unit == "dB":
            planes = {name: sar.to_linear(self._plane(scene.assets[name], geobox, "nearest")) for name in names}
        else:
            planes = {name: self._plane(scene.assets[name], geobox, "average") for name in names}
        return {name: without_border_noise(plane, name) for name, plane in planes.items()}

    def _reflectance(self, scene: Scene, names: Sequence[str], geobox: GeoBox) -> dict[str, Plane]:
        """Reflectance, NaN where the scene's classification, if it has one, hides the ground."""
        planes = {name: self._plane(scene.assets[name], geobox, "bilinear") for name in names}
        if "scl" in scene.assets:
            visible = clear(self._plane(scene.assets["scl"], geobox, "nearest"), self._dilation)
            planes = {name: np.where(visible, plane, np.float32(np.nan)) for name, plane in planes.items()}
        return planes

    def _terrain(self, scenes: Sequence[Scene], geobox: GeoBox) -> Block:
        """Terrain bands of all tiles as one DEM on its own grid."""
        assets = [scene.assets["elevation"] for scene in scenes]
        tiles = [(self._band(asset), self._grid(asset)) for asset in assets]
        margin = terrain.margin(max(pixel_metres(tile) for _, tile in tiles))
        return Block(terrain.terrain_on(native(tiles, geobox, margin), geobox))

    def _plane(self, asset: Asset, geobox: GeoBox, method: Method) -> Plane:
        """float32 (y, x) of an asset on a grid, scaled, NaN where it has nodata or no pixel.

        Of a file that does not overlap the grid only the header is read.
        """
        if not overlaps(self._grid(asset), geobox):
            return np.full(geobox.shape, np.nan, "float32")
        return warped(self._band(asset), geobox, method)

    def _grid(self, asset: Asset) -> GeoBox:
        """The grid of an asset's file, whose header is read once."""
        if asset.href not in self._grids:
            self._grids[asset.href] = grid_of(self._sign(asset.href))
        return self._grids[asset.href]

    def _band(self, asset: Asset) -> RasterBand:
        return RasterBand(self._sign(asset.href), asset.band, asset.nodata, asset.scale, asset.offset)


def finite_nodata(stated: float | None) -> float | None:
    """A stated nodata for an asset; None for NaN, which is missing in every float file and which JSON lacks."""
    return None if stated is None or np.isnan(stated) else stated


def common_variables(scenes: Sequence[Scene]) -> tuple[str, ...]:
    """The variables that every scene has, in the order of the first; a scene classification is none."""
    names = scenes[0].assets if scenes else ()
    return tuple(name for name in names if name != "scl" and all(name in scene.assets for scene in scenes))


def _acquisition(number: int, scene: Scene) -> object:
    """What scenes of one acquisition have in common: the scene's position in the request where it states nothing."""
    return scene.properties.get("acquisition", number)
