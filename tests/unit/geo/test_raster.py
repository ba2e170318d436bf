import warnings

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox

from landslide.geo.raster import cog

RNG = np.random.default_rng(3)


def written(path, values, bands, nodata):
    height, width = values.shape[1:]
    grid = GeoBox((height, width), rasterio.Affine(10, 0, 500_000, 0, -10, 4_000_000), "EPSG:32633")
    with cog(path, grid, bands, str(values.dtype), nodata) as raster:
        for row in range(0, height, 512):
            rows = slice(row, min(row + 512, height))
            raster.write(values[:, rows], (rows, slice(0, width)))
    return path


def halved(path, level):
    with rasterio.open(path, overview_level=level) as raster:
        return raster.read()


def test_overviews_average_what_was_observed(tmp_path):
    values = RNG.random((3, 1300, 1100), dtype="float32")
    values[0, :700, :300] = np.nan
    values[RNG.random(values.shape) < 0.2] = np.nan
    path = written(tmp_path / "a.tif", values, "abc", np.nan)
    with rasterio.open(path) as raster:
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert raster.overviews(1) == [2, 4]
        np.testing.assert_array_equal(raster.read(), values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # four missing pixels have no mean
        expected = np.nanmean(values.reshape(3, 650, 2, 550, 2), axis=(2, 4))
    np.testing.assert_allclose(halved(path, 0), expected, rtol=1e-5)
    assert np.isnan(halved(path, 1)[0, :170, :70]).all()
    assert not list(tmp_path.glob("*.scratch*"))


def test_overviews_of_classes_are_classes(tmp_path):
    values = RNG.integers(0, 3, (1, 900, 600), dtype="uint8")
    path = written(tmp_path / "a.tif", values, "a", None)
    np.testing.assert_array_equal(halved(path, 0), values[:, ::2, ::2])


@pytest.mark.parametrize("shape", [(512, 512), (1, 1), (30, 500)])
def test_a_small_raster_has_no_overviews(tmp_path, shape):
    values = RNG.random((2, *shape), dtype="float32")
    with rasterio.open(written(tmp_path / "a.tif", values, "ab", np.nan)) as raster:
        assert raster.overviews(1) == []
        np.testing.assert_array_equal(raster.read(), values)
