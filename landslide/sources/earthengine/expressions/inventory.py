"""Expressions for mapped landslides: an inventory's outlines, to look at and to check that two grids are one."""

import ee
import shapely
from numpy.typing import NDArray

from landslide.errors import InputError

MOST_VERTICES = 100_000  # about 4 MB of a request's 10


def features(shapes: NDArray, crs: str) -> ee.FeatureCollection:  # type: ignore[type-arg]
    """Polygons in a CRS, with straight edges in it; InputError where they have more than `MOST_VERTICES` together."""
    vertices = int(shapely.get_num_coordinates(shapes).sum())
    if vertices > MOST_VERTICES:
        raise InputError(
            f"{len(shapes)} outlines with {vertices:,} vertices do not fit into a request to Earth Engine "
            f"({MOST_VERTICES:,} do). Simplify them, or leave `inventory` out of the case for the preview"
        )
    return ee.FeatureCollection([ee.Feature(geometry(shape, crs)) for shape in shapes])


def geometry(shape: shapely.Geometry, crs: str) -> ee.Geometry:
    """A shape with straight edges in its CRS."""
    return ee.Geometry(shapely.geometry.mapping(shape), crs, False)


def painted(shapes: NDArray, crs: str) -> ee.Image:  # type: ignore[type-arg]
    """`label`: 1 where a pixel's centre lies in an outline, 0 elsewhere."""
    return ee.Image(0).toByte().paint(features(shapes, crs), 1).rename("label")
