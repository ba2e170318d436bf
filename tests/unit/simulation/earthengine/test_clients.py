"""Other clients of the loopback: xee and geedim read the same pixels."""

from pathlib import Path

import ee
import numpy as np
import pytest
import rasterio

from landslide.simulation.earthengine import Loopback
from tests.helpers.loopback import CRS, UTM, grid, pixels, sign_in


@pytest.fixture(autouse=True)
def client(service: Loopback) -> None:
    sign_in(service.url)


def image() -> "ee.Image":
    both = ee.Image.pixelCoordinates(ee.Projection(CRS, UTM)).rename("column", "row")
    return both.updateMask(both.select("column").gt(1)).toFloat()


def test_xee_reads_the_same_pixels():
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("xee")
    collection = ee.ImageCollection([image().set("system:time_start", 86_400_000)])
    opened = xarray.open_dataset(collection, engine="ee", crs=CRS, crs_transform=UTM, shape_2d=(30, 20))
    expected = pixels(image().unmask(-1, False), grid(30, 20))
    for name in ("column", "row"):
        found = opened[name].isel(time=0).transpose("y", "x").values
        np.testing.assert_array_equal(np.nan_to_num(found, nan=-1), expected[name])
    assert np.isnan(opened["column"].values).sum() == 20


def test_geedim_writes_the_same_pixels(tmp_path: Path):
    pytest.importorskip("geedim")
    ready = image().gd.prepareForExport(crs=CRS, crs_transform=UTM, shape=(20, 30), dtype="float32")
    ready.gd.toGeoTIFF(str(tmp_path / "out.tif"))
    expected = pixels(image(), grid(30, 20))
    with rasterio.open(tmp_path / "out.tif") as raster:
        assert tuple(raster.transform)[:6] == UTM
        assert raster.shape == (20, 30)
        found = raster.read(1)
    np.testing.assert_array_equal(np.where(np.isfinite(found), found, 0), expected["column"])
