"""Expressions for mapped landslides: an inventory's outlines, to look at and to check that two grids are one."""

import ee
import shapely
from numpy.typing import NDArray

MOST_VERTICES = 100_000  # about 4 MB of a request's 10


def features(shapes: NDArray, crs: str) -> ee.FeatureCollection:  # type: ignore[type-arg]
    """Polygons in a CRS, with straight edges in it. Outlines beyond `MOST_VERTICES` belong into an asset."""
    return ee.FeatureCollection([ee.Feature(geometry(shape, crs)) for shape in shapes])


def geometry(shape: shapely.Geometry, crs: str) -> ee.Geometry:
    """A shape with straight edges in its CRS."""
    return ee.Geometry(shapely.geometry.mapping(shape), crs, False)


def painted(shapes: NDArray, crs: str) -> ee.Image:  # type: ignore[type-arg]
    """`label`: 1 where a pixel's centre lies in an outline, 0 elsewhere."""
    return ee.Image(0).toByte().paint(features(shapes, crs), 1).rename("label")
