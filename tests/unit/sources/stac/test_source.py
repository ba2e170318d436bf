"""A tiny catalogue of our own, on disk and behind an API on loopback: what is found, how its numbers are read."""

import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pystac
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox

from landslide.artifacts.stage import KEY_CONTEXT
from landslide.bands import BANDS
from landslide.cases.case import Case
from landslide.errors import EmptyWindowError, NoOverlapError, SourceError
from landslide.geo.grid import grid
from landslide.geo.warp import RasterBand
from landslide.sources import scene_reader
from landslide.sources.base import SCENE, Asset, Block, LayerRequest, Scene, SceneList
from landslide.sources.registry import open_source
from landslide.sources.scene_reader import SceneReader
from landslide.sources.stac.metadata import reflectance

AOI = (9.000, 46.000, 9.005, 46.004)
EVENT = date(2022, 2, 10)
RADAR = {"pre": ["2022-01-20", "2022-02-01"], "post": ["2022-02-13", "2022-02-25"]}
COLOURS = {"blue": 0.05, "green": 0.08, "red": 0.06}
NIR = {"pre": 0.50, "post": 0.10}
POWER = {"pre": 0.1, "post": 0.2}
COLLECTIONS = ("sentinel-1-rtc", "sentinel-2-l2a", "dem")


def case(catalog: Path | str, sensors: str = "12d", **changes: object) -> Case:
    source: dict[str, object] = {"kind": "stac", "catalog": str(catalog)}
    for letter, key, collection in zip("12d", ("sentinel1", "sentinel2", "dem"), COLLECTIONS, strict=True):
        if letter in sensors:
            source[key] = {"collection": collection} | changes.pop(key, {})
    source |= changes.pop("source", {})
    return Case.model_validate(
        {"id": "slope", "event_date": EVENT, "aoi": AOI, "pre": {"days": 30}, "post": {"days": 30}, "source": source}
        | changes
    )


GRID = grid(case("nowhere"))


class World:
    """Writes items with rasters into a folder, then the catalogue around them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: dict[str, list[pystac.Item]] = {name: [] for name in COLLECTIONS}

    def raster(self, name: str, values: np.ndarray | float, geobox: GeoBox, dtype: str, nodata: float | None) -> Path:
        path = self.folder / "pixels" / f"{name}.tif"
        path.parent.mkdir(exist_ok=True, parents=True)
        profile = {"count": 1, "dtype": dtype, "nodata": nodata, "crs": str(geobox.crs), "transform": geobox.affine}
        with rasterio.open(path, "w", driver="GTiff", height=geobox.shape.y, width=geobox.shape.x, **profile) as raster:
            raster.write(np.broadcast_to(values, geobox.shape).astype(dtype), 1)
        return path

    def add(
        self,
        collection: str,
        name: str,
        day: str,
        files: dict[str, Path],
        geobox: GeoBox,
        band: dict,
        **properties: object,
    ) -> pystac.Item:
        footprint = geobox.footprint("EPSG:4326")
        item = pystac.Item(
            name, footprint.json, list(footprint.boundingbox), datetime.fromisoformat(day).replace(hour=9, tzinfo=UTC),
            {"proj:code": str(geobox.crs), **properties},
        )  # fmt: skip
        item.stac_extensions = ["https://stac-extensions.github.io/projection/v2.0.0/schema.json"]
        for key, path in files.items():
            fields = {
                "raster:bands": [band],
                "proj:shape": list(geobox.shape),
                "proj:transform": list(geobox.affine)[:6],
            }
            item.add_asset(
                key, pystac.Asset(str(path), media_type="image/tiff; application=geotiff", extra_fields=fields)
            )
        self.items[collection].append(item)
        return item

    def radar(
        self, day: str, power: float | np.ndarray, geobox: GeoBox = GRID, tag: str = "", band: dict | None = None,
        assets: tuple[str, ...] = ("vv", "vh"), **properties: object,
    ) -> pystac.Item:  # fmt: skip
        name = f"S1_{day}{tag}"
        files = {key: self.raster(f"{name}_{key}", power, geobox, "float32", None) for key in assets}
        orbit = {"sat:orbit_state": "ascending", "sat:relative_orbit": 44, "sar:instrument_mode": "IW"}
        band = {"unit": "linear"} if band is None else band
        return self.add("sentinel-1-rtc", name, day, files, geobox, band, **(orbit | properties))

    def optical(
        self, day: str, nir: float | np.ndarray, geobox: GeoBox = GRID, tag: str = "", baseline: str = "03.01",
        scl: int | np.ndarray = 4,
    ) -> pystac.Item:  # fmt: skip
        name = f"S2_{day}{tag}"
        shift = 1000 if float(baseline) >= 4 else 0
        numbers = {key: np.asarray(value) * 1e4 + shift for key, value in (COLOURS | {"nir": nir}).items()}
        files = {key: self.raster(f"{name}_{key}", np.rint(dn), geobox, "uint16", None) for key, dn in numbers.items()}
        files["scl"] = self.raster(f"{name}_scl", scl, geobox, "uint8", 0)
        stated = {"s2:processing_baseline": baseline, "eo:cloud_cover": 12.5}
        return self.add("sentinel-2-l2a", name, day, files, geobox, {"nodata": 0}, **stated)

    def terrain(self, geobox: GeoBox, tag: str = "") -> pystac.Item:
        heights = 100 + 2.0 * np.arange(geobox.shape.x)[None, :]
        path = self.raster(f"dem{tag}", heights, geobox, "float32", None)
        return self.add("dem", f"dem{tag}", "2021-04-22", {"data": path}, geobox, {"unit": "metre"})

    def standard(self) -> "World":
        for when, days in RADAR.items():
            for day in days:
                self.radar(day, POWER[when])
                self.optical(day, NIR[when], baseline="03.01" if when == "pre" else "04.00")
        self.terrain(GRID.pad(20))
        return self

    def save(self) -> Path:
        catalogue = pystac.Catalog("world", "A tiny world", title="world")
        extent = pystac.Extent(pystac.SpatialExtent([list(AOI)]), pystac.TemporalExtent([[None, None]]))
        for name, items in self.items.items():
            collection = pystac.Collection(name, name, extent)
            collection.add_items(items)
            catalogue.add_child(collection)
        catalogue.normalize_hrefs(str(self.folder / "stac"))
        catalogue.make_all_asset_hrefs_relative()
        catalogue.save(pystac.CatalogType.SELF_CONTAINED)
        return self.folder / "stac" / "catalog.json"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return World(tmp_path_factory.mktemp("standard")).standard().save()


def find(described: Case) -> SceneList:
    return open_source(described).find_scenes()


def bands(found: SceneList) -> tuple[str, ...]:
    return tuple(band for request in found.layers.values() for band in request.bands)


def scenes(found: SceneList) -> list[Scene]:
    """The acquisitions of all layers in time order."""
    dated = [scene for request in found.layers.values() for scene in request.scenes if scene.side is not None]
    return sorted(dated, key=lambda scene: (scene.date, scene.orbit, scene.id))


def keys(found: SceneList) -> dict[str, object]:
    """What the layers' keys have of the requests."""
    return {layer: request.model_dump(mode="json", context=KEY_CONTEXT) for layer, request in found.layers.items()}


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


def shifted(geobox: GeoBox, east: float, north: float) -> GeoBox:
    bounds = geobox.boundingbox
    moved = BoundingBox(bounds.left + east, bounds.bottom + north, bounds.right + east, bounds.top + north, geobox.crs)
    return GeoBox.from_bbox(moved, geobox.crs, shape=geobox.shape)


def test_all_bands_of_all_sensors(standard: Path) -> None:
    found = find(case(standard))
    block = read(found)
    assert set(bands(found)) <= set(BANDS)
    assert len(bands(found)) == 9 + 6 + 8
    assert {layer: len(request.bands) for layer, request in found.layers.items()} == {
        "sentinel1": 9, "sentinel2": 8, "terrain": 6
    }  # fmt: skip
    assert not found.missing
    assert set(block.values) == set(bands(found))
    assert all(plane.shape == tuple(GRID.shape) and plane.dtype == np.float32 for plane in block.values.values())
    assert block.values["vv_change"] == pytest.approx(10 * np.log10(2), abs=1e-4)
    assert block.values["ratio_post"] == pytest.approx(0, abs=1e-4)
    assert block.values["slope"] == pytest.approx(np.degrees(np.arctan(0.2)), abs=1e-2)
    assert block.values["eastness"] == pytest.approx(-1, abs=1e-4)
    assert {name: int(plane.max()) for name, plane in block.seen.items()} == dict.fromkeys(block.seen, 2)
    assert set(block.seen) == {"s1_pre", "s1_post", "s2_pre", "s2_post"}


def test_two_baselines_in_one_case_give_one_reflectance(standard: Path) -> None:
    block = whole(case(standard, "2"))
    index = {side: (nir - 0.06) / (nir + 0.06) for side, nir in NIR.items()}
    assert block.values["dndvi_median"] == pytest.approx(index["post"] - index["pre"], abs=1e-4)
    assert block.values["blue_post"] == pytest.approx(0.05, abs=1e-5)
    assert block.values["brightness_change"] == pytest.approx(0, abs=1e-5)


def test_scenes_are_listed_in_time_order(standard: Path) -> None:
    layers = find(case(standard)).layers
    listed = [*layers["sentinel1"].scenes, *layers["sentinel2"].scenes]
    for layer in ("sentinel1", "sentinel2"):
        assert [scene.date for scene in layers[layer].scenes] == sorted(scene.date for scene in layers[layer].scenes)
    assert {scene.orbit for scene in listed} == {"", "ascending-44"}
    assert {(scene.side, scene.date) for scene in listed} == {(w, day) for w, days in RADAR.items() for day in days}
    assert {scene.cloud_cover for scene in listed if scene.sensor == "sentinel-2"} == {12.5}
    assert {scene.time.hour for scene in listed} == {9}
    assert [(scene.side, scene.time) for scene in layers["terrain"].scenes] == [(None, None)]


def test_blocks_and_the_whole_agree_when_scenes_lie_on_other_grids(world: World) -> None:
    random = np.random.default_rng(1)
    skew = GRID.pad(30).to_crs("EPSG:32631")
    fine = GeoBox.from_bbox(GRID.pad(20).boundingbox, GRID.crs, resolution=4)
    for when, days in RADAR.items():
        for day, geobox in zip(days, (skew, fine), strict=True):
            world.radar(day, random.gamma(4, POWER[when] / 4, geobox.shape), geobox)
            world.optical(
                day,
                random.uniform(0.1, 0.5, geobox.shape),
                geobox,
                scl=random.choice([4, 5, 9], geobox.shape, p=[0.7, 0.299, 0.001]),
            )
    world.terrain(skew)
    found = find(case(world.save()))
    complete = read(found)
    for roi in ((slice(0, 17), slice(0, 23)), (slice(17, 40), slice(5, 37))):
        block = read(found, roi)
        for name, plane in block.values.items():
            np.testing.assert_allclose(plane, complete.values[name][roi], rtol=1e-4, atol=1e-4, err_msg=name)
        for name, plane in block.seen.items():
            np.testing.assert_array_equal(plane, complete.seen[name][roi])


def test_tiles_of_one_day_and_slices_of_one_pass_count_once(world: World) -> None:
    west, east = shifted(GRID, -150, 0), shifted(GRID, 150, 0)
    for when, days in RADAR.items():
        for tag, tile in (("_w", west), ("_e", east)):
            world.radar(days[0], POWER[when], tile, tag)
            world.optical(days[0], NIR[when], tile, tag)
    block = whole(case(world.save(), "12"))
    for name, plane in block.seen.items():
        assert (plane == 1).all(), name
    assert block.values["vv_change"] == pytest.approx(10 * np.log10(2), abs=1e-3)


def test_terrain_across_tiles_is_that_of_one(world: World, tmp_path: Path) -> None:
    """Tiles that meet inside the grid, in degrees, as the Copernicus DEM comes."""
    whole_tile = GRID.pad(40).to_crs("EPSG:4326")
    x, y = np.meshgrid(*(np.arange(side) for side in whole_tile.shape.xy))
    heights = 50 * np.sin(x / 7) + 30 * np.cos(y / 9)
    half = whole_tile.shape.x // 2
    for tag, columns in (("_w", slice(0, half)), ("_e", slice(half, None))):
        path = world.raster(f"dem{tag}", heights[:, columns], whole_tile[:, columns], "float32", None)
        world.add("dem", f"dem{tag}", "2021-04-22", {"data": path}, whole_tile[:, columns], {})
    single = World(tmp_path / "single")
    path = single.raster("dem", heights, whole_tile, "float32", None)
    single.add("dem", "dem", "2021-04-22", {"data": path}, whole_tile, {})
    two, one = (whole(case(place.save(), "d")) for place in (world, single))
    for name, plane in one.values.items():
        np.testing.assert_array_equal(two.values[name], plane, err_msg=name)
        assert np.isfinite(plane).all()


def test_a_cloud_in_one_tile_is_filled_by_the_other(world: World) -> None:
    cloud = np.full(GRID.shape, 4)
    cloud[5, 5] = 9
    for when, days in RADAR.items():
        world.optical(days[0], NIR[when], tag="_a", scl=cloud)
        world.optical(days[0], NIR[when], tag="_b", geobox=GRID[:, :20])
    seen = whole(case(world.save(), "2")).seen["s2_pre"]
    assert (seen == 1).all()


def test_orbits_are_kept_apart(world: World) -> None:
    for when, days in RADAR.items():
        world.radar(days[0], POWER[when])
        world.radar(days[1], POWER[when] * 5, **{"sat:orbit_state": "descending", "sat:relative_orbit": 168})
    found = find(case(world.save(), "1"))
    assert {scene.orbit for scene in scenes(found)} == {"ascending-44", "descending-168"}
    assert read(found).values["vv_change"] == pytest.approx(10 * np.log10(2), abs=1e-4)


def two_directions(world: World) -> Path:
    for when, days in RADAR.items():
        world.radar(days[0], POWER[when])
        world.radar(days[1], POWER[when] * 5, **{"sat:orbit_state": "DESCENDING", "sat:relative_orbit": 168})
    return world.save()


@pytest.mark.parametrize(("direction", "power"), [("ascending", 0.1), ("descending", 0.5)])
def test_one_direction_alone(world: World, direction: str, power: float) -> None:
    found = find(case(two_directions(world), "1", sentinel1={"direction": direction}))
    assert {scene.orbit.split("-")[0].lower() for scene in scenes(found)} == {direction}
    block = read(found)
    assert block.values["vv_pre"] == pytest.approx(10 * np.log10(power), abs=1e-4)
    assert (block.seen["s1_pre"] == 1).all()


def test_a_direction_that_is_not_there_is_an_empty_window_that_names_it(world: World) -> None:
    for days in RADAR.values():
        world.radar(days[0], 0.1)
    world.radar("2021-06-01", 0.1, **{"sat:orbit_state": "descending"})
    catalog = world.save()
    words = r"no usable descending Sentinel-1 scene .*pre window.*nearest in time it has S1_2021-06-01 of 2021-06-01\. "
    with pytest.raises(EmptyWindowError, match=words) as error:
        find(case(catalog, "1", sentinel1={"direction": "descending"}))
    assert "S1_2022" not in str(error.value), "scenes of the other direction are no help"


def test_where_only_the_other_direction_flew_the_error_says_so(world: World) -> None:
    for days in RADAR.values():
        world.radar(days[0], 0.1)
    with pytest.raises(EmptyWindowError, match=r"has scenes that are not descending.*leave `direction` or the sensor"):
        find(case(world.save(), "1", sentinel1={"direction": "descending"}))


def test_a_scene_without_a_direction_is_named_where_one_is_asked_for(world: World) -> None:
    for days in RADAR.values():
        world.radar(days[0], 0.1)
    world.radar("2022-02-20", 0.1, **{"sat:orbit_state": None})
    with pytest.raises(SourceError, match="item S1_2022-02-20 states no sat:orbit_state"):
        find(case(world.save(), "1", sentinel1={"direction": "ascending"}))


def test_decibels_become_power_and_nodata_of_the_item_is_missing(world: World) -> None:
    values = np.full(GRID.shape, -10.0)
    values[:10] = -999
    for days in RADAR.values():
        world.radar(days[0], values, band={"unit": "dB", "nodata": -999})
    block = whole(case(world.save(), "1"))
    assert np.isnan(block.values["vv_pre"][:10]).all()
    assert block.values["vv_pre"][10:] == pytest.approx(-10, abs=1e-4)
    assert (block.seen["s1_pre"][:10] == 0).all()


def test_numbers_of_zero_are_no_reflectance(world: World) -> None:
    nir = np.full(GRID.shape, 0.3)
    nir[:, :7] = 0
    for days in RADAR.values():
        world.optical(days[0], nir)
    block = whole(case(world.save(), "2"))
    assert np.isnan(block.values["dndvi_median"][:, :7]).all()
    assert np.isfinite(block.values["dndvi_median"][:, 7:]).all()


@pytest.mark.parametrize(
    ("properties", "band", "expected"),
    [
        ({"s2:processing_baseline": "03.01"}, {}, (1e-4, 0)),
        ({"s2:processing_baseline": "04.00"}, {}, (1e-4, -0.1)),
        ({"s2:processing_baseline": "05.09"}, {"nodata": 0}, (1e-4, -0.1)),
        ({"s2:processing_baseline": "05.09"}, {"scale": 1e-4, "offset": -0.1}, (1e-4, -0.1)),
        ({"s2:processing_baseline": "02.09", "earthsearch:boa_offset_applied": False}, {"offset": 0}, (1e-4, 0)),
        ({"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}, {"offset": -0.1}, (1e-4, 0)),
        ({"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}, {}, (1e-4, 0)),
        ({}, {"scale": 2e-4, "offset": 0.0}, (2e-4, 0)),
    ],
)
def test_reflectance_scaling(properties: dict, band: dict, expected: tuple[float, float]) -> None:
    item = pystac.Item("a", None, None, datetime(2022, 3, 1, tzinfo=UTC), properties)
    item.add_asset("red", pystac.Asset("red.tif", extra_fields={"raster:bands": [band]} if band else {}))
    how = reflectance(item, "red")
    assert (how.scale, how.offset) == pytest.approx(expected)
    assert how.nodata == 0


def test_reflectance_is_not_guessed() -> None:
    item = pystac.Item("S2X", None, None, datetime(2022, 3, 1, tzinfo=UTC), {})
    item.add_asset("red", pystac.Asset("red.tif"))
    with pytest.raises(SourceError, match="S2X states neither"):
        reflectance(item, "red")


def test_bands_of_stac_1_1_are_read_too() -> None:
    item = pystac.Item("a", None, None, datetime(2022, 3, 1, tzinfo=UTC), {})
    fields = {"bands": [{"raster:scale": 2e-4, "raster:offset": -0.2}]}
    item.add_asset("red", pystac.Asset("red.tif", extra_fields=fields))
    assert reflectance(item, "red").offset == -0.2


def test_an_unknown_unit_is_asked_for_and_a_contradiction_refused(world: World) -> None:
    for days in RADAR.values():
        world.radar(days[0], 0.1, band={})
    place = world.save()
    with pytest.raises(SourceError, match="does not say whether vv is linear power or dB"):
        find(case(place, "1"))
    linear = whole(case(place, "1", sentinel1={"unit": "linear"})).values["vv_pre"]
    assert linear == pytest.approx(-10, abs=1e-4)


def test_a_unit_against_the_items_is_refused(standard: Path) -> None:
    with pytest.raises(SourceError, match=r"states vv in linear, the case says dB"):
        find(case(standard, "1", sentinel1={"unit": "dB"}))


def test_an_item_without_orbit_is_named(world: World) -> None:
    for days in RADAR.values():
        world.radar(days[0], 0.1, **{"sat:relative_orbit": None})
    with pytest.raises(SourceError, match="S1_2022-01-20"):
        find(case(world.save(), "1"))


def test_items_without_vh_or_of_another_mode_are_left_out(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for days in RADAR.values():
        world.radar(days[0], 0.1)
        world.radar(days[1], 0.1, assets=("vv",))
        world.radar(days[1], 0.1, tag="_ew", **{"sar:instrument_mode": "EW"})
    found = find(case(world.save(), "1"))
    assert [scene.date for scene in scenes(found)] == [days[0] for days in RADAR.values()]
    assert "no asset ['vh']" in caplog.text
    assert "EW mode" in caplog.text


def test_an_empty_window_says_what_is_nearest(world: World) -> None:
    for day in ("2022-01-20", "2022-04-01", "2022-06-01"):
        world.radar(day, 0.1)
    with pytest.raises(EmptyWindowError, match=r"slope.*post window 2022-02-11\.\.2022-03-12.*S1_2022-04-01"):
        find(case(world.save(), "1"))


def test_the_post_windows_days_of_two_earlier_years(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for day in ("2020-02-20", "2021-03-12"):
        world.radar(day, POWER["pre"])
    for day in ("2020-07-01", "2021-03-13", "2022-01-20"):
        world.radar(day, 9.0)
    world.radar("2022-02-13", POWER["post"])
    found = find(case(world.save(), "1", pre={"years": 2}))
    assert [(one.side, one.date) for one in scenes(found)] == [
        ("pre", "2020-02-20"), ("pre", "2021-03-12"), ("post", "2022-02-13")
    ]  # fmt: skip
    block = read(found)
    assert (block.seen["s1_pre"] == 2).all()
    assert block.values["vv_change"] == pytest.approx(10 * np.log10(2), abs=1e-4)
    assert not caplog.text


def test_a_year_without_scenes_is_told_where_another_serves(world: World, caplog: pytest.LogCaptureFixture) -> None:
    for day in ("2021-02-20", "2022-02-13"):
        world.radar(day, 0.1)
    find(case(world.save(), "1", pre={"years": 2}))
    assert "no usable Sentinel-1 scene in 2020-02-11..2020-03-12; other years are used" in caplog.text


def test_no_year_with_scenes_says_which_and_what_is_nearest_to_any(world: World) -> None:
    for day in ("2020-04-01", "2020-08-01", "2021-02-01", "2022-02-13"):
        world.radar(day, 0.1)
    spans = r"2020-02-11\.\.2020-03-12 and 2021-02-11\.\.2021-03-12"
    near = "S1_2021-02-01 of 2021-02-01, S1_2020-04-01 of 2020-04-01, S1_2020-08-01"
    with pytest.raises(EmptyWindowError, match=f"pre window {spans}; nearest in time it has {near}"):
        find(case(world.save(), "1", pre={"years": 2}))


def test_a_window_of_unusable_items_says_why(world: World) -> None:
    world.radar("2022-01-20", 0.1)
    world.radar("2022-02-20", 0.1, assets=("vv",))
    with pytest.raises(EmptyWindowError, match=r"left out: S1_2022-02-20 has no asset \['vh'\], only \['vv'\]"):
        find(case(world.save(), "1"))


@pytest.mark.parametrize("sensors", ["1", "2", "d"])
def test_elsewhere_is_no_overlap(standard: Path, sensors: str) -> None:
    with pytest.raises(NoOverlapError, match=r"overlaps the area.*12\.0"):
        find(case(standard, sensors, aoi=(12.0, 46.0, 12.01, 46.01)))


def test_an_unknown_collection_names_those_there_are(standard: Path) -> None:
    with pytest.raises(SourceError, match="no collection 'grd'; it has dem, sentinel-1-rtc, sentinel-2-l2a"):
        find(case(standard, "1", sentinel1={"collection": "grd"}))


def test_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read the STAC catalogue"):
        find(case(tmp_path / "catalog.json"))
    (tmp_path / "catalog.json").write_text("{")
    with pytest.raises(SourceError, match="cannot read the STAC catalogue"):
        find(case(tmp_path))


def test_nothing_listens() -> None:
    with pytest.raises(SourceError, match=r"http://127.0.0.1:9/stac does not answer"):
        find(case("http://127.0.0.1:9/stac"))


def test_missing_and_truncated_files_are_named(world: World) -> None:
    place = world.standard().save()
    path = next(world.folder.glob("pixels/S2_2022-02-25_red.tif"))
    found = find(case(place, "2"))
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(SourceError, match=path.name):
        read(found)
    path.unlink()
    with pytest.raises(SourceError, match=path.name):
        find(case(place, "2"))


def test_signing_needs_its_package(standard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "planetary_computer", None)
    with pytest.raises(SourceError, match="pip install planetary-computer"):
        open_source(case(standard, source={"sign": "planetary-computer"}))


def test_a_signed_address_is_read_as_the_item_states(monkeypatch: pytest.MonkeyPatch) -> None:
    read_bands: list[RasterBand] = []
    addresses: list[str] = []

    def grid_of(address: str) -> GeoBox:
        addresses.append(address)
        return GRID

    def warped(band: RasterBand, geobox: GeoBox, _: str) -> np.ndarray:
        read_bands.append(band)
        return np.zeros(geobox.shape, "float32")

    monkeypatch.setattr("landslide.sources.scene_reader.grid_of", grid_of)
    monkeypatch.setattr("landslide.sources.scene_reader.warped", warped)
    asset = Asset(href="https://host/red.tif", content="", nodata=0, scale=2e-4, offset=-0.1)
    request = LayerRequest(
        layer="sentinel2", bands=("red_post",),
        scenes=(Scene(id="a", sensor="sentinel-2", side="post", assets={"red": asset}),),
    )  # fmt: skip
    SceneReader(request, GRID, lambda href: f"{href}?sig=abc").read((slice(0, 4), slice(0, 4)))
    assert read_bands == [RasterBand("https://host/red.tif?sig=abc", 1, 0, 2e-4, -0.1)]
    assert addresses == ["https://host/red.tif?sig=abc"]


def test_a_file_apart_from_a_block_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for when, days in RADAR.items():
        world.radar(days[0], POWER[when], shifted(GRID, 2000, 0), "_east")
        world.radar(days[0], POWER[when], tag="_here")
    found = find(case(world.save(), "1", aoi=(9.000, 46.000, 9.030, 46.004)))
    assert {scene.id for scene in scenes(found)} == {
        f"S1_{days[0]}{tag}" for days in RADAR.values() for tag in ("_east", "_here")
    }
    complete, opened = read(found), []
    warped = scene_reader.warped
    monkeypatch.setattr(scene_reader, "warped", lambda band, *more: opened.append(band.uri) or warped(band, *more))
    roi = (slice(0, GRID.shape.y), slice(0, 30))
    block = read(found, roi)
    assert {Path(uri).name.split("_")[2] for uri in opened} == {"here"}
    for name, plane in block.values.items():
        np.testing.assert_array_equal(plane, complete.values[name][roi])
    assert (block.seen["s1_pre"] == 1).all()


def test_the_requests_follow_content_not_place(world: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = world.standard().save()
    first = find(case(place))
    assert first == find(case(place))
    moved = tmp_path_factory.mktemp("moved") / "world"
    shutil.copytree(world.folder, moved)
    assert keys(find(case(moved / "stac" / "catalog.json"))) == keys(first)
    path = next(moved.glob("pixels/S1_2022-02-25_vv.tif"))
    path.write_bytes(path.read_bytes()[:-4] + b"\x00\x00\x00\x01")
    changed = keys(find(case(moved / "stac" / "catalog.json")))
    assert [layer for layer, key in keys(first).items() if changed[layer] != key] == ["sentinel1"]


def test_the_requests_follow_what_the_catalogue_lists(world: World) -> None:
    first = keys(find(case(world.standard().save())))
    world.items["sentinel-2-l2a"][0].properties["s2:granule_id"] = "reprocessed"
    changed = keys(find(case(world.save())))
    assert [layer for layer, key in first.items() if changed[layer] != key] == ["sentinel2"]


def test_a_remote_asset_is_known_by_its_address_without_a_signature(world: World) -> None:
    place = world.standard().save()
    keyed = []
    for signature, scale in (("a", 1e-4), ("b", 1e-4), ("b", 2e-4)):
        for path in place.parent.glob("sentinel-2-l2a/*/*.json"):
            item = json.loads(path.read_text())
            item["assets"]["red"] |= {"href": f"https://host/{path.stem}.tif?sig={signature}", "raster:scale": scale}
            path.write_text(json.dumps(item))
        keyed.append(keys(find(case(place, "2"))))
    assert keyed[0] == keyed[1] != keyed[2]


def test_the_dilation_of_clouds_is_a_setting_of_sentinel_2_alone(standard: Path) -> None:
    default, same, other = (
        find(case(standard, sentinel2=changes)) for changes in ({}, {"cloud_dilation": 6}, {"cloud_dilation": 20})
    )
    assert default == same
    assert default.layers["sentinel2"].settings == {"cloud_dilation": 6}
    assert [layer for layer, key in keys(default).items() if keys(other)[layer] != key] == ["sentinel2"]


@pytest.mark.parametrize("dilation", [0, 2, 6, 9])
def test_clouds_are_grown_by_the_dilation_across_blocks(world: World, dilation: int) -> None:
    cloud = np.full(GRID.shape, 4)
    cloud[20, 20] = 9
    for when, days in RADAR.items():
        world.optical(days[0], NIR[when], scl=cloud)
    found = find(case(world.save(), "2", sentinel2={"cloud_dilation": dilation}))
    seen = read(found).seen["s2_post"]
    assert (seen == 0).sum() == (2 * dilation + 1) ** 2
    for roi in ((slice(0, 20), slice(0, 39)), (slice(21, 30), slice(10, 21))):
        np.testing.assert_array_equal(read(found, roi).seen["s2_post"], seen[roi])


def test_an_empty_window_of_one_sensor_leaves_the_others(world: World) -> None:
    for when, days in RADAR.items():
        world.optical(days[0], NIR[when])
    world.radar(RADAR["pre"][0], 0.1)
    world.terrain(GRID.pad(20))
    place = world.save()
    found = find(case(place))
    assert set(found.layers) == {"sentinel2", "terrain"}
    words = r"no usable Sentinel-1 scene of sentinel-1-rtc in the post window.*nearest in time it has S1_2022-01-20"
    assert re.search(words, found.missing["sentinel1"])
    assert set(found.missing) == {"sentinel1"}
    assert {name for name, plane in read(found).values.items() if np.isfinite(plane).all()} == set(bands(found))
    with pytest.raises(EmptyWindowError, match=words):
        find(case(place, "1"))


def test_a_case_whose_every_layer_is_missing_is_refused(world: World) -> None:
    world.radar(RADAR["pre"][0], 0.1)
    world.optical(RADAR["post"][0], 0.1)
    words = "no usable Sentinel-1 scene .* post window.*no usable Sentinel-2 scene .* pre window"
    with pytest.raises(EmptyWindowError, match=words):
        find(case(world.save(), "12"))


def test_terrain_is_the_same_for_all_cases_of_one_area(standard: Path) -> None:
    first = find(case(standard, "d"))
    other = find(case(standard, "2d", id="other", event_date=date(2022, 2, 12)))
    assert other.layers["terrain"] == first.layers["terrain"]
    assert other.parts == first.parts
    assert keys(find(case(standard, id="other")))["terrain"] == keys(first)["terrain"]


def test_of_a_tile_that_is_there_twice_the_later_baseline_counts(world: World) -> None:
    for when, days in RADAR.items():
        world.optical(days[0], NIR[when], tag="_a", baseline="02.09")
        world.optical(days[0], 0.3, tag="_b", baseline="05.00")
    found = find(case(world.save(), "2"))
    assert [scene.id[-1] for scene in found.layers["sentinel2"].scenes] == ["b", "a", "b", "a"]
    block = read(found)
    assert block.values["dndvi_median"] == pytest.approx(0, abs=1e-6)
    assert (block.seen["s2_pre"] == 1).all()


class Api(BaseHTTPRequestHandler):
    """A STAC API over a static catalogue: landing page, conformance, collections, and a search in pages of three."""

    catalogue: pystac.Catalog
    searches: list[dict]
    requests: list[str]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self._answer(url.path, {key: value[0] for key, value in parse_qs(url.query).items()})

    def do_POST(self) -> None:
        self._answer(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, path: str, query: dict) -> None:
        self.requests.append(path)
        name = path.removeprefix("/collections").strip("/")
        if path == "/":
            self._send(self._landing())
        elif path == "/search":
            self._send(self._search(query))
        elif path == "/collections":
            self._send(
                {"collections": [self._collection(child) for child in self.catalogue.get_children()], "links": []}
            )
        elif child := self.catalogue.get_child(name):
            self._send(self._collection(child))
        else:
            self._send({"code": "NotFound", "description": path}, 404)

    @property
    def _root(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def _landing(self) -> dict:
        core = "https://api.stacspec.org/v1.0.0"
        links = [("self", "/"), ("root", "/"), ("data", "/collections"), ("search", "/search"), ("search", "/search")]
        listed = [{"rel": rel, "href": self._root + path, "type": "application/json"} for rel, path in links]
        listed[-1] |= {"method": "POST", "type": "application/geo+json"}
        conforms = [f"{core}/core", f"{core}/collections", f"{core}/item-search"]
        return pystac.Catalog("api", "api").to_dict() | {"links": listed, "conformsTo": conforms}

    def _collection(self, child: pystac.Collection) -> dict:
        return child.to_dict() | {"links": []}

    def _search(self, query: dict) -> dict:
        self.searches.append(query)
        start, end = query.get("datetime", "0/9").split("/")
        found = [
            item
            for name in query["collections"]
            for item in self.catalogue.get_child(name).get_items()
            if start <= item.datetime.isoformat().replace("+00:00", "Z") <= end
        ]
        first = int(query.get("token", 0))
        page = {"type": "FeatureCollection", "features": [self._item(item) for item in found[first : first + 3]]}
        more = {"rel": "next", "href": f"{self._root}/search", "method": "POST", "body": query | {"token": first + 3}}
        return page | {"links": [more] if first + 3 < len(found) else []}

    def _item(self, item: pystac.Item) -> dict:
        item.make_asset_hrefs_absolute()
        return item.to_dict() | {"links": []}

    def _send(self, body: dict, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def api(standard: Path) -> Iterator[type[Api]]:
    handler = type(
        "Handler", (Api,), {"catalogue": pystac.Catalog.from_file(str(standard)), "searches": [], "requests": []}
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    handler.url = f"http://127.0.0.1:{server.server_port}/"
    yield handler
    server.shutdown()
    server.server_close()


def test_an_api_gives_what_the_catalogue_on_disk_gives(api: type[Api], standard: Path) -> None:
    remote, local = find(case(api.url)), find(case(standard))
    assert scenes(remote) == scenes(local)
    assert keys(remote) == keys(local)
    ours, theirs = read(local), read(remote)
    for name, plane in ours.values.items():
        np.testing.assert_array_equal(theirs.values[name], plane)
    assert all(query["bbox"] and query["collections"] for query in api.searches)


def test_an_api_is_asked_once_and_not_for_an_export(api: type[Api], tmp_path: Path) -> None:
    source = open_source(case(api.url))
    assert not api.requests
    found = source.find_scenes()
    asked = [(query["collections"], query.get("datetime")) for query in api.searches if "token" not in query]
    assert len(asked) == 5, "two windows of two sensors, and the terrain"
    assert len({str(query) for query in asked}) == 5
    requests = list(api.requests)
    exporter = open_source(case(api.url))
    for request in SceneList.model_validate_json(found.model_dump_json()).layers.values():
        ((_, block),) = exporter.export(request, SCENE, tmp_path / "unused")
        assert set(block.values) == set(request.bands)
        assert exporter.label(request, SCENE) is None
    assert exporter.account() is None
    assert api.requests == requests


def test_an_api_pages_and_names_what_is_nearest(api: type[Api]) -> None:
    empty = {"start": "2022-03-20", "end": "2022-03-30"}
    with pytest.raises(EmptyWindowError, match=r"nearest in time it has S1_2022-02-25"):
        find(case(api.url, "1", post=empty))
    assert any("token" in query for query in api.searches)


def test_an_api_without_the_collection_or_the_area(api: type[Api]) -> None:
    with pytest.raises(SourceError, match="no collection 'grd'; it has dem"):
        find(case(api.url, "1", sentinel1={"collection": "grd"}))
    with pytest.raises(NoOverlapError):
        find(case(api.url, "1", aoi=(12.0, 46.0, 12.01, 46.01)))


RACE = """
import sys, threading
from pathlib import Path
sys.setswitchinterval(1e-6)
from landslide.sources.stac.catalog import Catalogue
from odc.geo.geom import box
area, together, failed = box(-180, -90, 180, 90, "EPSG:4326"), threading.Barrier(10), []
def look() -> None:
    together.wait()
    try:
        assert Catalogue(sys.argv[1]).items(sys.argv[2], area, None)
    except Exception as error:
        failed.append(error)
threads = [threading.Thread(target=look) for _ in range(10)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit(f"{len(failed)} of 10 failed: {failed[:1]}" if failed else 0)
"""


def test_catalogues_opened_in_threads_of_a_fresh_process(standard: Path) -> None:
    done = subprocess.run([sys.executable, "-c", RACE, str(standard), COLLECTIONS[0]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_runtime_error_is_not_blamed_on_the_catalogue(standard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("dictionary changed size during iteration")

    monkeypatch.setattr(pystac.EXTENSION_HOOKS, "migrate", broken)
    with pytest.raises(RuntimeError, match="changed size"):
        find(case(standard))
