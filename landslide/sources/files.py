"""A person's own GeoTIFFs: scenes per sensor and date, a DEM, or ready-made bands of a stack by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from landslide.artifacts.store import digest, file_digest
from landslide.cases.case import Case
from landslide.cases.fields import WHENS, When
from landslide.cases.sources import DatedFiles, FilesSource, Raster, Sentinel1Files, Sentinel2Files
from landslide.errors import EmptyWindowError, GridError, NoOverlapError, SourceError
from landslide.features import optical, sar, terrain
from landslide.geo.grid import Roi, grid
from landslide.geo.raster import quiet
from landslide.geo.warp import Plane, RasterBand, damaged, grid_of, native, pixel_metres, warped
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


@dataclass(frozen=True)
class Scene:
    """One acquisition in files; `unit` of Sentinel-1 alone."""

    sensor: Literal["sentinel-1", "sentinel-2"]
    side: When
    date: date | None
    bands: Mapping[str, RasterBand]
    orbit: str = ""
    unit: str = ""

    @property
    def id(self) -> str:
        """The name of its first file."""
        return Path(next(iter(self.bands.values())).uri).name


class Files:
    """A `Source` from files; see `landslide.sources.Source`.

    Opening reads headers only and raises SourceError (a file or band that is not there, a date outside the windows, a
    band delivered twice), EmptyWindowError, GridError (files of one scene on different grids) or NoOverlapError.
    """

    def __init__(self, case: Case, config: FilesSource) -> None:
        self._case = case
        self._geobox = grid(case)
        self._radar = [_sentinel1(case, scene) for scene in config.sentinel1]
        self._colours = [_sentinel2(case, scene) for scene in config.sentinel2]
        self._dem = None if config.dem is None else _band(config.dem)
        self._ready = {name: _band(raster) for name, raster in config.bands.items()}
        for scenes in (self._radar, self._colours):
            _both_sides(case, scenes)
        self._overlap()
        self.parts: Mapping[str, GeoBox] = {"scene": self._geobox}
        self.bands = self._bands()

    def fingerprint(self) -> str:
        """sha256 over the contents of all files, by what each is used for."""
        return digest({role: file_digest(Path(band.uri)) for role, band in self._roles().items()})

    def scenes(self) -> Sequence[SceneInfo]:
        """The acquisitions in use, in time order; those without a date by their side of the event."""
        ordered = sorted([*self._radar, *self._colours], key=lambda one: (one.side != "pre", str(one.date or "")))
        return [
            SceneInfo(one.sensor, one.side, one.id, one.date.isoformat() if one.date else None, one.orbit or None)
            for one in ordered
        ]

    def read(self, part: str, roi: Roi) -> Block:
        """The bands at row and column slices."""
        geobox = self._geobox[roi]
        blocks = []
        if self._radar:
            names = self._common(self._radar)
            grown = padded(self._geobox, roi, sar.HALO)
            blocks.append(radar([_power(one, names, grown) for one in self._radar]))
        if self._colours:
            names = self._common(self._colours)
            grown = padded(self._geobox, roi, optical.HALO)
            blocks.append(colours([_reflectance(one, names, grown) for one in self._colours]))
        if self._dem is not None:
            tile = (self._dem, grid_of(self._dem.uri))
            blocks.append(ground(native([tile], geobox, terrain.margin(pixel_metres(tile[1]))), geobox))
        ready = {name: warped(band, geobox, "bilinear") for name, band in self._ready.items()}
        block = together([*blocks, Block(ready)])
        return Block({name: block.values[name] for name in self.bands}, block.seen)

    def label(self, part: str) -> None:
        """No ready-made label: it comes from the case's inventory."""
        return

    def _bands(self) -> tuple[str, ...]:
        derived: list[str] = []
        if self._radar:
            derived += radar_bands(set(self._common(self._radar)))
        derived += [] if self._dem is None else TERRAIN
        if self._colours:
            derived += optical_bands(set(self._common(self._colours)))
        twice = [name for name in self._ready if name in derived]
        if twice:
            raise SourceError(f"case {self._case.id}: {twice} are in `bands` and also follow from the scenes. Drop one")
        if not derived and not self._ready:
            raise SourceError(f"case {self._case.id}: the source lists no files from which a band follows. Add some")
        return (*derived, *self._ready)

    @staticmethod
    def _common(scenes: Sequence[Scene]) -> list[str]:
        """The variables that every scene has."""
        return [name for name in scenes[0].bands if all(name in one.bands for one in scenes)]

    def _roles(self) -> dict[str, RasterBand]:
        roles = {f"bands.{name}": band for name, band in self._ready.items()}
        for key, scenes in (("sentinel1", self._radar), ("sentinel2", self._colours)):
            roles |= {f"{key}.{i}.{name}": band for i, one in enumerate(scenes) for name, band in one.bands.items()}
        return roles | ({} if self._dem is None else {"dem": self._dem})

    def _overlap(self) -> None:
        """Each kind of input must reach the area, or its bands would be blind."""
        kinds: dict[str, list[RasterBand]] = {}
        for role, band in self._roles().items():
            kinds.setdefault(role if role.startswith("bands.") else role.split(".")[0], []).append(band)
        for kind, bands in kinds.items():
            if not any(_overlaps(grid_of(band.uri), self._geobox) for band in bands):
                raise NoOverlapError(
                    f"case {self._case.id}: no file of {kind} overlaps the area of interest; {bands[0].uri} "
                    f"covers {_degrees(grid_of(bands[0].uri))} (west, south, east, north), the area is "
                    f"{_degrees(self._geobox)}. Correct `aoi`, or give other files"
                )


def _sentinel1(case: Case, scene: Sentinel1Files) -> Scene:
    bands = {name: _band(raster) for name, raster in (("vv", scene.vv), ("vh", scene.vh)) if raster is not None}
    _one_grid(bands)
    return Scene("sentinel-1", _side(case, scene, bands), scene.date, bands, scene.orbit, scene.unit)


def _sentinel2(case: Case, scene: Sentinel2Files) -> Scene:
    given = {name: getattr(scene, name) for name in (*COLOURS, "scl")}
    bands = {name: _band(raster) for name, raster in given.items() if raster is not None}
    if not set(bands) - {"scl"}:
        raise SourceError(f"case {case.id}: a Sentinel-2 scene of {scene.date or scene.when} lists no colour. Add one")
    _one_grid(bands)
    return Scene("sentinel-2", _side(case, scene, bands), scene.date, bands)


def _side(case: Case, scene: DatedFiles, bands: Mapping[str, RasterBand]) -> When:
    side = scene.when if scene.date is None else case.side(scene.date)
    if side is None:
        raise SourceError(
            f"case {case.id}: {next(iter(bands.values())).uri} is of {scene.date}, outside both windows "
            f"({case.windows}). Leave it out, or widen a window"
        )
    return side


def _both_sides(case: Case, scenes: Sequence[Scene]) -> None:
    for side in WHENS:
        if scenes and not any(one.side == side for one in scenes):
            had = sorted(str(one.date or one.side) for one in scenes)
            raise EmptyWindowError(
                f"case {case.id}: no {scenes[0].sensor} scene in the {side} window ({case.windows}); the files are of "
                f"{had}. Add one, or leave the sensor out"
            )


def _band(raster: Raster) -> RasterBand:
    """The band that a case names, found in the file's header."""
    try:
        with quiet(), rasterio.open(raster.path) as dataset:
            names = [name or str(number) for number, name in enumerate(dataset.descriptions, 1)]
    except RasterioError as error:
        raise damaged(str(raster.path), error) from error
    if isinstance(raster.band, int) and 1 <= raster.band <= len(names):
        index = raster.band
    elif raster.band in names:
        index = names.index(str(raster.band)) + 1
    else:
        raise SourceError(f"{raster.path} has no band {raster.band!r}; it has {names}. Correct `band`")
    return RasterBand(str(raster.path), index, raster.nodata, raster.scale, raster.offset)


def _one_grid(bands: Mapping[str, RasterBand]) -> None:
    """Files of one scene share their grid; a scene classification, often coarser, its CRS alone."""
    grids = {name: (band.uri, grid_of(band.uri)) for name, band in bands.items()}
    first, geobox = next(iter(grids.values()))
    for name, (uri, other) in grids.items():
        agree = other.crs == geobox.crs if name == "scl" else _same(other, geobox)
        if not agree:
            raise GridError(
                f"{uri} and {first} are one scene but lie on different grids: {_words(other)} and {_words(geobox)}. "
                "List files of one grid per scene"
            )


def _same(one: GeoBox, other: GeoBox) -> bool:
    step = ~one.affine * other.affine if one.crs == other.crs and one.shape == other.shape else None
    return step is not None and np.allclose(step, (1, 0, 0, 0, 1, 0, 0, 0, 1), atol=1e-3)


def _words(geobox: GeoBox) -> str:
    left_top = (geobox.affine.c, geobox.affine.f)
    return f"{geobox.crs}, {geobox.shape.x} × {geobox.shape.y} pixels of {geobox.resolution.x:g} from {left_top}"


def _overlaps(one: GeoBox, other: GeoBox) -> bool:
    return bool(one.footprint("EPSG:4326").intersects(other.footprint("EPSG:4326")))


def _degrees(geobox: GeoBox) -> list[float]:
    return [round(edge, 4) for edge in geobox.footprint("EPSG:4326").boundingbox]


def _power(scene: Scene, names: Sequence[str], geobox: GeoBox) -> Acquisition:
    """Linear power. Decibels cannot be averaged, so they are resampled by the nearest pixel."""
    if scene.unit == "dB":
        planes = {name: sar.to_linear(warped(scene.bands[name], geobox, "nearest")) for name in names}
    else:
        planes = {name: warped(scene.bands[name], geobox, "average") for name in names}
    return Acquisition(scene.side, {name: measured(plane, name) for name, plane in planes.items()}, scene.orbit)


def _reflectance(scene: Scene, names: Sequence[str], geobox: GeoBox) -> Acquisition:
    planes: dict[str, Plane] = {name: warped(scene.bands[name], geobox, "bilinear") for name in names if name != "scl"}
    if "scl" in scene.bands:
        visible = clear(warped(scene.bands["scl"], geobox, "nearest"))
        planes = {name: np.where(visible, plane, np.nan).astype("float32") for name, plane in planes.items()}
    return Acquisition(scene.side, planes)
