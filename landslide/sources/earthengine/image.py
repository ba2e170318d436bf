"""From a layer's request to its image: the bands and how often each pixel was seen, as one expression."""

import ee
from odc.geo.geobox import GeoBox

from landslide.sources.base import COUNTS, LayerRequest
from landslide.sources.earthengine.expressions import sentinel1, sentinel2, terrain, water
from landslide.sources.earthengine.expressions.sentinel1 import Radar
from landslide.sources.earthengine.expressions.sentinel2 import Optical

NODATA = -9999.0  # masked pixels would come back as 0, which is a value


def names_of(request: LayerRequest) -> tuple[str, ...]:
    """The bands of a layer's image: those of the request, then the observation counts."""
    return (*request.bands, *COUNTS[request.layer])


def layer_image(request: LayerRequest, geobox: GeoBox) -> ee.Image:
    """The image of a layer, by the request and the grid alone; asks the service for nothing.

    Its bands are those of `names_of`, all float32: `NODATA` where not observed, counts 0 where nothing was seen.
    """
    values, counts = _values_and_counts(request, geobox)
    image = values.select(list(request.bands)).toFloat().unmask(NODATA, False)
    if counts is None:
        return image
    return image.addBands(counts.select(list(COUNTS[request.layer])).unmask(0, False).toFloat())


def _values_and_counts(request: LayerRequest, geobox: GeoBox) -> tuple[ee.Image, ee.Image | None]:
    match request.layer:
        case "sentinel1":
            radar = Radar.of(request, geobox)
            return sentinel1.bands(radar), sentinel1.counts(radar)
        case "sentinel2":
            optical = Optical.of(request)
            return sentinel2.bands(optical, request.bands), sentinel2.counts(optical)
        case "terrain":
            return terrain.bands(geobox, str(request.settings["dem"])), None
        case "mask":
            return water.band(geobox, str(request.settings["water"])), None
