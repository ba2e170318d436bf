"""A look at a case before it is exported: Earth Engine's own layers on a page, by geemap's folium backend.

In a notebook: `Preview(load_case(path)).map()` shows the same map. geemap costs 400 MB and four seconds, so it is an
extra (`pip install "landslide[preview]"`) and imported here alone.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ee

from landslide.cases.case import Case
from landslide.cases.sources import EarthEngineSource
from landslide.errors import InputError, SourceError
from landslide.features.labels import read_inventory
from landslide.geo.grid import area, grid
from landslide.sources.earthengine.expressions import inventory, sentinel2
from landslide.sources.earthengine.image import NODATA
from landslide.sources.earthengine.query import patiently
from landslide.sources.earthengine.source import EarthEngine

Look = Mapping[str, Any]
LOSS = ["#67001f", "#d6604d", "#f7f7f7", "#92c5de", "#2166ac"]
STEEP = ["#f7f7f7", "#cccccc", "#969696", "#636363", "#252525"]
NATURAL: Look = {"bands": ["red", "green", "blue"], "min": 0.0, "max": 0.25, "gamma": 1.2}
LOOKS: Mapping[str, tuple[str, Look]] = {
    "dndvi_median": ("Change of NDVI", {"min": -0.6, "max": 0.6, "palette": LOSS}),
    "vv_change": ("Change of VV, dB", {"min": -6, "max": 6, "palette": LOSS[::-1]}),
    "vh_change": ("Change of VH, dB", {"min": -6, "max": 6, "palette": LOSS[::-1]}),
    "slope": ("Slope, degrees", {"min": 0, "max": 50, "palette": STEEP}),
}
SHOWN = ("Sentinel-2 after", "Area of interest", "Inventory")


class Preview:
    """A case's layers. Raises as `EarthEngine` does, and InputError where the case has another source."""

    def __init__(self, case: Case) -> None:
        if not isinstance(case.source, EarthEngineSource):
            raise InputError(f"case {case.id} has source {case.source.kind}; only `source: earthengine` has a preview")
        self._case = case
        self._source = EarthEngine(case, case.source)

    def map(self) -> Any:
        """geemap's folium map, with a control to switch layers."""
        drawn = _geemap().Map(
            ee_initialize=False,
            plugin_Draw=False,
            plugin_Fullscreen=False,
            search_control=False,
        )
        for name, layer, look in self._layers():
            patiently(lambda name=name, layer=layer, look=look: drawn.addLayer(layer, look, name, name in SHOWN))  # type: ignore[misc]
        west, south, east, north = area(self._case).boundingbox
        drawn.fit_bounds([[south, west], [north, east]])
        drawn.add_layer_control()
        return drawn

    def _layers(self) -> Iterator[tuple[str, Any, Look]]:
        """Name, what Earth Engine draws, and how."""
        recipe = self._source.recipe
        if recipe.optical:
            yield "Sentinel-2 before", sentinel2.reflectance(recipe.optical, "pre"), NATURAL
            yield "Sentinel-2 after", sentinel2.reflectance(recipe.optical, "post"), NATURAL
        for band, (name, look) in LOOKS.items():
            if band in recipe.bands:
                plane = recipe.image.select(band)
                yield name, plane.updateMask(plane.neq(NODATA)), look
        for key in recipe.counted:
            yield f"Times seen, {key}", recipe.image.select(key), {"min": 0, "max": 12, "palette": STEEP}
        yield "Area of interest", _outline([area(self._case).geom], "EPSG:4326", "#ffd700"), {}
        if self._case.inventory:
            geobox = grid(self._case)
            shapes = read_inventory(self._case, geobox).on_grid(geobox)
            yield "Inventory", _outline(shapes, str(geobox.crs), "#ff2d2d"), {}


def write_preview(case: Case, out: Path) -> None:
    """The case's layers as a page, written whole or not at all."""
    drawn = Preview(case).map()
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.draft")
    try:
        drawn.save(str(draft))
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _outline(shapes: Any, crs: str, colour: str) -> ee.Image:
    """Outlines two pixels wide, drawn as an image."""
    edges = ee.Image().byte().paint(featureCollection=inventory.features(shapes, crs), color=1, width=2)
    return edges.visualize(palette=[colour])


def _geemap() -> Any:
    os.environ.setdefault("USE_FOLIUM", "1")  # without it geemap 0.37 hides what its own folium backend imports
    try:
        from geemap import foliumap
    except ImportError as error:
        raise SourceError(
            f'the preview needs geemap, which is not installed ({error}): pip install "landslide[preview]"'
        ) from error
    except AttributeError as error:
        raise SourceError(
            "geemap was imported before without its folium backend. Restart, and make the preview first, or set "
            "USE_FOLIUM=1 in the environment"
        ) from error
    return foliumap
