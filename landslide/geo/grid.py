"""The grid of a case: UTM (UPS near the poles), 10 m pixels, edges on multiples of the pixel size."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import rioxarray  # noqa: F401  (the accessor `.rio`)
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox, Geometry, box
from odc.geo.types import resyx_
from pyproj import Geod
from rasterio.features import geometry_mask
from shapely.affinity import translate
from shapely.ops import nearest_points

from landslide.cases.case import Case
from landslide.errors import GridError

PIXEL = 10.0  # metres
MAX_SIDE = 40_000  # pixels
METRES_PER_DEGREE = math.pi * 6_371_008.8 / 180  # along a meridian of a sphere with the Earth's mean radius
Roi = tuple[slice, slice]


def area(case: Case) -> Geometry:
    """The area of interest in EPSG:4326. Raises GridError if it is missing, empty or crosses the antimeridian."""
    if case.aoi is None:
        raise GridError(f"case {case.id} has no area of interest. Add `aoi:` to it")
    if isinstance(case.aoi, Mapping):
        return _polygon(case.aoi, case.id)
    west, south, east, north = case.aoi
    if west > east:
        raise GridError(
            f"case {case.id}: aoi {list(case.aoi)} crosses the antimeridian (west {west} > east {east}), where no UTM "
            "grid is continuous. Make two cases, one on each side of 180°"
        )
    if not (west < east and south < north):
        raise GridError(f"case {case.id}: aoi {list(case.aoi)} is empty. Give [west, south, east, north] in degrees")
    return box(west, south, east, north, "EPSG:4326")


def _polygon(geojson: Mapping[str, Any], name: str) -> Geometry:
    try:
        polygon = Geometry(dict(geojson), "EPSG:4326")
    except Exception as error:
        raise GridError(f"case {name}: aoi is not a GeoJSON geometry ({error}). Give a Polygon or a bbox") from error
    if polygon.geom_type not in ("Polygon", "MultiPolygon") or polygon.is_empty or polygon.area == 0:
        raise GridError(f"case {name}: aoi is a {polygon.geom_type} with no area. Give a Polygon or a bbox")
    bounds = polygon.boundingbox
    if not (-180 <= bounds.left <= bounds.right <= 180 and -90 <= bounds.bottom <= bounds.top <= 90):
        raise GridError(f"case {name}: aoi {tuple(bounds)} is not in degrees, or crosses the antimeridian. Give WGS 84")
    if bounds.right - bounds.left > 180:
        raise GridError(
            f"case {name}: aoi spans {bounds.right - bounds.left:.0f}° of longitude: it seems to cross the "
            "antimeridian. Make two cases, one on each side of 180°"
        )
    return polygon


def utm_crs(longitude: float, latitude: float) -> str:
    """EPSG code of the UTM zone at a point in degrees, or of UPS beyond 84° N and 80° S.

    Zones are 6° wide everywhere: the exceptions for Norway and Svalbard are not applied.
    """
    if latitude >= 84:
        return "EPSG:32661"
    if latitude < -80:
        return "EPSG:32761"
    zone = min(int((longitude + 180) // 6) + 1, 60)
    return f"EPSG:{(32600 if latitude >= 0 else 32700) + zone}"


def grid(case: Case) -> GeoBox:
    """The grid that covers a case: north up, 10 m pixels, edges on multiples of 10 m. GridError if it is too large."""
    polygon = area(case)
    centre = polygon.centroid.coords[0]
    projected = polygon.to_crs(utm_crs(*centre), resolution=0.05).boundingbox
    geobox = snapped(projected, utm_crs(*centre), PIXEL)
    if max(geobox.shape) > MAX_SIDE:
        raise GridError(
            f"case {case.id}: {geobox.shape.x} × {geobox.shape.y} pixels of 10 m, more than {MAX_SIDE} a side. "
            "Split the area"
        )
    return geobox


def snapped(bounds: BoundingBox, crs: str, pixel: float) -> GeoBox:
    """The smallest north-up grid of square pixels that covers the bounds, with edges on multiples of the pixel size."""
    return GeoBox.from_bbox(bounds, crs, resolution=resyx_(-pixel, pixel), anchor="edge")


def blocks(shape: tuple[int, int], size: int) -> list[Roi]:
    """Row and column slices of blocks of at most `size` pixels a side that cover (height, width), in reading order."""
    height, width = shape
    return [
        (slice(row, min(row + size, height)), slice(column, min(column + size, width)))
        for row in range(0, height, size)
        for column in range(0, width, size)
    ]


def aoi_mask(case: Case, geobox: GeoBox) -> NDArray[np.bool_]:
    """Bool (y, x): pixels that the area of interest touches; all True for a bbox or without an area of interest."""
    if not isinstance(case.aoi, Mapping) or geobox.crs is None:
        return np.ones(geobox.shape, bool)
    polygon = area(case).to_crs(geobox.crs, resolution=0.05).geom
    mask: NDArray[np.bool_] = geometry_mask([polygon], geobox.shape, geobox.affine, all_touched=True, invert=True)
    return mask


def distance_km(one: Case, other: Case) -> float | None:
    """Shortest distance between the areas of interest of two cases in km, 0 if they overlap; None if one has none."""
    if one.aoi is None or other.aoi is None:
        return None
    first, second = area(one).geom, area(other).geom
    shifted = (nearest_points(first, translate(second, degrees)) for degrees in (-360, 0, 360))  # across 180° too
    a, b = min(shifted, key=lambda points: points[0].distance(points[1]))
    return float(Geod(ellps="WGS84").inv(a.x, a.y, b.x, b.y)[2]) / 1000
