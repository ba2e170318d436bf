"""Files of any grid onto the case's own, by tiny rasters whose values are known, and the real scenes."""

import json
import re
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
import yaml
from odc.geo.geobox import GeoBox

from landslide.artifacts.stage import KEY_CONTEXT
from landslide.cases.case import Case
from landslide.cases.sources import CLOUD_DILATION
from landslide.errors import EmptyWindowError, GridError, NoOverlapError, SourceError
from landslide.features import optical, sar
from landslide.geo.grid import grid
from landslide.geo.raster import Reader
from landslide.geo.warp import RasterBand, warped
from landslide.sources.base import SCENE, Block, LayerRequest, SceneList
from landslide.sources.compose import OPTICAL, optical_bands
from landslide.sources.registry import open_source
from landslide.sources.scene_reader import SceneReader

AOI = (9.000, 46.000, 9.005, 46.004)
PRE, POST = "2022-01-20", "2022-02-20"


def case(aoi: object = AOI, years: int | None = None, **source: object) -> Case:
    described = {"id": "own", "event_date": date(2022, 2, 10), "aoi": aoi, "source": {"kind": "files", **source}}
    return Case.model_validate(described if years is None else described | {"pre": {"years": years}})


GRID = grid(case())


def write(path: Path, values: np.ndarray | float, geobox: GeoBox = GRID, **profile: object) -> Path:
    values = np.broadcast_to(values, (1, *geobox.shape)) if np.ndim(values) < 3 else np.asarray(values)
    settings = {"dtype": str(values.dtype), "count": len(values), "crs": str(geobox.crs), "transform": geobox.affine}
    names = profile.pop("names", None)
    with rasterio.open(
        path, "w", driver="GTiff", height=geobox.shape.y, width=geobox.shape.x, **(settings | profile)
    ) as raster:
        raster.write(values)
        if names:
            raster.descriptions = names
    return path


def find(described: Case) -> SceneList:
    return open_source(described).find_scenes()


def bands(found: SceneList) -> tuple[str, ...]:
    return tuple(band for request in found.layers.values() for band in request.bands)


def read(found: SceneList, roi: tuple[slice, slice] | None = None) -> Block:
    """All layers together, whole or on one block, from the requests alone."""
    geobox = found.parts[SCENE].geobox
    values, seen = {}, {}
    for request in found.layers.values():
        block = SceneReader(request, geobox).read(roi or tuple(slice(0, side) for side in geobox.shape))
        assert set(block.values) == set(request.bands)
        values |= block.values
        seen |= block.seen
    return Block(values, seen)


def whole(described: Case) -> Block:
    return read(find(described))


def colour(folder: Path, value: float, name: str, **profile: object) -> str:
    return str(write(folder / f"{name}.tif", np.float32(value), **profile))


def scene(folder: Path, when: str, **values: float) -> dict[str, str]:
    return {"date": when} | {name: colour(folder, value, f"{when}-{name}") for name, value in values.items()}


@pytest.mark.parametrize(
    "names", [("red",), ("green", "red"), ("blue", "green", "red"), ("red", "nir"), ("blue", "nir")]
)
def test_the_bands_are_those_that_the_colours_allow(tmp_path: Path, names: tuple[str, ...]) -> None:
    scenes = [scene(tmp_path, day, **dict.fromkeys(names, 0.2)) for day in (PRE, POST)]
    found = find(case(sentinel2=scenes))
    assert bands(found) == optical_bands(set(names))
    assert set(read(found).values) == set(bands(found))


def test_the_table_of_colours_agrees_with_the_features() -> None:
    import xarray as xr

    for names in (
        {"red", "nir"},
        {"green", "red"},
        {"blue", "green", "red"},
        {"blue", "green", "red", "nir"},
        {"blue"},
    ):
        planes = {name: (("time", "y", "x"), np.full((2, 3, 3), 0.2, "float32")) for name in names}
        values, _ = optical.optical_bands(xr.Dataset(planes, coords={"side": ("time", ["pre", "post"])}))
        assert set(values) == set(optical_bands(names))
    assert set(optical_bands({"blue", "green", "red", "nir"})) == set(OPTICAL)


def test_change_of_known_reflectances(tmp_path: Path) -> None:
    before, after = scene(tmp_path, PRE, red=0.1, nir=0.5), scene(tmp_path, POST, red=0.2, nir=0.3)
    block = whole(case(sentinel2=[before, after]))
    assert block.values["dndvi_median"] == pytest.approx(0.2 - 4 / 6, abs=1e-5)
    assert (block.seen["s2_pre"] == 1).all()


def test_scale_and_offset_and_nodata_of_the_case(tmp_path: Path) -> None:
    numbers = np.full(GRID.shape, 3000, "uint16")
    numbers[4, 6] = 7
    raster = {"path": str(write(tmp_path / "a.tif", numbers)), "nodata": 7, "scale": 1e-4, "offset": -0.1}
    scenes = [{"date": day, "red": raster} for day in (PRE, POST)]
    red = whole(case(sentinel2=scenes)).values["red_post"]
    assert np.isnan(red[4, 6])
    assert np.isnan(red).sum() == 1
    assert np.nanmin(red) == np.nanmax(red) == pytest.approx(0.2, abs=1e-6)


def test_a_nodata_of_nan_survives_json_and_hides_nan_alone(tmp_path: Path) -> None:
    values = np.full(GRID.shape, 3, "float32")
    values[4, 6] = np.nan
    raster = {"path": str(write(tmp_path / "a.tif", values)), "nodata": float("nan")}
    found = find(case(bands={"slope": raster}))
    assert SceneList.model_validate_json(found.model_dump_json()) == found
    assert np.isnan(read(found).values["slope"]).sum() == 1


def test_zero_counts_as_a_number_until_somebody_says_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.uint16(0))
    assert (warped(RasterBand(str(path)), GRID, "bilinear") == 0).all()
    assert np.isnan(warped(RasterBand(str(path), nodata=0), GRID, "bilinear")).all()


def test_a_nodata_that_no_pixel_can_hold_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.uint16(5))
    assert (warped(RasterBand(str(path), nodata=-9999), GRID, "bilinear") == 5).all()


def test_a_file_on_the_grid_is_copied_and_nan_does_not_spread(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=GRID.pad(9).shape).astype("float32")
    values[20, 20] = np.nan
    path = write(tmp_path / "a.tif", values, GRID.pad(9))
    np.testing.assert_array_equal(warped(RasterBand(str(path)), GRID, "bilinear"), values[9:-9, 9:-9])


def test_a_plane_stays_a_plane_on_another_grid(tmp_path: Path) -> None:
    """Linear interpolation keeps a linear function: of coordinates in the file's CRS, at half-pixel shifts."""
    geobox = GeoBox.from_bbox(GRID.pad(30).boundingbox, GRID.crs, resolution=25)
    x, y = np.meshgrid(geobox.coordinates["x"].values, geobox.coordinates["y"].values)
    path = write(tmp_path / "a.tif", (0.01 * x + 0.02 * (y - 5e6)).astype("float32"), geobox)
    x, y = np.meshgrid(GRID.coordinates["x"].values, GRID.coordinates["y"].values)
    expected = 0.01 * x + 0.02 * (y - 5e6)
    np.testing.assert_allclose(warped(RasterBand(str(path)), GRID, "bilinear"), expected, rtol=1e-4)


def test_power_on_a_finer_grid_is_averaged_by_area(tmp_path: Path) -> None:
    fine = np.random.default_rng(0).gamma(4, 0.05, (GRID.shape.y * 2, GRID.shape.x * 2)).astype("float32")
    path = write(tmp_path / "a.tif", fine, GRID.zoom_out(0.5))
    expected = fine.reshape(GRID.shape.y, 2, GRID.shape.x, 2).mean((1, 3))
    np.testing.assert_allclose(warped(RasterBand(str(path)), GRID, "average"), expected, rtol=1e-5)


def test_decibels_are_never_averaged(tmp_path: Path) -> None:
    """Ten of -30 dB beside 0 dB: the mean of powers is -3 dB, of decibels -15; the nearest is one of the two."""
    checks = np.where(np.indices((GRID.shape.y * 2, GRID.shape.x * 2)).sum(0) % 2, 0, -20).astype("float32")
    path = str(write(tmp_path / "a.tif", checks, GRID.zoom_out(0.5)))
    scenes = [{"date": day, "orbit": "ascending-44", "unit": "dB", "vv": path} for day in (PRE, POST)]
    found = find(case(sentinel1=scenes))
    assert bands(found) == ("vv_pre", "vv_post", "vv_change")
    values = np.round(read(found).values["vv_pre"], 3)
    assert set(np.unique(values)) <= {-20, 0}


def test_a_polarisation_that_not_all_scenes_have_is_left_out(tmp_path: Path) -> None:
    path = colour(tmp_path, 0.1, "power")
    scenes = [{"date": day, "orbit": "o", "unit": "linear", "vv": path} for day in (PRE, POST)]
    scenes[0]["vh"] = path
    assert set(whole(case(sentinel1=scenes)).values) == {"vv_pre", "vv_post", "vv_change"}


def test_a_signature_is_in_no_message() -> None:
    with pytest.raises(SourceError) as error:
        warped(RasterBand("http://127.0.0.1:9/scene.tif?sig=secret"), GRID, "bilinear")
    assert "http://127.0.0.1:9/scene.tif" in str(error.value)
    assert "secret" not in str(error.value)


def test_ready_bands_by_name_and_number(tmp_path: Path) -> None:
    path = str(
        write(tmp_path / "a.tif", np.stack([np.full(GRID.shape, v, "float32") for v in (1, 2)]), names=("x", "y"))
    )
    found = find(case(bands={"dndvi_median": {"path": path, "band": "y"}, "slope": {"path": path, "band": 1}}))
    block = read(found)
    assert bands(found) == ("dndvi_median", "slope")
    assert {layer: request.bands for layer, request in found.layers.items()} == {
        "sentinel2": ("dndvi_median",), "terrain": ("slope",)
    }  # fmt: skip
    assert (block.values["dndvi_median"].max(), block.values["slope"].max()) == (2, 1)
    assert dict(block.seen) == {}


def test_blocks_and_the_whole_agree(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    geobox = GRID.pad(40).to_crs("EPSG:4326")
    paths = {
        name: str(write(tmp_path / f"{name}.tif", random.uniform(0.1, 1, geobox.shape).astype("float32"), geobox))
        for name in "abcd"
    }
    radar = [
        {"date": day, "orbit": "o", "unit": "linear", "vv": paths[name]}
        for day, name in zip((PRE, POST), "ab", strict=True)
    ]
    colours = [
        {"date": day, "red": paths[name], "nir": paths["d"]} for day, name in zip((PRE, POST), "bc", strict=True)
    ]
    found = find(case(sentinel1=radar, sentinel2=colours, dem=paths["a"]))
    complete, roi = read(found), (slice(11, 30), slice(3, 29))
    for name, plane in read(found, roi).values.items():
        np.testing.assert_allclose(plane, complete.values[name][roi], rtol=1e-4, atol=1e-3, err_msg=name)


def test_a_classification_hides_clouds(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, day, red=0.1, nir=0.4) for day in (PRE, POST)]
    cloudy = np.full(GRID.shape, 4, "uint8")
    cloudy[:5, :5] = 9
    scenes[1]["scl"] = str(write(tmp_path / "scl.tif", cloudy))
    block = whole(case(sentinel2=scenes))
    assert np.isnan(block.values["dndvi_median"][:5, :5]).all()
    assert (block.seen["s2_post"][:5, :5] == 0).all()
    assert np.isfinite(block.values["dndvi_median"][-5:, -5:]).all()


def test_a_date_outside_the_windows_is_refused(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, day, red=0.1) for day in (PRE, POST, "2022-07-01")]
    with pytest.raises(
        SourceError, match=r"2022-07-01-red.tif is of 2022-07-01, outside both windows \(pre 2021-12-12"
    ):
        find(case(sentinel2=scenes))


def test_dates_in_earlier_years_are_before_and_those_between_are_refused(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, day, red=0.1) for day in ("2020-03-01", "2021-02-11", POST)]
    found = find(case(years=2, sentinel2=scenes))
    assert [one.side for one in found.layers["sentinel2"].scenes] == ["pre", "pre", "post"]
    between = [*scenes, scene(tmp_path, PRE, red=0.1)]
    windows = r"pre 2020-02-11\.\.2020-04-11 and 2021-02-11\.\.2021-04-11, post 2022-02-11"
    with pytest.raises(SourceError, match=rf"of {PRE}, outside both windows \({windows}"):
        find(case(years=2, sentinel2=between))


def test_a_side_without_scene(tmp_path: Path) -> None:
    with pytest.raises(EmptyWindowError, match=r"no sentinel-2 scene in the post window.*2022-01-20"):
        find(case(sentinel2=[scene(tmp_path, PRE, red=0.1)]))


def test_files_of_one_scene_share_their_grid(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, day, red=0.1, nir=0.4) for day in (PRE, POST)]
    write(tmp_path / f"{POST}-nir.tif", np.float32(0.4), GRID.pad(1))
    with pytest.raises(GridError, match=r"2022-02-20-nir.tif and .*2022-02-20-red.tif are one scene"):
        find(case(sentinel2=scenes))


def test_a_band_that_is_not_there(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.tif", np.float32(1), names=("rg",)))
    for band in (2, "ndvi", 0):
        with pytest.raises(SourceError, match=rf"a.tif has no band {band!r}; it has \['rg'\]"):
            find(case(bands={"slope": {"path": path, "band": band}}))


def test_missing_damaged_and_unplaced_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.tif"):
        find(case(bands={"slope": str(tmp_path / "none.tif")}))
    path = write(tmp_path / "cut.tif", np.random.default_rng(0).normal(size=GRID.shape))
    found = find(case(bands={"slope": str(path)}))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(SourceError, match=r"cut\.tif"):
        read(found)
    with rasterio.open(tmp_path / "bare.tif", "w", driver="GTiff", width=3, height=3, count=1, dtype="uint8") as raster:
        raster.write(np.ones((1, 3, 3), "uint8"))
    with pytest.raises(SourceError, match=r"bare.tif has no CRS"):
        find(case(bands={"slope": str(tmp_path / "bare.tif")}))


def test_a_band_delivered_twice(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, day, red=0.1) for day in (PRE, POST)]
    with pytest.raises(SourceError, match=r"\['red_post'\] are in `bands` and also follow"):
        find(case(sentinel2=scenes, bands={"red_post": scenes[0]["red"]}))


def test_elsewhere_is_no_overlap(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a.tif", np.float32(1)))
    with pytest.raises(NoOverlapError, match=r"bands.slope overlaps the area"):
        find(case(aoi=(12.0, 46.0, 12.01, 46.01), bands={"slope": path}))


def test_a_file_across_the_antimeridian_is_read(tmp_path: Path) -> None:
    """In degrees the box of such a file is the whole Earth but the file."""
    geobox = GeoBox.from_bbox((800_000, 8_040_000, 840_000, 8_060_000), "EPSG:32760", resolution=100)
    path = str(write(tmp_path / "a.tif", np.float32(7), geobox))
    assert (whole(case(aoi=(179.90, -17.60, 179.92, -17.58), bands={"slope": path})).values["slope"] == 7).all()


def test_nothing_listed() -> None:
    with pytest.raises(SourceError, match="lists no files"):
        find(case())


def key(request: LayerRequest) -> dict[str, object]:
    """What a layer's key has of a request."""
    return request.model_dump(mode="json", context=KEY_CONTEXT)


def test_the_request_follows_content_not_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", np.float32(1))
    first = find(case(bands={"slope": str(path)})).layers["terrain"]
    assert find(case(bands={"slope": str(path)})).layers["terrain"] == first
    (tmp_path / "moved").mkdir()
    moved = shutil.copy(path, tmp_path / "moved" / "a.tif")
    assert key(find(case(bands={"slope": str(moved)})).layers["terrain"]) == key(first)
    write(path, np.float32(2))
    assert key(find(case(bands={"slope": str(path)})).layers["terrain"]) != key(first)


def test_opening_reads_nothing(tmp_path: Path) -> None:
    source = open_source(case(bands={"slope": str(tmp_path / "none.tif")}))
    with pytest.raises(SourceError, match=r"none\.tif"):
        source.find_scenes()


def test_an_export_needs_the_request_alone(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, day, red=0.1, nir=0.4) for day in (PRE, POST)]
    described = case(sentinel2=scenes, bands={"slope": scenes[0]["red"]})
    found = SceneList.model_validate_json(find(described).model_dump_json())
    complete = read(found)
    for request in found.layers.values():
        ((roi, block),) = open_source(described).export(request, SCENE, tmp_path / "unused")
        assert roi == tuple(slice(0, side) for side in GRID.shape)
        for band in request.bands:
            np.testing.assert_array_equal(block.values[band], complete.values[band])
        assert open_source(described).label(request, SCENE) is None
    assert not (tmp_path / "unused").exists()


def test_a_sensor_on_one_side_alone_is_missing_where_another_layer_can_be_made(tmp_path: Path) -> None:
    path = colour(tmp_path, 0.1, "power")
    radar = [{"date": PRE, "orbit": "o", "unit": "linear", "vv": path}]
    colours = [scene(tmp_path, day, red=0.1, nir=0.4) for day in (PRE, POST)]
    found = find(case(sentinel1=radar, sentinel2=colours))
    assert set(found.layers) == {"sentinel2"}
    assert set(found.missing) == {"sentinel1"}
    assert "no sentinel-1 scene in the post window" in found.missing["sentinel1"]
    words = r"no sentinel-1 scene in the post window.*no sentinel-2 scene in the pre window"
    with pytest.raises(EmptyWindowError, match=words):
        find(case(sentinel1=radar, sentinel2=colours[1:]))


def test_ready_water_belongs_to_the_mask(tmp_path: Path) -> None:
    path = colour(tmp_path, 1, "water")
    found = find(case(bands={"water": path}))
    assert {layer: request.bands for layer, request in found.layers.items()} == {"mask": ("water",)}
    (only,) = found.layers["mask"].scenes
    assert (only.sensor, only.id, list(only.assets)) == ("file", "water.tif", ["water"])
    assert (read(found).values["water"] == 1).all()


def test_a_ready_band_joins_the_layer_of_its_sensor(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, day, red=0.1) for day in (PRE, POST)]
    found = find(case(sentinel2=scenes, bands={"dndvi_median": colour(tmp_path, -0.25, "change")}))
    assert found.layers["sentinel2"].bands == ("red_post", "dndvi_median")
    block = read(found)
    assert (block.values["dndvi_median"] == -0.25).all()
    assert block.values["red_post"] == pytest.approx(0.1)
    assert (block.seen["s2_post"] == 1).all()


def test_scenes_without_a_common_colour_are_refused(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, PRE, red=0.1), scene(tmp_path, POST, green=0.1)]
    slope = colour(tmp_path, 1, "slope")
    with pytest.raises(
        SourceError, match=r"no band follows from its sentinel-2 scenes, which have only \[\] in common"
    ):
        find(case(sentinel2=scenes, bands={"slope": slope}))


def test_the_files_of_one_day_are_acquisitions_of_their_own(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, day, red=0.1, nir=0.4) for day in (PRE, POST)]
    assert (whole(case(sentinel2=[*scenes, scenes[0]])).seen["s2_pre"] == 2).all()


def test_clouds_grow_by_the_cases_dilation(tmp_path: Path) -> None:
    scenes = [scene(tmp_path, day, red=0.1, nir=0.4) for day in (PRE, POST)]
    cloudy = np.full(GRID.shape, 4, "uint8")
    cloudy[20, 20] = 9
    scenes[1]["scl"] = str(write(tmp_path / "scl.tif", cloudy))
    requests = {}
    for dilation in (0, 3, CLOUD_DILATION):
        found = find(case(sentinel2=scenes, dem=scenes[0]["red"], cloud_dilation=dilation))
        requests[dilation] = found.layers
        assert found.layers["sentinel2"].settings == {"cloud_dilation": dilation}
        assert (read(found).seen["s2_post"] == 0).sum() == (2 * dilation + 1) ** 2
        roi = (slice(15, 20), slice(18, 30))
        np.testing.assert_array_equal(read(found, roi).seen["s2_post"], read(found).seen["s2_post"][roi])
    assert find(case(sentinel2=scenes, dem=scenes[0]["red"])).layers == requests[CLOUD_DILATION]
    assert requests[0]["terrain"] == requests[3]["terrain"]
    assert key(requests[0]["sentinel2"]) != key(requests[3]["sentinel2"])


@pytest.mark.parametrize("dilation", [-1, 51])
def test_a_dilation_out_of_bounds_is_refused(dilation: int) -> None:
    with pytest.raises(ValueError, match="cloud_dilation"):
        case(cloud_dilation=dilation)


def test_the_default_dilation_is_that_of_the_features() -> None:
    assert CLOUD_DILATION == optical.EDGE


def test_terrain_depends_on_area_and_dem_alone(tmp_path: Path) -> None:
    path = colour(tmp_path, 100, "dem")
    first = case(dem=path)
    other = first.model_copy(update={"id": "other", "event_date": date(2023, 5, 1)})
    assert find(first).layers == find(other).layers
    assert find(first).parts == find(other).parts


def hokkaido(folder: Path) -> Case:
    scenes = []
    for when in ("pre", "post"):
        names = {"blue": "B2", "green": "B3", "red": "B4"}
        files = {c: {"path": str(folder / f"{when}-event/download.{b}.tif"), "scale": 1e-4} for c, b in names.items()}
        scenes.append({"when": when, **files})
    source = {"kind": "files", "sentinel2": scenes, "dem": str(folder / "dem/download.DSM.tif")}
    aoi = (141.8904, 42.6824, 142.0280, 42.7695)
    return Case.model_validate({"id": "hokkaido", "event_date": "2018-09-06", "aoi": aoi, "source": source})


@pytest.mark.slow
def test_hokkaido_is_not_observed_where_it_was_not_seen_before(real_data: Path) -> None:
    block = whole(hokkaido(real_data / "hokkaido-2018"))
    with rasterio.open(real_data / "hokkaido-2018/pre-event/download.B4.tif") as raster:
        missing = float((raster.read(1) == 0).mean())
    unseen = block.seen["s2_pre"] == 0
    assert missing == pytest.approx(0.4, abs=0.05)
    assert unseen.mean() == pytest.approx(missing, abs=0.02)
    assert np.isnan(block.values["dgrvi"][unseen]).all()
    assert np.isfinite(block.values["dgrvi"][~unseen]).mean() > 0.99
    assert np.isfinite(block.values["red_post"]).mean() > 0.95
    assert np.isfinite(block.values["slope"]).mean() > 0.95


def test_kaikoura_lies_on_our_grid(real_data: Path) -> None:
    path = real_data / "kaikoura-2016/diff_landslide_69.tif"
    with Reader(path) as reader:
        theirs, geobox = reader.read(["ndvi_change"])[0], reader.geobox
    inner = geobox[20:-20, 20:-20].footprint("EPSG:4326").boundingbox
    bands = {"dndvi_median": {"path": str(path), "band": "ndvi_change"}}
    described = {
        "id": "kaikoura",
        "event_date": "2016-11-14",
        "aoi": tuple(inner),
        "source": {"kind": "files", "bands": bands},
    }
    found = find(Case.model_validate(described))
    ours = found.parts[SCENE].geobox
    assert ours.crs == geobox.crs
    step = ~geobox.affine * ours.affine
    column, row = round(step.c), round(step.f)
    assert (step.c, step.f) == pytest.approx((column, row), abs=1e-6)
    expected = theirs[row : row + ours.shape.y, column : column + ours.shape.x]
    np.testing.assert_array_equal(read(found).values["dndvi_median"], expected)


def test_opera_series_is_read_as_it_is(real_data: Path) -> None:
    """On the case's 10 m grid, a 30 m file: block means of linear power stay, within the bilinear blur at edges."""
    folder = real_data / "opera-rtc-s1"
    paths = sorted(folder.glob("*T137-292319-IW2_2021*_VV.tif"))[:4]
    with Reader(paths[0]) as reader:
        geobox, power = reader.geobox, reader.read(["1"])[0]
    inner = geobox[30:70, 30:70].footprint("EPSG:4326").boundingbox
    scenes = [
        {"when": when, "orbit": "descending-137", "unit": "linear", "vv": str(path)}
        for when, path in zip(("pre", "pre", "post", "post"), paths, strict=True)
    ]
    described = {
        "id": "opera",
        "event_date": "2021-12-01",
        "aoi": tuple(inner),
        "source": {"kind": "files", "sentinel1": scenes},
    }
    block = whole(Case.model_validate(described))
    assert (block.seen["s1_pre"] == 2).mean() > 0.99
    expected = 10 * np.log10(np.nanmean(power[30:70, 30:70]))
    assert 10 * np.log10(np.nanmean(sar.to_linear(block.values["vv_pre"]))) == pytest.approx(expected, abs=1.5)


def test_every_case_in_the_documentation_is_one(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "data-sources.md").read_text()
    examples = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    outline = GRID.footprint("EPSG:4326").json
    for example in examples:
        if isinstance(example.get("aoi"), str):
            (tmp_path / example["aoi"]).write_text(json.dumps(outline))
    read = [Case.model_validate(example, context={"folder": tmp_path}) for example in examples]
    assert {found.source.kind for found in read} == {"stac", "files", "archive"}
