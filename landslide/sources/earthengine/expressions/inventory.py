"""Expressions for the outlines of an inventory: to show them, and to check that Google's grid is ours."""

import ee
import shapely
from numpy.typing import NDArray

from landslide.errors import InputError

MAX_VERTICES = 100_000  # about 4 MB of a request's 10


def features(shapes: NDArray, crs: str) -> ee.FeatureCollection:  # type: ignore[type-arg]
    """Polygons in a CRS, with straight edges in it; InputError where they have more than `MAX_VERTICES` together."""
    vertices = int(shapely.get_num_coordinates(shapes).sum())
    if vertices > MAX_VERTICES:
        raise InputError(
            f"{len(shapes)} outlines with {vertices:,} vertices do not fit into a request to Earth Engine "
            f"({MAX_VERTICES:,} do). Simplify them, or leave `inventory` out of the case for the preview"
        )
    return ee.FeatureCollection([ee.Feature(_geometry(shape, crs)) for shape in shapes])


def _geometry(shape: shapely.Geometry, crs: str) -> ee.Geometry:
    """A shape with straight edges in its CRS."""
    return ee.Geometry(shapely.geometry.mapping(shape), crs, False)


def painted(shapes: NDArray, crs: str) -> ee.Image:  # type: ignore[type-arg]
    """`label`: 1 where a pixel's centre lies in an outline, 0 elsewhere."""
    return ee.Image(0).toByte().paint(features(shapes, crs), 1).rename("label")
