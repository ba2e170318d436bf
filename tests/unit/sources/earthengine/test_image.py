"""What single expressions compute, against the same formula in numpy."""

from typing import Any

import ee
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from landslide.cases.case import Case, load_case
from landslide.features.optical import clear
from landslide.features.sar import clean
from landslide.geo.grid import grid
from landslide.simulation.world import World
from landslide.sources.base import LayerRequest
from landslide.sources.earthengine.export.layer import to_block
from landslide.sources.earthengine.export.pixels import Pixels
from landslide.sources.earthengine.expressions import sentinel1, sentinel2, slope_correction, terrain
from landslide.sources.earthengine.image import layer_image, names_of
from landslide.sources.earthengine.session import Session
from landslide.sources.earthengine.source import EarthEngine
from tests.helpers.parity import by_service, whole

Planes = dict[str, NDArray[np.float32]]


@pytest.fixture
def case(world: World) -> Case:
    return load_case(world.cases[0])


def planes(image: ee.Image, names: list[str], box: GeoBox, session: Session) -> Planes:
    """Bands on a grid, NaN where masked."""
    pixels = Pixels(image.select(names).toFloat().unmask(-9999, False), box, tuple(names), "test", session)
    values = pixels.fetch((slice(0, box.shape.y), slice(0, box.shape.x)))
    return dict(zip(names, np.where(values == -9999, np.nan, values), strict=True))


def requests(case: Case, **source: Any) -> dict[str, LayerRequest]:
    """The request of each layer, by the case's own scenes."""
    one = by_service(case, **source)
    return dict(EarthEngine(one, one.source).find_scenes().layers)  # type: ignore[arg-type]


@pytest.mark.parametrize("direction", ["ascending", "descending"])
def test_flattening_is_the_volume_model_of_vollrath(case: Case, connected: Session, direction: str) -> None:
    box = grid(case)
    scene = requests(case, sentinel2=None, sentinel1={"direction": direction})["sentinel1"].scenes[0]
    image = ee.Image(f"{sentinel1.GRD}/{scene.id}")
    descent = terrain.descent(box, "glo30")
    raw = image.select(["VV", "VH"], ["vv", "vh"]).addBands(image.select("angle")).addBands(descent)
    given = planes(raw, ["vv", "angle", "north", "east"], box, connected)
    found = planes(slope_correction.volume(image, image.select(["VV"], ["vv"]), descent), ["vv"], box, connected)["vv"]
    heading = float(scene.properties[slope_correction.HEADING])  # type: ignore[arg-type]
    incidence, towards = np.radians(given["angle"]), np.radians(heading - 90)
    tilt = np.arctan(given["north"] * np.cos(towards) + given["east"] * np.sin(towards))
    expected = given["vv"] / np.cos(incidence) * np.tan(np.pi / 2 - incidence) / np.tan(np.pi / 2 - incidence + tilt)
    visible = (tilt < incidence) & (tilt > incidence - np.pi / 2)
    assert np.array_equal(np.isfinite(found), np.isfinite(given["vv"]) & visible)
    np.testing.assert_allclose(found[visible], expected[visible], rtol=2e-5)
    facing = np.nanmean(tilt[given["east"] > 0.3])  # ground that falls to the east
    assert (facing < 0) == (direction == "ascending"), "an ascending pass looks east: eastern slopes face away"


def test_flattening_flattens(case: Case, connected: Session) -> None:
    """Sigma naught made by the model's own law comes out level, whatever the slope."""
    box, constant = grid(case), 0.08
    image = ee.Image.constant(38).rename("angle").set(slope_correction.HEADING, 350)
    descent = terrain.descent(box, "glo30")
    tilt = slope_correction.range_tilt(descent, ee.Number(260))
    grazing = np.radians(90 - 38)
    law = tilt.add(grazing).tan().divide(np.tan(grazing)).multiply(constant * np.cos(np.radians(38))).rename("vv")
    flat = planes(slope_correction.volume(image, law, descent), ["vv"], box, connected)["vv"]
    np.testing.assert_allclose(flat[np.isfinite(flat)], constant, rtol=1e-4)


def test_slope_correction_leaves_out_what_the_radar_cannot_see(case: Case, connected: Session) -> None:
    plain = whole(by_service(case, sentinel2=None, bands=["vv_pre", "vv_change"])).values
    flat = whole(by_service(case, sentinel2=None, sentinel1={"slope_correction": "volume"},
                            bands=["vv_pre", "vv_change"])).values  # fmt: skip
    assert not (np.isfinite(flat["vv_pre"]) & ~np.isfinite(plain["vv_pre"])).any()
    both = np.isfinite(flat["vv_change"])
    apart = np.abs(flat["vv_change"] - plain["vv_change"])[both]
    assert np.median(apart) < 1e-3, "on one orbit the terrain cancels in the change"
    assert np.nanmedian(np.abs(flat["vv_pre"] - plain["vv_pre"])) > 0.3


def test_border_noise_is_cut_as_the_features_cut_it(connected: Session) -> None:
    """A strip of noise along an edge goes, with what is beside it; single dark speckles stay."""
    box = GeoBox.from_bbox((300_000, 4_900_000, 300_400, 4_900_300), "EPSG:32632", resolution=10)
    place = ee.Image.pixelCoordinates(ee.Projection("EPSG:32632"))
    east, north = place.select("x").subtract(300_000), place.select("y").subtract(4_900_000)
    dark = east.lt(60).And(east.gt(20)).Or(east.gt(200).And(east.lt(211)).And(north.gt(100)).And(north.lt(121)))
    power = ee.Image.constant(0.1).where(dark, 1e-5).updateMask(east.gt(20)).rename("vv")
    both = power.addBands(power.rename("vh"))
    given = planes(both, ["vv", "vh"], box, connected)
    found = planes(sentinel1.without_border_noise(both), ["vv", "vh"], box, connected)
    for name in ("vv", "vh"):
        expected = clean(xr.DataArray(given[name], dims=("y", "x")), name).values
        inner = (slice(4, -4), slice(0, -4))  # the features know nothing beyond their array, the service does
        np.testing.assert_array_equal(found[name][inner], expected[inner])
    assert np.isfinite(given["vv"]).sum() - np.isfinite(found["vv"]).sum() == 30 * 6, (
        "four columns of noise, two beside"
    )


def test_opera_is_the_same_ground_at_30_metres(case: Case, connected: Session) -> None:
    grd = whole(by_service(case, sentinel2=None, dem=None)).values
    opera = whole(by_service(case, sentinel2=None, dem=None, sentinel1={"collection": "opera"})).values
    for name in ("vv_pre", "vh_post", "ratio_pre"):
        both = np.isfinite(grd[name]) & np.isfinite(opera[name])
        assert both.mean() > 0.7
        assert abs(np.mean(grd[name][both] - opera[name][both])) < 0.5, "a mean over nine pixels, not another number"
        assert np.corrcoef(grd[name][both], opera[name][both])[0, 1] > 0.6


@pytest.mark.parametrize("which", ["glo30", "jrc"])
def test_water_is_where_the_world_has_it(case: Case, connected: Session, which: str) -> None:
    found = whole(by_service(case, sentinel1=None, sentinel2=None, dem=None, water=which)).values["water"]
    assert set(np.unique(found)) == {0.0, 1.0}
    assert 0.001 < found.mean() < 0.2


def test_nasadem_is_whole_metres_of_the_same_ground(case: Case, connected: Session) -> None:
    glo30 = whole(by_service(case, sentinel1=None, sentinel2=None)).values
    nasadem = whole(by_service(case, sentinel1=None, sentinel2=None, dem="nasadem")).values
    assert np.abs(glo30["elevation"] - nasadem["elevation"]).max() < 0.51
    assert np.median(np.abs(glo30["slope"] - nasadem["slope"])) < 1.5


def test_a_scene_without_a_score_is_not_lost(case: Case, connected: Session) -> None:
    """Linked blindly it would be masked whole: every scene that the classes let through must count."""
    request = requests(case, sentinel1=None, dem=None)["sentinel2"]
    unscored = [scene for scene in request.scenes if not scene.properties[sentinel2.SCORED]]
    assert 0 < len(unscored) < len(request.scenes)
    assert sentinel2.scored_share(request.scenes) == 1 - len(unscored) / len(request.scenes)
    alone = sentinel2.Optical(unscored, clear_above=0.6, cloud_dilation=6)
    sides = {scene.side for scene in unscored}
    counts = [planes(sentinel2.counts(alone), [f"s2_{side}"], grid(case), connected)[f"s2_{side}"] for side in sides]
    assert sum(np.nansum(count) for count in counts) > 0


@pytest.mark.parametrize("dilation", [0, 1, 6, 20])
def test_clouds_are_grown_by_as_many_pixels_as_the_case_says(connected: Session, dilation: int) -> None:
    """One cloudy pixel hides a square of 2 × dilation + 1 pixels a side; other classes are not grown."""
    box = GeoBox.from_bbox((300_000, 4_900_000, 300_500, 4_900_500), "EPSG:32632", resolution=10)
    place = ee.Image.pixelCoordinates(ee.Projection("EPSG:32632"))
    row, column = place.select("y").subtract(4_900_000), place.select("x").subtract(300_000)
    cloud = row.gt(250).And(row.lt(260)).And(column.gt(250)).And(column.lt(260))
    water = row.lt(10).And(column.lt(10))
    classes = ee.Image.constant(4).where(cloud, 9).where(water, 6).rename("SCL").toByte()
    image = ee.Image.constant([1000, 1000, 1000, 3000]).rename(list(sentinel2.BANDS)).addBands(classes)
    seen = planes(sentinel2.clear_by_class(image, dilation), ["red"], box, connected)["red"]
    hidden = ~np.isfinite(seen)
    assert hidden.sum() == (2 * dilation + 1) ** 2
    rows, columns = np.nonzero(hidden)
    assert (rows.min() + rows.max(), columns.min() + columns.max()) == (2 * 24, 2 * 25)
    scl = np.full(box.shape, 4, "uint8")
    scl[24, 25] = 9
    assert np.array_equal(clear(xr.DataArray(scl, dims=("y", "x")), dilation).values, ~hidden)


def test_a_tile_is_the_same_part_of_the_whole(case: Case, connected: Session) -> None:
    everything = whole(by_service(case))
    part = (slice(17, 60), slice(30, 71))
    for request in requests(case).values():
        image = layer_image(request, grid(case))
        values = Pixels(image, grid(case), names_of(request), "test", connected).fetch(part)
        block = to_block(values, request)
        for name, plane in block.values.items():
            assert np.array_equal(plane, everything.values[name][part], equal_nan=True), name
        for name, plane in block.seen.items():
            assert np.array_equal(plane, everything.seen[name][part]), name
