"""Geometries: a shape in a CRS."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from shapely.ops import transform

from .errors import ApiError
from .grids import Grid, geographic, metres_per_unit, transformer

DENSE = 16


@dataclass(frozen=True, eq=False)
class Geometry:
    """A shapely geometry and its CRS. Edges are straight in it: geodesics are not imitated."""

    shape: Any
    crs: str = "EPSG:4326"
    geodesic: bool = False

    def in_crs(self, crs: str) -> Any:
        """The shape in another CRS, its edges followed through `DENSE` points each."""
        known = self._moved
        if crs not in known:
            known[crs] = self.shape if crs == self.crs else _moved(self.shape, self.crs, crs)
        return known[crs]

    @cached_property
    def _moved(self) -> dict[str, Any]:
        return {}

    @property
    def lonlat(self) -> Any:
        return self.in_crs("EPSG:4326")

    def describe(self) -> dict[str, Any]:
        """As getInfo tells it: GeoJSON, with its CRS unless that is WGS 84."""
        told: dict[str, Any] = dict(_lists(shapely.geometry.mapping(self.shape)))
        if self.crs != "EPSG:4326":
            told["crs"] = {"type": "name", "properties": {"name": self.crs}}
        return told | {"geodesic": self.geodesic}


def box(left: float, bottom: float, right: float, top: float, crs: str = "EPSG:4326") -> Geometry:
    """A rectangle."""
    return Geometry(shapely.box(left, bottom, right, top), crs)


def of_grid(grid: Grid) -> Geometry:
    """A grid's outline."""
    height, width = grid.shape
    corners = [grid.affine * corner for corner in ((0, 0), (width, 0), (width, height), (0, height))]
    return Geometry(shapely.Polygon(corners), grid.crs)


def union(geometries: list[Geometry]) -> Geometry:
    """All geometries as one, in degrees."""
    return Geometry(shapely.union_all([geometry.lonlat for geometry in geometries]))


def from_geojson(told: Mapping[str, Any]) -> Geometry:
    """A GeoJSON geometry in degrees, or in the CRS it names; ApiError if it is none."""
    crs = told.get("crs", {})
    name = crs.get("properties", {}).get("name", "EPSG:4326") if isinstance(crs, Mapping) else str(crs)
    try:
        return Geometry(shapely.geometry.shape(told), name)
    except (AttributeError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
        raise ApiError(f"Invalid GeoJSON geometry: {error}") from error


def area(geometry: Geometry) -> float:
    """Square metres, in an equal-area projection."""
    return float(geometry.in_crs("EPSG:6933").area)


def buffered(geometry: Geometry, metres: float) -> Geometry:
    """Grown by a distance; degrees are scaled by the latitude of the middle."""
    if not geographic(geometry.crs):
        return Geometry(geometry.shape.buffer(metres / metres_per_unit(geometry.crs)), geometry.crs)
    middle = geometry.shape.centroid
    stretch = float(np.cos(np.radians(middle.y)))
    unit = metres_per_unit(geometry.crs)
    flat = shapely.affinity.scale(geometry.shape, unit * stretch, unit, origin=middle)
    grown = flat.buffer(metres)
    return Geometry(shapely.affinity.scale(grown, 1 / unit / stretch, 1 / unit, origin=middle), geometry.crs)


def _moved(shape: Any, source: str, target: str) -> Any:
    if shape.is_empty:
        return shape
    left, bottom, right, top = shape.bounds
    side = max(right - left, top - bottom)
    dense = shapely.segmentize(shape, side / DENSE) if side > 0 else shape
    return transform(transformer(source, target).transform, dense)


def _lists(value: Any) -> Any:
    """Tuples as lists, all the way down."""
    if isinstance(value, list | tuple):
        return [_lists(part) for part in value]
    if isinstance(value, Mapping):
        return {key: _lists(part) for key, part in value.items()}
    return value
