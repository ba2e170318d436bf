"""Expressions for permanent water: GLO-30's water body mask, or the occurrence of Pekel et al. (2016)."""

import ee
from odc.geo.geobox import GeoBox

from landslide.sources.earthengine.expressions import terrain

OCCURRENCE = "JRC/GSW1_4/GlobalSurfaceWater"
PERMANENT = 50  # per cent of the time under water


def band(geobox: GeoBox, which: str) -> ee.Image:
    """`water`: 1 on permanent water, 0 elsewhere.

    Where GLO-30 has no tile (open sea, and a few lands) it is masked; the other covers the globe, and where its
    occurrence is masked there never was water.
    """
    if which == "glo30":
        return terrain.water_body(geobox).gt(0).rename("water")
    return ee.Image(OCCURRENCE).select("occurrence").unmask(0, False).gte(PERMANENT).rename("water")
