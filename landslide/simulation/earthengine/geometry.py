"""Geometries: a shape in a CRS."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import shapely
from shapely.ops import transform

from .grids import Grid, transformer

EDGE_SEGMENTS = 16


@dataclass(frozen=True, eq=False)
class Geometry:
    """A shapely geometry and its CRS, in which the edges are straight: geodesic edges are not supported."""

    shape: Any
    crs: str = "EPSG:4326"

    def in_crs(self, crs: str) -> Any:
        """The shape in another CRS; edges are first divided into segments of 1 / `EDGE_SEGMENTS` of its extent."""
        known = self._by_crs
        if crs not in known:
            known[crs] = self.shape if crs == self.crs else _reprojected(self.shape, self.crs, crs)
        return known[crs]

    @cached_property
    def _by_crs(self) -> dict[str, Any]:
        return {}

    @property
    def lonlat(self) -> Any:
        return self.in_crs("EPSG:4326")

    def outline(self, grid: Grid, width: float) -> "Geometry":
        """The area within `width` / 2 of the edges, in pixels of the grid."""
        pixel = abs(grid.affine.determinant) ** 0.5
        return Geometry(shapely.boundary(self.in_crs(grid.crs)).buffer(width / 2 * pixel), grid.crs)

    def describe(self) -> dict[str, Any]:
        """The geometry as getInfo returns it: GeoJSON in degrees."""
        return {**json.loads(shapely.to_geojson(self.lonlat)), "geodesic": False}


def grid_outline(grid: Grid) -> Geometry:
    """The outline of a grid."""
    height, width = grid.shape
    corners = [grid.affine * corner for corner in ((0, 0), (width, 0), (width, height), (0, height))]
    return Geometry(shapely.Polygon(corners), grid.crs)


def union(geometries: list[Geometry]) -> Geometry:
    """The union of geometries, in degrees."""
    return Geometry(shapely.union_all([geometry.lonlat for geometry in geometries]))


def _reprojected(shape: Any, source: str, target: str) -> Any:
    if shape.is_empty:
        return shape
    left, bottom, right, top = shape.bounds
    side = max(right - left, top - bottom)
    return transform(transformer(source, target).transform, shapely.segmentize(shape, side / EDGE_SEGMENTS))
