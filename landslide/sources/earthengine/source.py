"""The `earthengine` source: a case's layers computed by Google, on the case's grid."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from landslide.bands import BAND_SETS
from landslide.cases.case import Case
from landslide.cases.sources import EarthEngineSource
from landslide.errors import BandError, EmptyWindowError
from landslide.extras import require
from landslide.geo.grid import Roi, grid
from landslide.sources.base import SCENE, Block, LayerName, LayerRequest, PartGrid, SceneList, bands_of
from landslide.sources.compose import COLOURS, optical_bands, radar_bands
from landslide.sources.earthengine.export.layer import LayerExport
from landslide.sources.earthengine.expressions import sentinel1, sentinel2, terrain, water
from landslide.sources.earthengine.limiter import shared
from landslide.sources.earthengine.session import connect


class EarthEngine:
    """A `Source` whose pixels Google computes.

    Opening asks Google for nothing; BandError for a band that no sensor gives, InputError for a bucket without the
    package that reads one. `find_scenes` and `export` sign in; SourceError without credentials or project. `export`
    also raises SourceError where Google refuses a request for good, and InputError where its estimate passes the case's
    cap.
    """

    def __init__(self, case: Case, config: EarthEngineSource) -> None:
        self._case, self._config = case, config
        self._geobox = grid(case)
        self._bands = requested_bands(case, config)
        self._last_export: LayerExport | None = None
        shared(config.export.requests)
        if config.export.bucket:
            require("google.cloud.storage", "cloud", "exports through a bucket")

    def find_scenes(self) -> SceneList:
        """The scenes of each sensor that a band needs, with a request for each layer."""
        connect(self._config.project)
        layers: dict[LayerName, LayerRequest] = {}
        missing: dict[LayerName, str] = {}
        for layer, find in self._searches().items():
            if bands := bands_of(layer, self._bands):
                try:
                    layers[layer] = find(bands=bands)
                except EmptyWindowError as error:
                    missing[layer] = str(error)
        if not layers:
            raise EmptyWindowError("; ".join(missing.values()))
        parts = {SCENE: PartGrid.of(self._geobox)}
        return SceneList(case=self._case.id, parts=parts, layers=layers, missing=missing)

    def _searches(self) -> dict[LayerName, Callable[..., LayerRequest]]:
        """For each sensor of the case the function that gives its layer's request, by the layer's bands."""
        case, geobox, config = self._case, self._geobox, self._config
        searches: dict[LayerName, Callable[..., LayerRequest]] = {}
        if config.sentinel1 is not None:
            dem = config.dem or "glo30"
            searches["sentinel1"] = partial(sentinel1.find, case, geobox, config=config.sentinel1, dem=dem)
        if config.sentinel2 is not None:
            searches["sentinel2"] = partial(sentinel2.find, case, geobox, config=config.sentinel2)
        if config.dem is not None:
            searches["terrain"] = partial(terrain.find, case, geobox, dem=config.dem)
        if config.water is not None:
            searches["mask"] = partial(water.request, product=config.water)
        return searches

    def export(self, request: LayerRequest, part: str, workspace: Path) -> Iterator[tuple[Roi, Block]]:
        """The whole layer, tile by tile or from the files that Google writes into a bucket."""
        session = connect(self._config.project)
        self._last_export = LayerExport(self._case.id, request, self._geobox, self._config.export, session)
        yield from self._last_export.blocks(workspace)

    def label(self, request: LayerRequest, part: str) -> None:
        """No ready-made label: it comes from the case's inventory."""
        return

    def account(self) -> dict[str, Any] | None:
        """What the last export of this object took, and its estimate; None before any."""
        return None if self._last_export is None else self._last_export.account()


def requested_bands(case: Case, config: EarthEngineSource) -> tuple[str, ...]:
    """The bands a case asks for; by default the paper's that its sensors give, and water where it is set."""
    available = (
        *(radar_bands({"vv", "vh"}) if config.sentinel1 else ()),
        *(terrain.BANDS if config.dem else ()),
        *(optical_bands({*COLOURS}) if config.sentinel2 else ()),
        *(("water",) if config.water else ()),
    )
    if config.bands is None:
        return tuple(name for name in available if name in BAND_SETS["all"] or name == "water")
    missing = [name for name in config.bands if name not in available]
    if missing:
        raise BandError(
            f"case {case.id}: Earth Engine with these sensors gives no {missing}; it gives {', '.join(available)}. "
            "Correct `bands`, or add the sensor"
        )
    return config.bands
