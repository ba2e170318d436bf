"""A person's own GeoTIFFs: scenes per sensor and date, a DEM, or ready-made bands of a stack by name."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from pydantic import JsonValue
from rasterio.errors import RasterioError

from landslide.artifacts.stage import file_digest
from landslide.cases.case import Case
from landslide.cases.fields import WHENS, When
from landslide.cases.sources import DatedFiles, FilesSource, Raster, Sentinel1Files, Sentinel2Files
from landslide.errors import EmptyWindowError, GridError, NoOverlapError, SourceError
from landslide.geo.grid import Roi, grid
from landslide.geo.raster import allow_no_georeference
from landslide.geo.warp import damaged, degrees, grid_of, overlaps
from landslide.sources.base import LAYERS, Asset, Block, LayerName, LayerRequest, Scene, SceneList, layer_of
from landslide.sources.compose import COLOURS, TERRAIN, optical_bands, radar_bands, scene_list
from landslide.sources.scene_reader import SceneReader, common_variables, finite_nodata


class Files:
    """A `Source` from files; see `landslide.sources.base.Source`. An entry of the case is one acquisition."""

    def __init__(self, case: Case, config: FilesSource) -> None:
        self._case, self._config = case, config
        self._geobox = grid(case)

    def find_scenes(self) -> SceneList:
        """Read the headers of all files, and hash their contents.

        Raises:
            SourceError: A file or band that is not there, a date outside the windows, a band delivered twice.
            GridError: Files of one scene on different grids.
            NoOverlapError: No file of a kind overlaps the area.
            EmptyWindowError: No layer has scenes on both sides of the event.
        """
        scenes = self._scenes()
        ready = {name: _scene("file", {name: _asset(raster)}) for name, raster in self._config.bands.items()}
        self._check_overlap(scenes, ready)
        bands = {layer: _derived(layer, found) for layer, found in scenes.items()}
        self._check_bands(scenes, bands, ready)
        requests = {}
        for layer in LAYERS:
            named = {name: scene for name, scene in ready.items() if layer_of(name) == layer}
            if bands[layer] or named:
                every = (*scenes[layer], *named.values())
                requests[layer] = partial(self._request, layer, (*bands[layer], *named), every)
        return scene_list(self._case.id, self._geobox, requests)

    def export(self, request: LayerRequest, part: str, workspace: Path) -> Iterator[tuple[Roi, Block]]:
        """The layer, block by block; SourceError names a file that does not read."""
        reader = SceneReader(request, self._geobox)
        yield from reader.read_all(f"Exporting {request.layer}, {self._case.id}")

    def label(self, request: LayerRequest, part: str) -> None:
        """No ready-made label: it comes from the case's inventory."""
        return

    def account(self) -> None:
        """Files are local."""
        return

    def _scenes(self) -> dict[LayerName, list[Scene]]:
        """The scenes from which bands are computed, by layer."""
        config = self._config
        return {
            "sentinel1": [_sentinel1(self._case, entry) for entry in config.sentinel1],
            "sentinel2": [_sentinel2(self._case, entry) for entry in config.sentinel2],
            "terrain": [] if config.dem is None else [_scene("dem", {"elevation": _asset(config.dem)})],
            "mask": [],
        }

    def _request(self, layer: LayerName, bands: tuple[str, ...], scenes: tuple[Scene, ...]) -> LayerRequest:
        _check_sides(self._case, scenes)
        settings: dict[str, JsonValue] = {}
        if any(scene.sensor == "sentinel-2" for scene in scenes):
            settings["cloud_dilation"] = self._config.cloud_dilation
        return LayerRequest(layer=layer, bands=bands, scenes=scenes, settings=settings)

    def _check_bands(
        self,
        scenes: Mapping[LayerName, Sequence[Scene]],
        derived: Mapping[LayerName, Sequence[str]],
        ready: Mapping[str, Scene],
    ) -> None:
        """SourceError where there is no band, where one is given twice, or where a sensor's scenes give none."""
        computed = [band for bands in derived.values() for band in bands]
        if twice := [name for name in ready if name in computed]:
            raise SourceError(f"case {self._case.id}: {twice} are in `bands` and also follow from the scenes. Drop one")
        if not computed and not ready:
            raise SourceError(f"case {self._case.id}: the source lists no files from which a band follows. Add some")
        for layer, found in scenes.items():
            if found and not derived[layer]:
                raise SourceError(
                    f"case {self._case.id}: no band follows from its {found[0].sensor} scenes, which have only "
                    f"{list(common_variables(found))} in common. Add files to each, or leave the sensor out"
                )

    def _check_overlap(self, scenes: Mapping[LayerName, Sequence[Scene]], ready: Mapping[str, Scene]) -> None:
        """Each kind of input must overlap the area, or its bands would hold no value."""
        kinds = {"dem" if layer == "terrain" else layer: list(found) for layer, found in scenes.items() if found}
        kinds |= {f"bands.{name}": [scene] for name, scene in ready.items()}
        for kind, found in kinds.items():
            grids = {asset.href: grid_of(asset.href) for scene in found for asset in scene.assets.values()}
            if not any(overlaps(geobox, self._geobox) for geobox in grids.values()):
                first, geobox = next(iter(grids.items()))
                raise NoOverlapError(
                    f"case {self._case.id}: no file of {kind} overlaps the area of interest; {first} covers "
                    f"{degrees(geobox)} (west, south, east, north), the area is {degrees(self._geobox)}. Correct "
                    "`aoi`, or give other files"
                )


def _derived(layer: LayerName, scenes: Sequence[Scene]) -> tuple[str, ...]:
    """The bands that follow from the scenes of a layer."""
    if layer == "terrain":
        return TERRAIN if scenes else ()
    variables = set(common_variables(scenes))
    return radar_bands(variables) if layer == "sentinel1" else optical_bands(variables)


def _scene(sensor: str, assets: dict[str, Asset], **more: Any) -> Scene:
    """A scene, named after its first file."""
    return Scene(id=Path(next(iter(assets.values())).href).name, sensor=sensor, assets=assets, **more)


def _sentinel1(case: Case, entry: Sentinel1Files) -> Scene:
    given = {"vv": entry.vv, "vh": entry.vh}
    assets = {name: _asset(raster) for name, raster in given.items() if raster is not None}
    _check_one_grid(assets)
    side = _side(case, entry, assets)
    return _scene("sentinel-1", assets, side=side, time=_time(entry), orbit=entry.orbit, unit=entry.unit)


def _sentinel2(case: Case, entry: Sentinel2Files) -> Scene:
    given = {name: getattr(entry, name) for name in (*COLOURS, "scl")}
    assets = {name: _asset(raster) for name, raster in given.items() if raster is not None}
    if not set(assets) - {"scl"}:
        raise SourceError(f"case {case.id}: a Sentinel-2 scene of {entry.date or entry.when} lists no colour. Add one")
    _check_one_grid(assets)
    return _scene("sentinel-2", assets, side=_side(case, entry, assets), time=_time(entry))


def _side(case: Case, entry: DatedFiles, assets: Mapping[str, Asset]) -> When:
    side = entry.when if entry.date is None else case.side(entry.date)
    if side is None:
        raise SourceError(
            f"case {case.id}: {next(iter(assets.values())).href} is of {entry.date}, outside both windows "
            f"({case.windows}). Leave it out, or widen a window"
        )
    return side


def _time(entry: DatedFiles) -> datetime | None:
    return None if entry.date is None else datetime.combine(entry.date, time(), UTC)


def _check_sides(case: Case, scenes: Sequence[Scene]) -> None:
    """EmptyWindowError where scenes with a side are all on the same."""
    sided = [scene for scene in scenes if scene.side is not None]
    for side in WHENS:
        if sided and not any(scene.side == side for scene in sided):
            dates = sorted(str(scene.date or scene.side) for scene in sided)
            raise EmptyWindowError(
                f"case {case.id}: no {sided[0].sensor} scene in the {side} window ({case.windows}); the files are of "
                f"{dates}. Add one, or leave the sensor out"
            )


def _asset(raster: Raster) -> Asset:
    """The band that a case names, found in the file's header."""
    try:
        with allow_no_georeference(), rasterio.open(raster.path) as dataset:
            names = [name or str(number) for number, name in enumerate(dataset.descriptions, 1)]
    except RasterioError as error:
        raise damaged(str(raster.path), error) from error
    if isinstance(raster.band, int) and 1 <= raster.band <= len(names):
        number = raster.band
    elif raster.band in names:
        number = names.index(str(raster.band)) + 1
    else:
        raise SourceError(f"{raster.path} has no band {raster.band!r}; it has {names}. Correct `band`")
    return Asset(
        href=str(raster.path),
        content=file_digest(raster.path),
        band=number,
        nodata=finite_nodata(raster.nodata),
        scale=raster.scale,
        offset=raster.offset,
    )


def _check_one_grid(assets: Mapping[str, Asset]) -> None:
    """Files of one scene share their grid; a scene classification, often coarser, its CRS alone."""
    grids = {name: (asset.href, grid_of(asset.href)) for name, asset in assets.items()}
    first, geobox = next(iter(grids.values()))
    for name, (href, other) in grids.items():
        agree = other.crs == geobox.crs if name == "scl" else _same(other, geobox)
        if not agree:
            raise GridError(
                f"{href} and {first} are one scene but lie on different grids: {_described(other)} and "
                f"{_described(geobox)}. List files of one grid per scene"
            )


def _same(one: GeoBox, other: GeoBox) -> bool:
    step = ~one.affine * other.affine if one.crs == other.crs and one.shape == other.shape else None
    return step is not None and np.allclose(step, (1, 0, 0, 0, 1, 0, 0, 0, 1), atol=1e-3)


def _described(geobox: GeoBox) -> str:
    left_top = (geobox.affine.c, geobox.affine.f)
    return f"{geobox.crs}, {geobox.shape.x} × {geobox.shape.y} pixels of {geobox.resolution.x:g} from {left_top}"
