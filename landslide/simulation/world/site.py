"""The location of a simulated event: UTM zone, area of interest and the grids around it."""

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

SCENE_MARGIN = 100.0  # metres around the area of interest
DOMAIN_MARGIN = 72  # pixels around the scenes
DEM_MARGIN_DEGREES_LATITUDE = 600 / 111_000
ARC_SECOND = 1 / 3600

Bounds = tuple[float, float, float, float]
Window = tuple[slice, slice]


@dataclass(frozen=True)
class Site:
    """The grids of an event, all in UTM with pixels of 10 m.

    The domain is what is simulated; it contains the scenes, which contain the area of interest. `aoi` is (west, south,
    east, north) in degrees; `left` and `top` are the domain's upper left corner in metres; `shape` is the domain's
    (rows, columns); `scene` and `area` are windows (rows, columns) of the domain.
    """

    epsg: int
    aoi: Bounds
    left: float
    top: float
    shape: tuple[int, int]
    scene: Window
    area: Window

    def transform(self, window: Window, pixel: float = PIXEL) -> Affine:
        """The affine transform of a window, with pixels of `pixel` metres."""
        left, top = self.left + window[1].start * PIXEL, self.top - window[0].start * PIXEL
        return from_origin(left, top, pixel, pixel)

    def bounds(self, window: Window) -> Bounds:
        """(left, bottom, right, top) of a window in the UTM zone, in metres."""
        return (
            self.left + window[1].start * PIXEL,
            self.top - window[0].stop * PIXEL,
            self.left + window[1].stop * PIXEL,
            self.top - window[0].start * PIXEL,
        )


def make_site(place: Place, size: int) -> Site:
    """The site with an area of interest of about `size` pixels of 10 m on a side, centred on the place."""
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


def elevation_on_dem_grid(site: Site, elevation: Floats) -> tuple[Floats, Affine]:
    """The domain's elevation on a GLO-30-like grid, and the transform of that grid.

    The grid has pixels of 1 arc second in EPSG:4326 and covers the area of interest and 600 m around it. The elevation
    is float32 (rows, columns) in metres, smoothed to a resolution of about 30 m, NaN outside the domain.
    """
    positions, transform = _dem_grid(site)
    sampled = ndimage.map_coordinates(ndimage.gaussian_filter(elevation, 1.2), positions, order=1, cval=np.nan)
    return sampled.astype(np.float32), transform


def nearest_on_dem_grid(site: Site, layer: Bytes) -> Bytes:
    """A layer of the domain on the grid of `elevation_on_dem_grid`, nearest neighbour; 0 outside the domain."""
    positions, _ = _dem_grid(site)
    sampled: Bytes = ndimage.map_coordinates(layer, positions, order=0, cval=0, mode="constant")
    return sampled


def _dem_grid(site: Site) -> tuple[npt.NDArray[np.float64], Affine]:
    """Domain pixel coordinates of the pixel centres of the 1 arc second grid, float64 (2, rows, columns) with the row
    coordinate first; and the transform of that grid."""
    west, south, east, north = site.aoi
    margin = DEM_MARGIN_DEGREES_LATITUDE
    margin_longitude = margin / math.cos(math.radians(max(abs(south), abs(north))))
    left, bottom, right, top = _snap(
        (west - margin_longitude, south - margin, east + margin_longitude, north + margin), ARC_SECOND
    )
    columns, rows = round((right - left) / ARC_SECOND), round((top - bottom) / ARC_SECOND)
    longitude = left + (np.arange(columns) + 0.5) * ARC_SECOND
    latitude = top - (np.arange(rows) + 0.5) * ARC_SECOND
    x, y = Transformer.from_crs(4326, site.epsg, always_xy=True).transform(*np.meshgrid(longitude, latitude))
    positions = np.stack([(site.top - y) / PIXEL - 0.5, (x - site.left) / PIXEL - 0.5])
    return positions, from_origin(left, top, ARC_SECOND, ARC_SECOND)


def mgrs_tile(site: Site) -> str:
    """The MGRS 100 km square of the area's upper left corner, as Sentinel-2 tiles are named: `54TWN`."""
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
    margin = (math.ceil(value / step) * step for value in bounds[2:])
    return (*low, *margin)  # type: ignore[return-value]


def _window(bounds: Bounds, left: float, top: float) -> Window:
    rows = slice(round((top - bounds[3]) / PIXEL), round((top - bounds[1]) / PIXEL))
    return rows, slice(round((bounds[0] - left) / PIXEL), round((bounds[2] - left) / PIXEL))
