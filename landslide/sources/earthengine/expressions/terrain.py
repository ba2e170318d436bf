"""Terrain: the search for the elevation model's tiles, and expressions on the elevation model's own lattice.

A mosaic has no projection of its own, and slopes follow an image's own projection: without the tiles' projection put
back, slopes would be taken over cells of one degree. GLO-30 as released in 2024, or NASADEM between 60° N and 56° S.
"""

import ee
from odc.geo.geobox import GeoBox

from landslide.cases.case import Case
from landslide.errors import NoOverlapError
from landslide.sources.base import LayerRequest, Scene
from landslide.sources.earthengine.expressions.slope_correction import RADIANS
from landslide.sources.earthengine.query import get_info
from landslide.sources.earthengine.scenes import INDEX, PROCESSOR, region

VERSION = 1  # raised when the expressions of the terrain give other pixels
GLO30, NASADEM = "COPERNICUS/DEM/GLO30_2024_1", "NASA/NASADEM_HGT/001"
BANDS = ("elevation", "slope", "northness", "eastness")


def find(case: Case, geobox: GeoBox, bands: tuple[str, ...], dem: str) -> LayerRequest:
    """Look up the tiles of GLO-30 around the grid; NASADEM is one image. NoOverlapError where there is no tile.

    Nothing but the grid, the bands and the elevation model decides about the request.
    """
    scenes = tuple(Scene(id=name, sensor="dem") for name in _tiles(case, geobox)) if dem == "glo30" else ()
    settings = {"processor": PROCESSOR, "version": VERSION, "dem": dem}
    return LayerRequest(layer="terrain", bands=bands, scenes=scenes, settings=settings)


def _tiles(case: Case, geobox: GeoBox) -> list[str]:
    found: list[str] = get_info(ee.ImageCollection(GLO30).filterBounds(region(geobox)).aggregate_array(INDEX))
    if not found:
        raise NoOverlapError(f"case {case.id}: {GLO30} has no tile there. Set `dem: nasadem`, or null, in its source")
    return sorted(found)


def elevation(geobox: GeoBox, dem: str) -> ee.Image:
    """`elevation` in metres above the geoid (GLO-30: EGM2008), in the elevation model's own projection."""
    if dem == "nasadem":
        return ee.Image(NASADEM).select(["elevation"], ["elevation"])
    return _mosaic(geobox, "DEM").rename("elevation")


def water_body(geobox: GeoBox) -> ee.Image:
    """GLO-30's water body mask: 0 land, 1 ocean, 2 lake, 3 river."""
    return _mosaic(geobox, "WBM")


def _mosaic(geobox: GeoBox, band: str) -> ee.Image:
    tiles = ee.ImageCollection(GLO30).filterBounds(region(geobox)).select(band)
    return tiles.mosaic().setDefaultProjection(tiles.first().projection())


def bands(geobox: GeoBox, dem: str) -> ee.Image:
    """`elevation`, `slope`, `northness`, `eastness` on any grid, bilinear from the elevation model's lattice.

    The gradient is Google's, of the four neighbours; `features.terrain` takes eight (Horn 1981). Both components of the
    direction are 0 where flat.
    """
    height = elevation(geobox, dem)
    slope, north, east = _slope_and_direction(height)
    tilted = slope.gt(0)
    return ee.Image.cat(
        height.resample("bilinear"),
        slope.rename("slope").resample("bilinear"),
        north.multiply(tilted).rename("northness").resample("bilinear"),
        east.multiply(tilted).rename("eastness").resample("bilinear"),
    )


def descent(geobox: GeoBox, dem: str) -> ee.Image:
    """`north` and `east`: by how much the ground falls in that direction, metres a metre."""
    slope, north, east = _slope_and_direction(elevation(geobox, dem))
    fall = slope.multiply(RADIANS).tan()
    return ee.Image.cat(
        fall.multiply(north).rename("north").resample("bilinear"),
        fall.multiply(east).rename("east").resample("bilinear"),
    )


def _slope_and_direction(height: ee.Image) -> tuple[ee.Image, ee.Image, ee.Image]:
    """Slope in degrees, cosine and sine of the downslope direction, on the elevation model's lattice."""
    aspect = ee.Terrain.aspect(height).multiply(RADIANS)
    return ee.Terrain.slope(height), aspect.cos(), aspect.sin()
