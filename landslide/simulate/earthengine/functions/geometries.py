"""Geometries: built from coordinates, compared, measured."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import shapely
from shapely.affinity import affine_transform

from ..coercion import as_geometry
from ..errors import ApiError
from ..geometry import Geometry, area, box, buffered, union
from ..grids import Projection
from ..registry import algorithm
from ..values import Feature

Points = Sequence[Any]


def _crs(projection: Projection | None) -> str:
    return "EPSG:4326" if projection is None else projection.crs


def _pairs(coordinates: Points) -> list[tuple[float, float]]:
    """A flat list of numbers or a list of points as points."""
    if coordinates and isinstance(coordinates[0], int | float):
        return [(float(x), float(y)) for x, y in zip(coordinates[::2], coordinates[1::2], strict=True)]
    return [_point(point) for point in coordinates]


def _point(point: Any) -> tuple[float, float]:
    if isinstance(point, Geometry):
        return float(point.shape.x), float(point.shape.y)
    return float(point[0]), float(point[1])


def _polygon(rings: Points) -> Any:
    if rings and isinstance(rings[0], int | float):
        return shapely.Polygon(_pairs(rings))
    if rings and isinstance(rings[0][0], int | float):
        return shapely.Polygon(_pairs(rings))
    return shapely.Polygon(_pairs(rings[0]), [_pairs(ring) for ring in rings[1:]])


def _made(make: Callable[[], Any], crs: Projection | None) -> Geometry:
    """A shape whose coordinates are in a projection's pixels, which for a bare CRS are its units."""
    try:
        if crs is None or crs == Projection(crs.crs):
            return Geometry(make(), _crs(crs))
        a, b, c, d, e, f = crs.transform
        return Geometry(affine_transform(make(), [a, b, d, e, c, f]), crs.crs)
    except (IndexError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
        raise ApiError(f"GeometryConstructors: Invalid coordinates: {error}.") from error


algorithm("GeometryConstructors.Point")(lambda coordinates, crs: _made(lambda: shapely.Point(_point(coordinates)), crs))


algorithm("GeometryConstructors.MultiPoint")(
    lambda coordinates, crs: _made(lambda: shapely.MultiPoint(_pairs(coordinates)), crs)
)


algorithm("GeometryConstructors.LineString")(
    lambda coordinates, crs: _made(lambda: shapely.LineString(_pairs(coordinates)), crs)
)


algorithm("GeometryConstructors.LinearRing")(
    lambda coordinates, crs: _made(lambda: shapely.LinearRing(_pairs(coordinates)), crs)
)


algorithm("GeometryConstructors.MultiLineString")(
    lambda coordinates, crs: _made(lambda: shapely.MultiLineString([_pairs(line) for line in coordinates]), crs)
)


algorithm("GeometryConstructors.Polygon")(lambda coordinates, crs: _made(lambda: _polygon(coordinates), crs))


algorithm("GeometryConstructors.MultiPolygon")(
    lambda coordinates, crs: _made(lambda: shapely.MultiPolygon([_polygon(part) for part in coordinates]), crs)
)


@algorithm("GeometryConstructors.MultiGeometry")
def multi_geometry(geometries: list[Any], crs: Projection | None) -> Geometry:
    """Several geometries as one."""
    parts = [as_geometry(part) for part in geometries]
    return Geometry(shapely.GeometryCollection([part.in_crs(_crs(crs)) for part in parts]), _crs(crs))


@algorithm("GeometryConstructors.Rectangle")
def rectangle(coordinates: Points, crs: Projection | None) -> Geometry:
    """From two corners (west, south, east, north), or around points."""

    def make() -> Any:
        pairs = _pairs(coordinates)
        return shapely.box(*pairs[0], *pairs[-1]) if len(pairs) == 2 else shapely.MultiPoint(pairs).envelope

    return _made(make, crs)


algorithm("GeometryConstructors.BBox")(lambda west, south, east, north: box(west, south, east, north))


def _in(geometry: Geometry, proj: Projection | None) -> Geometry:
    return geometry if proj is None else Geometry(geometry.in_crs(proj.crs), proj.crs)


@algorithm("Geometry.bounds")
def bounds(geometry: Geometry, proj: Projection | None) -> Geometry:
    """The rectangle around a geometry, along the axes of a projection."""
    moved = _in(geometry, proj)
    return Geometry(moved.shape.envelope, moved.crs)


algorithm("Geometry.transform")(lambda geometry, proj: _in(geometry, proj))


@algorithm("Geometry.centroid")
def centroid(geometry: Geometry, proj: Projection | None) -> Geometry:
    """The middle."""
    moved = _in(geometry, proj)
    return Geometry(moved.shape.centroid, moved.crs)


@algorithm("Geometry.convexHull")
def convex_hull(geometry: Geometry, proj: Projection | None) -> Geometry:
    """The convex hull."""
    moved = _in(geometry, proj)
    return Geometry(moved.shape.convex_hull, moved.crs)


algorithm("Geometry.buffer")(lambda geometry, distance, proj: buffered(_in(geometry, proj), distance))


algorithm("Geometry.simplify", "Geometry.dissolve")(lambda geometry: geometry)


algorithm("Geometry.area")(lambda geometry: area(geometry))


algorithm("Geometry.coordinates")(lambda geometry: geometry.describe().get("coordinates", []))


algorithm("Geometry.type")(lambda geometry: str(geometry.shape.geom_type))


algorithm("Geometry.projection")(lambda geometry: Projection(geometry.crs))


@algorithm("Geometry.geometries")
def geometries(geometry: Geometry) -> list[Geometry]:
    """The parts."""
    parts = getattr(geometry.shape, "geoms", [geometry.shape])
    return [replace(geometry, shape=part) for part in parts]


algorithm("Geometry.isUnbounded")(lambda geometry: False)


algorithm("Geometry.union")(lambda left, right: union([left, right]))


def _register(name: str, compute: Callable[[Any, Any], Any]) -> None:
    def function(left: Geometry, right: Geometry) -> Any:
        found = compute(left.lonlat, right.lonlat)
        return Geometry(found) if shapely.is_geometry(found) else bool(found)

    algorithm(f"Geometry.{name}")(function)


for _name, _compute in {
    "intersection": shapely.intersection, "difference": shapely.difference,
    "symmetricDifference": shapely.symmetric_difference, "intersects": shapely.intersects,
    "disjoint": shapely.disjoint, "contains": shapely.covers, "containedIn": shapely.covered_by,
}.items():  # fmt: skip
    _register(_name, _compute)


@algorithm("ProjectionTransform")
def feature_transform(feature: Feature, proj: Any) -> Feature:
    """The feature with its geometry in another projection."""
    if feature.footprint is None:
        return feature
    return replace(feature, footprint=_in(feature.footprint, proj))


@algorithm("ErrorMargin")
def error_margin(value: float | None, unit: str) -> dict[str, Any]:
    """A tolerance; nothing here makes use of it."""
    return {"type": "ErrorMargin", "value": value, "unit": unit}
