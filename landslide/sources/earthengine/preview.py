"""A case before it is exported: Earth Engine's own layers on a page, by geemap's folium backend.

In a notebook: `Preview(load_case(path)).map()` shows the same map. geemap costs 400 MB and four seconds, so it is an
extra (`pip install "landslide[preview]"`) and imported here alone.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ee

from landslide.artifacts.atomic import atomic_file
from landslide.cases.case import Case
from landslide.cases.sources import EarthEngineSource
from landslide.errors import InputError, SourceError
from landslide.features.labels import read_inventory
from landslide.geo.grid import area, grid
from landslide.sources.base import COUNTS, layer_of
from landslide.sources.earthengine.expressions import inventory, sentinel2
from landslide.sources.earthengine.image import NODATA, layer_image
from landslide.sources.earthengine.query import with_retries
from landslide.sources.earthengine.source import EarthEngine

Visualization = Mapping[str, Any]
RED_TO_BLUE = ["#67001f", "#d6604d", "#f7f7f7", "#92c5de", "#2166ac"]
GREYS = ["#f7f7f7", "#cccccc", "#969696", "#636363", "#252525"]
NATURAL: Visualization = {"bands": ["red", "green", "blue"], "min": 0.0, "max": 0.25, "gamma": 1.2}
BANDS: Mapping[str, tuple[str, Visualization]] = {
    "dndvi_median": ("Change of NDVI", {"min": -0.6, "max": 0.6, "palette": RED_TO_BLUE}),
    "vv_change": ("Change of VV, dB", {"min": -6, "max": 6, "palette": RED_TO_BLUE[::-1]}),
    "vh_change": ("Change of VH, dB", {"min": -6, "max": 6, "palette": RED_TO_BLUE[::-1]}),
    "slope": ("Slope, degrees", {"min": 0, "max": 50, "palette": GREYS}),
}
SHOWN = ("Sentinel-2 after", "Area of interest", "Inventory")
log = logging.getLogger(__name__)


class Preview:
    """A case's layers. Raises as `EarthEngine.find_scenes`, and InputError where the case has another source."""

    def __init__(self, case: Case) -> None:
        if not isinstance(case.source, EarthEngineSource):
            raise InputError(f"case {case.id} has source {case.source.kind}; only `source: earthengine` has a preview")
        self._case, self._geobox = case, grid(case)
        self._requests = EarthEngine(case, case.source).find_scenes()
        for layer, why in self._requests.missing.items():
            log.warning("the preview has no %s: %s", layer, why)

    def map(self) -> Any:
        """geemap's folium map, with a control to switch layers."""
        page = _geemap().Map(
            ee_initialize=False,
            plugin_Draw=False,
            plugin_Fullscreen=False,
            search_control=False,
        )
        for name, image, style in self._layers():
            with_retries(lambda name=name, image=image, style=style: page.addLayer(image, style, name, name in SHOWN))  # type: ignore[misc]
        west, south, east, north = area(self._case).boundingbox
        page.fit_bounds([[south, west], [north, east]])
        page.add_layer_control()
        return page

    def _layers(self) -> Iterator[tuple[str, ee.Image, Visualization]]:
        """Name, image, and how it is drawn."""
        requests = self._requests.layers
        images = {layer: layer_image(request, self._geobox) for layer, request in requests.items()}
        if "sentinel2" in requests:
            optical = sentinel2.Optical.of(requests["sentinel2"])
            yield "Sentinel-2 before", sentinel2.reflectance(optical, "pre"), NATURAL
            yield "Sentinel-2 after", sentinel2.reflectance(optical, "post"), NATURAL
        for band, (name, style) in BANDS.items():
            layer = layer_of(band)
            if layer in requests and band in requests[layer].bands:
                plane = images[layer].select(band)
                yield name, plane.updateMask(plane.neq(NODATA)), style
        for layer, image in images.items():
            for key in COUNTS[layer]:
                yield f"Times seen, {key}", image.select(key), {"min": 0, "max": 12, "palette": GREYS}
        yield "Area of interest", _outline([area(self._case).geom], "EPSG:4326", "#ffd700"), {}
        if self._case.inventory:
            shapes = read_inventory(self._case, self._geobox).on_grid(self._geobox)
            yield "Inventory", _outline(shapes, str(self._geobox.crs), "#ff2d2d"), {}


def write_preview(case: Case, out: Path) -> None:
    """The case's layers as a page, written whole or not at all."""
    page = Preview(case).map()
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(out, durable=False) as draft:
        page.save(str(draft))


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
