"""Terrain bands: planes, domes and ridges of known shape, SAGA's raster as oracle, and blocks that agree."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import box
from pyproj import Transformer
from scipy import ndimage

from landslide.features.terrain import margin, terrain_bands, terrain_on
from landslide.geo.grid import snapped
from landslide.geo.warp import labelled

PIXEL = 10.0
INNER = (slice(1, -1), slice(1, -1))
NAMES = ("elevation", "slope", "northness", "eastness", "plan_curvature", "profile_curvature")


def surface(east: float, north: float, side: int = 9) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Metres towards east and towards north of a point beside the grid."""
    step = np.arange(side) * PIXEL
    return np.meshgrid(step + east, step[::-1] + north)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.5, 60), st.floats(0, 360))
def test_a_plane_has_its_slope_and_faces_downhill(slope: float, aspect: float) -> None:
    x, y = surface(0, 0)
    steepness, down = np.tan(np.radians(slope)), np.radians(aspect)
    bands = terrain_bands(-steepness * (x * np.sin(down) + y * np.cos(down)), PIXEL)
    np.testing.assert_allclose(bands["slope"][INNER], slope, atol=1e-3)
    np.testing.assert_allclose(bands["northness"][INNER], np.cos(down), atol=1e-4)
    np.testing.assert_allclose(bands["eastness"][INNER], np.sin(down), atol=1e-4)
    np.testing.assert_allclose(bands["plan_curvature"][INNER], 0, atol=1e-6)
    np.testing.assert_allclose(bands["profile_curvature"][INNER], 0, atol=1e-6)


def test_flat_ground_has_no_direction_and_no_curvature() -> None:
    bands = terrain_bands(np.full((5, 5), 100.0), PIXEL)
    assert tuple(bands) == NAMES
    for name in NAMES[1:]:
        assert (bands[name][INNER] == 0).all()
        assert bands[name].dtype == np.float32


def test_a_dome_is_convex_both_ways_and_a_bowl_concave() -> None:
    """z = -(x² + y²) / 2R has the second derivative 1/R in every direction."""
    x, y = surface(200, 100)
    dome = terrain_bands(-(x**2 + y**2) / 2000, PIXEL)
    bowl = terrain_bands((x**2 + y**2) / 2000, PIXEL)
    for name in ("plan_curvature", "profile_curvature"):
        np.testing.assert_allclose(dome[name][INNER], 1e-3, rtol=1e-4)
        np.testing.assert_allclose(bowl[name][INNER], -1e-3, rtol=1e-4)


def test_the_crest_of_a_falling_ridge_is_convex_in_plan_alone() -> None:
    x, y = surface(-40, 0)
    crest = terrain_bands(0.3 * y - x**2 / 2000, PIXEL)
    assert crest["plan_curvature"][4, 4] == pytest.approx(1e-3, rel=1e-4)
    assert crest["profile_curvature"][4, 4] == pytest.approx(0, abs=1e-7)


def test_the_unknown_stays_unknown_with_its_neighbours_and_the_rim() -> None:
    elevation = np.random.default_rng(1).random((9, 9))
    elevation[4, 4] = np.nan
    expected = np.ones((9, 9), bool)
    expected[INNER] = False
    expected[3:6, 3:6] = True
    bands = terrain_bands(elevation, PIXEL)
    for name in NAMES[1:]:
        np.testing.assert_array_equal(np.isnan(bands[name]), expected)
    assert np.isnan(bands["elevation"]).sum() == 1


@pytest.fixture(scope="module")
def saga(real_data: Path) -> dict[str, NDArray[np.float64]]:
    with rasterio.open(real_data / "terrain-saga" / "ta.tif") as raster:
        return dict(zip(raster.descriptions, raster.read().astype("float64"), strict=True))


@pytest.fixture(scope="module")
def real_bands(saga: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float32]]:
    return terrain_bands(saga["elev"], PIXEL)


def both(
    first: NDArray[np.floating], second: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    known = np.isfinite(first) & np.isfinite(second)
    assert known.mean() > 0.95
    return first[known], second[known]


@pytest.mark.parametrize(("band", "of_saga"), [("plan_curvature", "cplan"), ("profile_curvature", "cprof")])
def test_curvatures_equal_those_of_saga(
    saga: dict[str, NDArray[np.float64]], real_bands: dict[str, NDArray[np.float32]], band: str, of_saga: str
) -> None:
    """SAGA divides Zevenbergen and Thorne's derivatives on to curvatures of curves: by tan(slope), 1/cos³(slope)."""
    slope = np.radians(saga["slope"])
    factor = np.tan(slope) if band == "plan_curvature" else 1 / np.cos(slope) ** 3
    ours, oracle = both(real_bands[band], saga[of_saga] * factor)
    np.testing.assert_allclose(ours, oracle, rtol=2e-5, atol=2e-7)
    assert np.corrcoef(ours, oracle)[0, 1] > 1 - 1e-9


def test_slope_agrees_with_saga(
    saga: dict[str, NDArray[np.float64]], real_bands: dict[str, NDArray[np.float32]]
) -> None:
    """Horn (1981) weighs eight neighbours, SAGA's slope four: alike, not equal, and Horn's a little smoother."""
    ours, oracle = both(real_bands["slope"], saga["slope"])
    difference = np.abs(ours - oracle)
    assert np.corrcoef(ours, oracle)[0, 1] > 0.985
    assert np.median(difference) < 1
    assert np.quantile(difference, 0.99) < 6
    assert -0.5 < np.mean(ours - oracle) < 0


def test_slope_is_that_of_sobels_weights(
    saga: dict[str, NDArray[np.float64]], real_bands: dict[str, NDArray[np.float32]]
) -> None:
    gradient = [ndimage.sobel(saga["elev"], axis) / (8 * PIXEL) for axis in (0, 1)]
    ours, oracle = both(real_bands["slope"][INNER], np.degrees(np.arctan(np.hypot(*gradient)))[INNER])
    np.testing.assert_allclose(ours, oracle, atol=1e-4)


def dem_on(geobox: GeoBox, values: NDArray[np.floating]) -> xr.DataArray:
    return labelled(values, geobox)


def test_a_dem_on_the_grid_is_taken_as_it_is() -> None:
    geobox = snapped(box(500000, 4000000, 500600, 4000400, "EPSG:32654").boundingbox, "EPSG:32654", PIXEL)
    around = geobox.pad(12)
    elevation = np.random.default_rng(2).random(around.shape) * 20
    expected = terrain_bands(elevation, PIXEL)
    for name, band in terrain_on(dem_on(around, elevation), geobox).items():
        np.testing.assert_allclose(band, expected[name][12:-12, 12:-12], atol=2e-5)


@pytest.mark.parametrize("latitude", [0.05, 43.0, 70.0])
def test_a_dem_in_degrees_has_its_slope_in_metres(latitude: float) -> None:
    """A hillside of 20° that faces east, given every arc second: on a grid of degrees it would look another way."""
    area = box(141.0, latitude, 141.01, latitude + 0.01, "EPSG:4326").to_crs("EPSG:32654")
    geobox = snapped(area.boundingbox, "EPSG:32654", PIXEL)
    degrees = GeoBox.from_bbox((140.98, latitude - 0.02, 141.04, latitude + 0.03), "EPSG:4326", resolution=1 / 3600)
    bands = terrain_on(dem_on(degrees, _eastward(degrees)), geobox)
    np.testing.assert_allclose(bands["slope"], 20, atol=0.05)
    np.testing.assert_allclose(bands["eastness"], 1, atol=1e-3)


def _eastward(degrees: GeoBox) -> NDArray[np.float64]:
    longitude, latitude = np.meshgrid(*(degrees.coordinates[name].values for name in ("longitude", "latitude")))
    x, _ = Transformer.from_crs(4326, 32654, always_xy=True).transform(longitude, latitude)
    return -np.tan(np.radians(20)) * (np.asarray(x) - 500000)


@pytest.fixture(scope="module")
def hokkaido(real_data: Path) -> tuple[xr.DataArray, GeoBox, dict[str, NDArray[np.float32]]]:
    dem = rioxarray.open_rasterio(real_data / "hokkaido-2018" / "dem" / "download.DSM.tif").squeeze("band", drop=True)
    bounds = box(*dem.rio.bounds(), "EPSG:4326").to_crs("EPSG:32654").boundingbox
    geobox = snapped(bounds, "EPSG:32654", PIXEL)
    return dem, geobox, terrain_on(dem, geobox)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 880), st.integers(0, 1040))
@example(0, 1)  # beside the DEM's edge
def test_blocks_agree_with_the_whole_of_a_real_dem(
    hokkaido: tuple[xr.DataArray, GeoBox, dict[str, NDArray[np.float32]]], row: int, column: int
) -> None:
    dem, geobox, whole = hokkaido
    roi = (slice(row, row + 100), slice(column, column + 100))
    needed = box(*geobox[roi].boundingbox.buffered(margin(30)).bbox, "EPSG:32654").to_crs("EPSG:4326").boundingbox
    block = terrain_on(dem.rio.clip_box(*needed.bbox), geobox[roi])
    for name in NAMES:
        np.testing.assert_allclose(block[name], whole[name][roi], atol=1e-4)


def test_nodata_of_a_dem_is_not_an_elevation() -> None:
    geobox = snapped(box(500000, 4000000, 500300, 4000300, "EPSG:32654").boundingbox, "EPSG:32654", PIXEL)
    elevation = np.full(geobox.pad(12).shape, 100, "int16")
    elevation[20:23, 20:23] = -32768
    bands = terrain_on(dem_on(geobox.pad(12), elevation).rio.write_nodata(-32768), geobox)
    assert np.isnan(bands["elevation"][8:11, 8:11]).all()
    assert np.nanmin(bands["elevation"]) == np.nanmax(bands["elevation"]) == 100
    assert np.nanmax(bands["slope"]) == 0
