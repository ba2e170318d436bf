"""Geometries: a shape in a CRS."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import shapely
from shapely.ops import transform

from .grids import Grid, transformer

DENSE = 16


@dataclass(frozen=True, eq=False)
class Geometry:
    """A shapely geometry and its CRS. Edges are straight in it: geodesics are not imitated."""

    shape: Any
    crs: str = "EPSG:4326"

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

    def outline(self, grid: Grid, width: float) -> "Geometry":
        """What lies within half a width, in the grid's pixels, of the edges."""
        pixel = abs(grid.affine.determinant) ** 0.5
        return Geometry(shapely.boundary(self.in_crs(grid.crs)).buffer(width / 2 * pixel), grid.crs)

    def describe(self) -> dict[str, Any]:
        """As getInfo tells it: GeoJSON in degrees."""
        return {**json.loads(shapely.to_geojson(self.lonlat)), "geodesic": False}


def of_grid(grid: Grid) -> Geometry:
    """A grid's outline."""
    height, width = grid.shape
    corners = [grid.affine * corner for corner in ((0, 0), (width, 0), (width, height), (0, height))]
    return Geometry(shapely.Polygon(corners), grid.crs)


def union(geometries: list[Geometry]) -> Geometry:
    """All geometries as one, in degrees."""
    return Geometry(shapely.union_all([geometry.lonlat for geometry in geometries]))


def _moved(shape: Any, source: str, target: str) -> Any:
    if shape.is_empty:
        return shape
    left, bottom, right, top = shape.bounds
    side = max(right - left, top - bottom)
    return transform(transformer(source, target).transform, shapely.segmentize(shape, side / DENSE))
