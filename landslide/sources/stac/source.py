"""Scenes from a STAC catalogue on disk or a STAC API, onto the case's grid.

One acquisition is what one pass took on one day: slices of a radar pass (same day, same orbit) and tiles of an optical
one (same day).
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from landslide.cases.case import Case
from landslide.cases.sources import StacSource
from landslide.errors import SourceError
from landslide.geo.grid import Roi, grid
from landslide.sources.base import Block, LayerName, LayerRequest, SceneList
from landslide.sources.compose import scene_list
from landslide.sources.scene_reader import SceneReader
from landslide.sources.stac.catalog import Catalogue, signer
from landslide.sources.stac.search import Search


class Stac:
    """A `Source` from a STAC catalogue; see `landslide.sources.base.Source`.

    Opening raises SourceError where `sign` needs a package that is not installed.
    """

    def __init__(self, case: Case, config: StacSource) -> None:
        self._case, self._config = case, config
        self._geobox = grid(case)
        self._sign = signer(config.sign)

    def find_scenes(self) -> SceneList:
        """Search the catalogue once, and hash the files that it names on this disk.

        Raises:
            SourceError: No catalogue, an unknown collection or asset, metadata that leave a unit, an orbit or a
                reflectance open, a local file that is missing.
            NoOverlapError: A collection has nothing over the area.
            EmptyWindowError: No sensor has usable scenes in both windows.
        """
        config = self._config
        search = Search(self._case, Catalogue(config.catalog), self._geobox)
        requests: dict[LayerName, Callable[[], LayerRequest]] = {}
        if config.sentinel1 is not None:
            requests["sentinel1"] = partial(search.radar, config.sentinel1)
        if config.sentinel2 is not None:
            requests["sentinel2"] = partial(search.optical, config.sentinel2)
        if config.dem is not None:
            requests["terrain"] = partial(search.dem, config.dem)
        if not requests:
            raise SourceError(
                f"case {self._case.id} names no collection. Add sentinel1, sentinel2 or dem to its source"
            )
        return scene_list(self._case.id, self._geobox, requests)

    def export(self, request: LayerRequest, part: str, workspace: Path) -> Iterator[tuple[Roi, Block]]:
        """The layer, block by block, without the catalogue; SourceError names an asset that does not read."""
        reader = SceneReader(request, self._geobox, self._sign)
        yield from reader.read_all(f"Exporting {request.layer}, {self._case.id}")

    def label(self, request: LayerRequest, part: str) -> None:
        """No ready-made label: it comes from the case's inventory."""
        return

    def account(self) -> None:
        """Assets are read by address; no service charges for them."""
        return
