"""The assets, compared with the files they are made from."""

from pathlib import Path
from typing import Any

import ee
import numpy as np
import pystac
import pytest
import rasterio
from numpy.testing import assert_allclose, assert_array_equal

from landslide.simulation.earthengine import Loopback
from landslide.simulation.earthengine.ramp import ramp
from landslide.simulation.world import World
from tests.helpers.loopback import CRS, UTM, grid, own_grid, pixels, sign_in

S2, SCORES = "COPERNICUS/S2_SR_HARMONIZED", "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED"


@pytest.fixture(autouse=True)
def client(service: Loopback) -> None:
    sign_in(service.url)


@pytest.fixture(scope="module")
def items(world: World) -> dict[str, pystac.Item]:
    return {item.id: item for item in pystac.Catalog.from_file(str(world.catalog)).get_items(recursive=True)}


def read(item: pystac.Item, asset: str) -> np.ndarray:
    with rasterio.open(Path(str(item.assets[asset].get_absolute_href()))) as raster:
        return raster.read(1)


def first(collection: str, *filters: Any) -> tuple["ee.Image", str]:
    found = ee.ImageCollection(collection)
    for one in filters:
        found = found.filter(one)
    index = found.first().get("system:index").getInfo()
    return found.first(), index


def test_radar_is_linear_power(items: dict[str, pystac.Item]):
    image, index = first("COPERNICUS/S1_GRD_FLOAT")
    power = read(items[index], "vv")
    seen = np.isfinite(power)
    found = pixels(image, own_grid(image))
    assert_array_equal(found["VV"], np.where(seen, power, 0))
    assert_allclose(found["angle"], items[index].properties["view:incidence_angle"], rtol=1e-6)
    info = image.getInfo()["properties"]
    assert info["orbitProperties_pass"] == items[index].properties["sat:orbit_state"].upper()
    assert info["platformHeading"] == {"ASCENDING": 0, "DESCENDING": 180}[info["orbitProperties_pass"]]
    assert info["transmitterReceiverPolarisation"] == ["VV", "VH"]
    assert info["system:time_start"] == round(items[index].datetime.timestamp() * 1000)


def test_opera_is_the_mean_over_thirty_metres(items: dict[str, pystac.Item]):
    image, index = first("OPERA/RTC/L2_V1/S1")
    own = own_grid(image)
    assert own["affineTransform"]["translateX"] % 30 == 0 == own["affineTransform"]["translateY"] % 30
    power = read(items[index], "vv")
    left, top = items[index].assets["vv"].extra_fields["proj:transform"][2::3]
    row, column = 4, 5
    y = round((top - own["affineTransform"]["translateY"]) / 10)
    x = round((own["affineTransform"]["translateX"] - left) / 10)
    block = power[y + 3 * row :, x + 3 * column :][:3, :3]
    found = pixels(image, own)
    expected = np.nanmean(block) if np.isfinite(block).any() else 0
    assert found["VV"][row, column] == pytest.approx(expected, rel=1e-5)
    assert set(np.unique(found["mask"])) <= {0, 255}
    assert ((found["mask"] == 255) == (found["VV"] == 0)).all()
    with_band = ee.ImageCollection("OPERA/RTC/L2_V1/S1").filter(ee.Filter.listContains("system:band_names", "VH"))
    assert with_band.size().getInfo() > 0


def test_reflectance_is_harmonised_over_baselines(items: dict[str, pystac.Item]):
    for baseline, offset in (("03.01", 0), ("04.00", 1000)):
        image, index = first(S2, ee.Filter.eq("PROCESSING_BASELINE", baseline))
        numbers = read(items[index], "B04").astype(int)
        found = pixels(image.select("B4"), own_grid(image))["B4"]
        assert_array_equal(found, np.where(numbers > 0, np.maximum(numbers - offset, 0), 0))
        mask = pixels(image.select("B4").mask(), own_grid(image))["B4"]
        assert_array_equal(mask, numbers > 0)
        classes = pixels(image.select("SCL"), own_grid(image, 4))["SCL"]
        assert_array_equal(classes, read(items[index], "SCL"))


def test_scores_exist_for_most_scenes_only(items: dict[str, pystac.Item]):
    scenes, scored = (set(ee.ImageCollection(name).aggregate_array("system:index").getInfo()) for name in (S2, SCORES))
    assert scored < scenes
    assert scored == {index for index in scenes if "cs_cdf" in items[index].assets}
    image, index = first(SCORES)
    numbers = read(items[index], "cs_cdf")
    found = pixels(image, own_grid(image))["cs_cdf"]
    assert_allclose(found, np.where(numbers < 255, numbers * 0.005, 0), rtol=1e-6)


def test_elevation_and_water(items: dict[str, pystac.Item]):
    image, index = first("COPERNICUS/DEM/GLO30_2024_1")
    own = own_grid(image)
    found = pixels(image, own)
    assert_array_equal(found["DEM"], np.nan_to_num(read(items[index], "data")))
    assert_array_equal(found["WBM"], read(items[index], "wbm"))
    nasadem = pixels(ee.Image("NASA/NASADEM_HGT/001"), own)
    assert nasadem.dtype["elevation"] == np.int16
    assert_array_equal(nasadem["elevation"], np.rint(found["DEM"]))
    occurrence = pixels(ee.Image("JRC/GSW1_4/GlobalSurfaceWater").select("occurrence").unmask(0, False), own)
    assert_array_equal(occurrence["occurrence"] > 0, found["WBM"] > 0)


def test_images_have_ids_and_versions():
    _, index = first(S2)
    image = ee.Image(f"{S2}/{index}")
    info = image.getInfo()
    assert info["id"] == f"{S2}/{index}"
    assert info["version"] == info["properties"]["system:version"]
    assert ee.Image(f"projects/earthengine-public/assets/{S2}/{index}").getInfo()["id"] == f"{S2}/{index}"


def test_the_ramp_is_exact_anywhere():
    requested = grid(50, 40, UTM, CRS, 1234, 5678)
    found = pixels(ee.Image("LOOPBACK/RAMP"), requested)
    assert found.dtype.names == tuple(f"b{band}" for band in range(20))
    x = UTM[2] + 10 * (np.arange(1234, 1284) + 0.5)
    y = UTM[5] - 10 * (np.arange(5678, 5718) + 0.5)
    for band in (0, 7, 19):
        assert_array_equal(found[f"b{band}"], ramp(x[None], y[:, None], band))
