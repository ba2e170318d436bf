"""Expressions for permanent water: GLO-30's water body mask, or the occurrence of Pekel et al. (2016)."""

import ee
from odc.geo.geobox import GeoBox

from landslide.sources.base import LayerRequest
from landslide.sources.earthengine.expressions import terrain
from landslide.sources.earthengine.scenes import PROCESSOR

VERSION = 1  # raised when the expressions of the water give other pixels
OCCURRENCE = "JRC/GSW1_4/GlobalSurfaceWater"
PERMANENT = 50  # per cent of the time under water


def request(bands: tuple[str, ...], product: str) -> LayerRequest:
    """The request for the water of `glo30` or `jrc`, which needs no search."""
    settings = {"processor": PROCESSOR, "version": VERSION, "water": product}
    return LayerRequest(layer="mask", bands=bands, settings=settings)


def band(geobox: GeoBox, product: str) -> ee.Image:
    """`water`: 1 on permanent water, 0 elsewhere.

    GLO-30 is masked where it has no tile (open sea, and a few countries). The occurrence covers the globe; where it is
    masked there never was water.
    """
    if product == "glo30":
        return terrain.water_body(geobox).gt(0).rename("water")
    return ee.Image(OCCURRENCE).select("occurrence").unmask(0, False).gte(PERMANENT).rename("water")
