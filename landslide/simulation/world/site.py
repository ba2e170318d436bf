"""Where a simulated event lies on Earth: its UTM zone, its area of interest and the grids around it."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pyproj import Transformer
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform_bounds
from scipy import ndimage

from .noise import Bytes, Floats
from .places import Place
from .terrain import PIXEL

SCENE_MARGIN = 100.0
DOMAIN_MARGIN = 72
DEM_MARGIN_DEGREES_LATITUDE = 600 / 111_000
ARC_SECOND = 1 / 3600

Bounds = tuple[float, float, float, float]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Site:
    """The grids of an event, all 10 m UTM: the simulated domain, the scenes in it, the area of interest in those.

    `aoi` is in degrees (west, south, east, north); `shape` is the domain's (rows, columns); windows are relative to
    the domain.
    """

    epsg: int
    aoi: Bounds
    left: float
    top: float
    shape: tuple[int, int]
    scene: Window
    area: Window

    def transform(self, window: Window, pixel: float = PIXEL) -> Affine:
        """The affine transform of a window's pixels."""
        left, top = self.left + window[1].start * PIXEL, self.top - window[0].start * PIXEL
        return from_origin(left, top, pixel, pixel)

    def bounds(self, window: Window) -> Bounds:
        """Left, bottom, right, top of a window in the UTM zone, metres."""
        return (
            self.left + window[1].start * PIXEL,
            self.top - window[0].stop * PIXEL,
            self.left + window[1].stop * PIXEL,
            self.top - window[0].start * PIXEL,
        )


def site_of(place: Place, size: int) -> Site:
    """An area of interest of about `size` pixels of 10 m on a side around the place."""
    epsg = (32600 if place.latitude > 0 else 32700) + int((place.longitude + 180) // 6) + 1
    aoi = _degrees_around(place, epsg, size * PIXEL / 2)
    area = _snap(transform_bounds("EPSG:4326", f"EPSG:{epsg}", *aoi, densify_pts=21), PIXEL)
    scene = _snap(_grow(area, SCENE_MARGIN), 2 * PIXEL)
    left, bottom, right, top = _grow(scene, DOMAIN_MARGIN * PIXEL)
    return Site(
        epsg=epsg,
        aoi=aoi,
        left=left,
        top=top,
        shape=(round((top - bottom) / PIXEL), round((right - left) / PIXEL)),
        scene=_window(scene, left, top),
        area=_window(area, left, top),
    )


def elevation_in_degrees(site: Site, elevation: Floats) -> tuple[Floats, Affine]:
    """The domain's elevation at 1 arc second in EPSG:4326, float32, NaN outside, as GLO-30 would have it: averaged
    over 30 m; and the transform of that grid, which covers the area of interest and 600 m around it."""
    at, transform = _arc_seconds(site)
    sampled = ndimage.map_coordinates(ndimage.gaussian_filter(elevation, 1.2), at, order=1, cval=np.nan)
    return sampled.astype(np.float32), transform


def nearest_in_degrees(site: Site, layer: Bytes) -> Bytes:
    """A layer of the domain on the grid of `elevation_in_degrees`, by the nearest pixel; 0 outside the domain."""
    at, _ = _arc_seconds(site)
    sampled: Bytes = ndimage.map_coordinates(layer, at, order=0, cval=0, mode="constant")
    return sampled


def _arc_seconds(site: Site) -> tuple[npt.NDArray[np.float64], Affine]:
    """Where the pixel centres of the 1 arc second grid fall in the domain, in pixels (row or column, y, x), and the
    grid's transform."""
    west, south, east, north = site.aoi
    high = DEM_MARGIN_DEGREES_LATITUDE
    wide = high / math.cos(math.radians(max(abs(south), abs(north))))
    left, bottom, right, top = _snap((west - wide, south - high, east + wide, north + high), ARC_SECOND)
    columns, rows = round((right - left) / ARC_SECOND), round((top - bottom) / ARC_SECOND)
    longitude = left + (np.arange(columns) + 0.5) * ARC_SECOND
    latitude = top - (np.arange(rows) + 0.5) * ARC_SECOND
    x, y = Transformer.from_crs(4326, site.epsg, always_xy=True).transform(*np.meshgrid(longitude, latitude))
    at = np.stack([(site.top - y) / PIXEL - 0.5, (x - site.left) / PIXEL - 0.5])
    return at, from_origin(left, top, ARC_SECOND, ARC_SECOND)


def mgrs_tile(site: Site) -> str:
    """The 100 km square of the military grid that the area's upper left corner lies in, as Sentinel-2 tiles are
    named, such as `54TWN`."""
    zone = site.epsg % 100
    left, _, _, top = site.bounds(site.area)
    band = "CDEFGHJKLMNPQRSTUVWX"[min(int((site.aoi[1] + 80) // 8), 19)]
    column = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")[zone % 3][int(left // 100_000) - 1]
    row = "ABCDEFGHJKLMNPQRSTUV"[(int(top // 100_000) + (0 if zone % 2 else 5)) % 20]
    return f"{zone:02d}{band}{column}{row}"


def _degrees_around(place: Place, epsg: int, half: float) -> Bounds:
    to_utm = Transformer.from_crs(4326, epsg, always_xy=True)
    x, y = to_utm.transform(place.longitude, place.latitude)
    steps_x, steps_y = np.array([-half, 0, half, 0]), np.array([0, -half, 0, half])
    longitude, latitude = to_utm.transform(x + steps_x, y + steps_y, direction="INVERSE")
    west, south, east, north = longitude[0], latitude[1], longitude[2], latitude[3]
    return round(float(west), 6), round(float(south), 6), round(float(east), 6), round(float(north), 6)


def _grow(bounds: Bounds, by: float) -> Bounds:
    return bounds[0] - by, bounds[1] - by, bounds[2] + by, bounds[3] + by


def _snap(bounds: Bounds, step: float) -> Bounds:
    low = (math.floor(value / step) * step for value in bounds[:2])
    high = (math.ceil(value / step) * step for value in bounds[2:])
    return (*low, *high)  # type: ignore[return-value]


def _window(bounds: Bounds, left: float, top: float) -> Window:
    rows = slice(round((top - bounds[3]) / PIXEL), round((top - bounds[1]) / PIXEL))
    return rows, slice(round((bounds[0] - left) / PIXEL), round((bounds[2] - left) / PIXEL))
