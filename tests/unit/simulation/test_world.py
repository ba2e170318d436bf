"""The simulated world: distributions, geometry, files, and a difficulty that is neither trivial nor impossible."""

import hashlib
import json
import logging
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
import shapely
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import transform_bounds
from scipy import ndimage, stats
from typer.testing import CliRunner

from flows.cli.main import app
from landslide.cases.case import load_case
from landslide.errors import InputError
from landslide.geo.solar import sun_at
from landslide.simulation.world import GroundTruth, World, simulate_world
from landslide.simulation.world.changes import COVER_NAMES, Appearance, cover_classes, paint, truth_raster
from landslide.simulation.world.landscape import LandCover, green_fraction, make_landscape
from landslide.simulation.world.noise import power_law
from landslide.simulation.world.places import PLACES, places
from landslide.simulation.world.scenes import Event
from landslide.simulation.world.sentinel1 import LOOKS, Orbit, backscatter, radar_geometry, speckle
from landslide.simulation.world.sentinel2 import (
    _draw_clouds,
    cloud_score,
    draw_cloud_cover,
    optical_scene,
    surface_reflectance,
)
from landslide.simulation.world.site import make_site, mgrs_tile
from landslide.simulation.world.slides import MIN_AREA_M2, draw_areas, make_slides, size_distribution
from landslide.simulation.world.terrain import PIXEL, derive_terrain
from landslide.simulation.world.world import CLOUD_CONCENTRATION, make_changes

LOG = logging.getLogger(__name__)
CLOUDY = (8, 9, 10)
UNCLEAR = (3, *CLOUDY)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return simulate_world(tmp_path_factory.mktemp("worlds") / "world.v1", events=3, size=64, seed=5)


@pytest.fixture(scope="module")
def events() -> list[Event]:
    made = []
    for index, place in enumerate(PLACES[:3]):
        rng = np.random.default_rng(index)
        site = make_site(place, 256)
        landscape = make_landscape(rng, site.shape, place)
        slides = make_slides(rng, landscape, site.scene)
        made.append(Event(site, landscape, make_changes(rng, landscape, slides, site)))
    return made


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read(1)


def test_areas_follow_the_inverse_gamma_distribution():
    areas = draw_areas(np.random.default_rng(1), total=2e7, largest=2e5)
    law = size_distribution()
    low, high = law.cdf([MIN_AREA_M2, 2e5])
    fit = stats.kstest(areas, lambda area: (law.cdf(area) - low) / (high - low))
    assert areas.size > 3000
    assert fit.pvalue > 0.01
    assert stats.kstest(areas, stats.lognorm(s=areas.std() / areas.mean(), scale=np.median(areas)).cdf).pvalue < 0.01


def test_size_distribution_has_the_published_density():
    area = np.array([400.0, 3000.0, 50_000.0])
    rho, a, s = 1.40, 1280.0, -132.0
    density = (a / (area - s)) ** (rho + 1) * np.exp(-a / (area - s)) / (a * 0.88726381750)  # Gamma(1.4)
    np.testing.assert_allclose(size_distribution().pdf(area), density, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(5e3, 1e6), st.floats(2e3, 1e5))
def test_drawn_areas_fit_into_the_total(seed: int, total: float, largest: float):
    areas = draw_areas(np.random.default_rng(seed), total, largest)
    assert areas.size == 1 or areas.sum() <= total
    assert areas.min() >= MIN_AREA_M2 * 0.999
    assert areas.max() <= largest * 1.001


def test_water_leaves_the_grid_and_never_climbs_on_a_plane():
    plane = np.add.outer(np.arange(30.0), np.arange(20.0)).astype(np.float32)
    descent = derive_terrain(plane).descent
    interior = descent[:, 1:, 1:]
    assert (interior.sum(axis=0) < 0).all()


def test_a_pit_drains_over_its_lowest_pass():
    surface = np.full((21, 21), 50, np.float32)
    surface[10, 10:] = 20 - np.arange(11)
    surface[5, 5] = 0
    terrain = derive_terrain(surface)
    row, column = 5, 5
    for _ in range(21 * 21):
        down, right = terrain.descent[:, row, column]
        if down == right == 0:
            break
        row, column = row + down, column + right
    assert row in (0, 20) or column in (0, 20)


def test_terrain_has_the_stated_steepness_and_flat_valleys(events: list[Event]):
    for event in events:
        terrain = event.landscape.terrain
        assert np.percentile(terrain.slope, 75) == pytest.approx(event.landscape.place.steepness, abs=4)
        assert (terrain.slope < 10).mean() > 0.05
        assert np.ptp(terrain.elevation) > 200


def test_slides_start_on_steep_ground_and_run_downhill():
    place = PLACES[1]
    site = make_site(place, 192)
    landscape = make_landscape(np.random.default_rng(3), site.shape, place)
    slides = make_slides(np.random.default_rng(4), landscape, site.scene)
    elevation, slope = landscape.terrain.elevation, landscape.terrain.slope

    def at(raster: np.ndarray, point: np.ndarray) -> float:
        return float(ndimage.map_coordinates(raster, point[::-1, None] / PIXEL - 0.5, order=1, mode="nearest")[0])

    heads = [at(slope, slide.path[0]) for slide in slides]
    drops = [at(elevation, slide.path[0]) - at(elevation, slide.path[-1]) for slide in slides if slide.run_out > 30]
    assert min(heads) > 15
    assert np.mean(heads) > slope.mean() + 3
    assert min(drops) > 0
    assert all(slide.outline.is_valid for slide in slides)


def test_a_slide_too_large_for_the_ground_leaves_room_for_the_others(events: list[Event], monkeypatch):
    event = events[0]
    areas = np.array([5e6, *np.full(30, 900.0)])
    monkeypatch.setattr("landslide.simulation.world.slides.draw_areas", lambda *_, **__: areas)
    slides = make_slides(np.random.default_rng(9), event.landscape, event.site.scene)
    assert 5 < len(slides) <= 30
    assert max(slide.area for slide in slides) < 2000


def test_slide_outlines_have_the_drawn_area(events: list[Event]):
    event = events[0]
    slides = make_slides(np.random.default_rng(9), event.landscape, event.site.scene)
    total = sum(slide.area for slide in slides)
    window = event.site.scene
    target = event.landscape.place.landslide_share * np.prod([part.stop - part.start for part in window]) * PIXEL**2
    assert 0.7 * target < total <= 1.05 * target
    assert sum(slide.area for slide in slides if slide.area > 900) > 0.7 * total


def test_landslides_cover_a_few_percent(events: list[Event]):
    for event in events:
        share = (truth_raster(event.changes)[event.site.area] == GroundTruth.LANDSLIDE).mean()
        assert 0.015 <= share <= 0.05


def test_every_confounder_occurs(events: list[Event]):
    counts = sum(
        np.bincount(truth_raster(event.changes)[event.site.area].ravel(), minlength=len(GroundTruth))
        for event in events
    )
    assert (counts[1:] > 100).all()


def test_clear_cuts_extend_to_slopes_and_harvests_stay_in_fields(events: list[Event]):
    for event in events:
        kinds, terrain = truth_raster(event.changes), event.landscape.terrain
        assert np.percentile(terrain.slope[kinds == GroundTruth.CLEAR_CUT], 75) > 20
        assert (event.landscape.cover[kinds == GroundTruth.HARVEST] == LandCover.FIELD).all()
        assert (event.landscape.cover[kinds == GroundTruth.CLEAR_CUT] == LandCover.FOREST).all()
        assert (kinds[terrain.river] != GroundTruth.FLOOD).all()


def test_changes_of_a_pixel_never_exceed_it(events: list[Event]):
    for event in events:
        assert sum(change.fraction for change in event.changes).max() <= 1 + 1e-5


def test_painted_share_is_the_area_of_the_polygon():
    appearance = Appearance(onset=0, end=10, green=0, brightness=1, roughness_db=0)
    change = paint(GroundTruth.LANDSLIDE, (20, 20), [(shapely.box(22.5, 30, 97.5, 75), appearance)])
    assert change.fraction.sum() * PIXEL**2 == pytest.approx(75 * 45, rel=0.02)
    assert change.at(-1).sum() == 0
    assert change.at(11).sum() == 0
    np.testing.assert_array_equal(change.at(5), change.fraction)


def test_speckle_has_unit_mean_and_the_variance_of_its_looks():
    drawn = speckle(np.random.default_rng(0), (600, 600))
    assert drawn.mean() == pytest.approx(1, abs=0.005)
    assert drawn.var() == pytest.approx(1 / LOOKS, rel=0.03)


def test_layover_faces_the_radar_and_differs_between_orbits():
    ridge = 260 - np.abs(np.arange(81) - 40) * 12.0
    terrain = derive_terrain(np.tile(np.maximum(ridge, 0), (30, 1)).astype(np.float32))
    ascending = radar_geometry(terrain, Orbit("ascending", 1, 38)).layover_shadow[15]
    descending = radar_geometry(terrain, Orbit("descending", 2, 38)).layover_shadow[15]
    assert ascending[25:38].all()
    assert not descending[25:38].all()
    np.testing.assert_array_equal(ascending, descending[::-1])


def test_shadow_lies_behind_a_cliff():
    cliff = np.where(np.arange(100) < 40, 300.0, 0.0)
    layover_shadow = radar_geometry(
        derive_terrain(np.tile(cliff, (10, 1)).astype(np.float32)), Orbit("ascending", 1, 40)
    ).layover_shadow[5]
    reach = 300 * np.tan(np.radians(40)) / PIXEL
    assert layover_shadow[41 : 40 + int(reach) - 1].all()
    assert not layover_shadow[40 + int(reach) + 2 :].any()


def test_orbits_mask_different_pixels(events: list[Event]):
    terrain = events[1].landscape.terrain
    first = radar_geometry(terrain, Orbit("ascending", 1, 36))
    second = radar_geometry(terrain, Orbit("descending", 2, 36))
    lost = first.layover_shadow & second.layover_shadow
    assert first.layover_shadow.any()
    assert lost.sum() < 0.5 * first.layover_shadow.sum()
    assert np.corrcoef(first.residual_db.ravel(), second.residual_db.ravel())[0, 1] < 0


def test_backscatter_change_of_fresh_slides_depends_on_land_cover(events: list[Event]):
    landscape, slides = events[0].landscape, events[0].changes[:1]
    green = green_fraction(landscape, landscape.place.event_date)
    change = backscatter(landscape, slides, green, "vh", 5) - backscatter(landscape, slides, green, "vh", -5)
    hit = slides[0].fraction > 0.9
    assert change[hit & (landscape.cover == LandCover.FOREST)].mean() < -1
    assert change[hit & (landscape.cover == LandCover.GRASS)].mean() > 0.3
    assert np.abs(change[slides[0].fraction == 0]).max() == 0


def test_sun_stands_higher_in_summer_and_towards_the_equator():
    assert sun_at(date(2020, 6, 21), 45).elevation > sun_at(date(2020, 12, 21), 45).elevation
    assert sun_at(date(2020, 12, 21), -45).elevation > sun_at(date(2020, 6, 21), -45).elevation
    assert np.cos(sun_at(date(2020, 9, 21), 45).azimuth) < 0 < np.cos(sun_at(date(2020, 9, 21), -45).azimuth)


def test_classification_finds_clouds_but_not_their_thin_edges(events: list[Event]):
    event, found, total, missed, false = events[0], 0, 0, 0, 0
    for seed in range(4):
        scene = optical_scene(np.random.default_rng(seed), event.landscape, event.changes, 20)
        classes = np.kron(scene.scl, np.ones((2, 2), np.uint8))
        thick, thin = scene.cloud > 0.4, (scene.cloud > 0.03) & (scene.cloud < 0.15)
        found, total = found + np.isin(classes[thick], CLOUDY).sum(), total + thick.sum()
        missed += (~np.isin(classes[thin], UNCLEAR)).sum()
        false += (np.isin(classes, UNCLEAR) & (scene.cloud < 0.01) & (scene.shadow < 0.01)).sum()
    assert found / total > 0.98
    assert missed > 0
    assert false / (4 * scene.cloud.size) < 0.02


def test_cloud_score_separates_clear_ground_from_clouds_and_shadows(events: list[Event]):
    for seed in range(4):
        scene = optical_scene(np.random.default_rng(seed), events[0].landscape, events[0].changes, 20)
        score = cloud_score(scene)
        assert score.min() >= 0
        assert score.max() <= 1
        assert (score[(scene.cloud > 0.15) | (scene.shadow > 0.35)] < 0.6).all()
        assert (score[(scene.cloud < 0.1) & (scene.shadow < 0.25)] > 0.6).all()


def test_tiles_are_named_by_the_military_grid_reference_system():
    named = {place.id: mgrs_tile(make_site(place, 64)) for place in PLACES[:3]}
    assert named == {"amber-ridge": "54TWN", "copper-gorge": "59GNP", "willow-basin": "32TNQ"}


def test_power_law_falls_with_wavenumber():
    field = power_law(np.random.default_rng(2), (256, 256), 3.0)
    power = np.abs(np.fft.rfft(field, axis=1)) ** 2
    low, high = power[:, 4:8].mean(), power[:, 32:64].mean()
    assert 10 < low / high < 300
    assert field.std() == pytest.approx(1, abs=1e-3)


def test_places_lie_apart_in_both_hemispheres_and_around_the_new_baseline():
    chosen = places(13)
    spots = np.array([(place.longitude, place.latitude) for place in chosen])
    apart = np.hypot(*(spots[:, None] - spots[None]).transpose(2, 0, 1)) + 99 * np.eye(len(chosen))
    assert apart.min() > 1
    assert len({place.id for place in chosen}) == 13
    assert {np.sign(place.latitude) for place in chosen[:3]} == {-1, 1}
    assert {place.event_date > date(2022, 1, 25) for place in chosen[:3]} == {True, False}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(world: World, tmp_path: Path):
    again = simulate_world(tmp_path / "again", events=3, size=64, seed=5)
    assert _digests(again.folder) == _digests(world.folder)
    assert not [path for path in tmp_path.iterdir() if path != again.folder]


def test_a_finished_world_is_left_unchanged_and_other_folders_are_refused(world: World, tmp_path: Path):
    before = world.catalog.stat().st_mtime_ns
    assert simulate_world(world.folder, events=3, size=64, seed=5) == world
    assert world.catalog.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="seed"):
        simulate_world(world.folder, events=3, size=64, seed=6)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        simulate_world(tmp_path, events=3, size=64)
    with pytest.raises(InputError, match="3 or more"):
        simulate_world(tmp_path / "few", events=2)


def test_catalogue_is_self_contained_with_the_metadata_of_public_ones(world: World):
    text = "".join(path.read_text() for path in world.folder.rglob("*.json"))
    assert str(world.folder.parent) not in text
    catalogue = pystac.Catalog.from_file(str(world.catalog))
    collections = {child.id: list(child.get_items()) for child in catalogue.get_children()}
    assert {name: len(items) > 0 for name, items in collections.items()} == {
        "sentinel-1-rtc": True, "sentinel-2-l2a": True, "copernicus-dem": True
    }  # fmt: skip
    assert {item.properties["sat:orbit_state"] for item in collections["sentinel-1-rtc"]} == {"ascending", "descending"}
    assert {item.properties["s2:processing_baseline"] for item in collections["sentinel-2-l2a"]} == {"03.01", "04.00"}
    for item in (item for items in collections.values() for item in items):
        for asset in item.assets.values():
            with rasterio.open(asset.get_absolute_href()) as raster:
                assert list(raster.shape) == asset.extra_fields["proj:shape"]
                assert list(raster.transform)[:6] == asset.extra_fields["proj:transform"]
                assert raster.crs.to_string() == asset.extra_fields["proj:code"]
                assert raster.dtypes[0] == asset.extra_fields["raster:bands"][0]["data_type"]


def test_items_have_the_metadata_of_earth_engine(world: World):
    catalogue = pystac.Catalog.from_file(str(world.catalog))
    optical = list(catalogue.get_child("sentinel-2-l2a").get_items())
    scored = [item for item in optical if "cs_cdf" in item.assets]
    assert 0.8 < len(scored) / len(optical) < 0.95
    for item in optical:
        assert re.fullmatch(r"\d\d[C-X][A-Z]{2}", item.properties["s2:mgrs_tile"])
    for item in scored[::9]:
        score, numbers = (_read(Path(item.assets[name].get_absolute_href())) for name in ("cs_cdf", "B04"))
        np.testing.assert_array_equal(score == 255, numbers == 0)
        assert score[score < 255].max() <= 200
    for item in catalogue.get_child("sentinel-1-rtc").get_items():
        assert 33 <= item.properties["view:incidence_angle"] <= 43
        east = item.properties["sat:orbit_state"] == "ascending"
        assert item.properties["view:azimuth"] == (90 if east else 270)
    for item in catalogue.get_child("copernicus-dem").get_items():
        water, elevation = (_read(Path(item.assets[name].get_absolute_href())) for name in ("wbm", "data"))
        assert water.shape == elevation.shape
        assert set(np.unique(water)) <= {0, 3}


def test_both_baselines_decode_to_the_same_reflectance(world: World):
    medians: dict[str, list[float]] = {}
    darkest: dict[str, float] = {}
    catalogue = pystac.Catalog.from_file(str(world.catalog))
    for item in catalogue.get_child("sentinel-2-l2a").get_items():
        scl = np.kron(_read(Path(item.assets["SCL"].get_absolute_href())), np.ones((2, 2), np.uint8))
        numbers = _read(Path(item.assets["B04"].get_absolute_href()))
        band = item.assets["B04"].extra_fields["raster:bands"][0]
        clear = (scl == 4) & (numbers > 0)
        if clear.sum() > 200:
            baseline = item.properties["s2:processing_baseline"]
            medians.setdefault(baseline, []).append(np.median(numbers[clear]) * band["scale"] + band["offset"])
            darkest[baseline] = min(darkest.get(baseline, 1e9), numbers[clear].min())
    assert np.median(medians["03.01"]) == pytest.approx(np.median(medians["04.00"]), abs=0.02)
    assert darkest["03.01"] < 1000 <= darkest["04.00"]


def test_truth_inventory_and_counts_agree(world: World):
    record = json.loads((world.folder / "world.json").read_text())
    for name, summary in record["events"].items():
        with rasterio.open(world.folder / "truth" / f"{name}.tif") as raster:
            values, bounds, crs = raster.read(1), raster.bounds, raster.crs
        counts = np.bincount(values.ravel(), minlength=len(GroundTruth))
        assert summary["pixels"] == {kind.name.lower(): counts[kind] for kind in GroundTruth}
        frame = geopandas.read_file(world.folder / "inventories" / f"{name}.gpkg", layer="landslides")
        assert frame.crs == crs
        assert list(frame.columns) == ["id", "event_date", "area_m2", "run_out_m", "geometry"]
        np.testing.assert_allclose(frame.geometry.area, frame.area_m2, atol=0.06)
        inside = frame.geometry.intersection(shapely.box(*bounds)).area.sum()
        assert counts[GroundTruth.LANDSLIDE] * PIXEL**2 == pytest.approx(inside, rel=0.15)


def test_cover_classes_include_confounders(world: World, events: list[Event]):
    event = events[1]
    kinds, before = truth_raster(event.changes), event.landscape.cover
    known = cover_classes(before, kinds)
    untouched = kinds <= GroundTruth.LANDSLIDE
    np.testing.assert_array_equal(known[untouched], before[untouched] + 1)
    assert len({COVER_NAMES[number] for number in known[kinds == GroundTruth.LANDSLIDE]} & {"forest", "grass"}) == 2
    for kind, name in (
        (GroundTruth.CLEAR_CUT, "clear-cut"),
        (GroundTruth.HARVEST, "harvest"),
        (GroundTruth.SNOW, "snow"),
    ):
        assert {COVER_NAMES[number] for number in known[kinds == kind]} == {name}
    assert [COVER_NAMES[1 + kind] for kind in LandCover] == ["forest", "grass", "field", "rock", "water"]
    for path in world.cases:
        cover = load_case(path).cover
        assert cover is not None
        assert cover.names == COVER_NAMES
        with rasterio.open(cover.path) as raster, rasterio.open(world.folder / "truth" / f"{path.stem}.tif") as of:
            assert (raster.transform, raster.crs, raster.shape) == (of.transform, of.crs, of.shape)
            assert set(np.unique(raster.read(1))) <= set(COVER_NAMES)
            np.testing.assert_array_equal(raster.read(1) > 10, of.read(1) > GroundTruth.LANDSLIDE)


@pytest.mark.slow
@pytest.mark.parametrize("cloudiness", [0.0, 0.8])
def test_cloudiness_changes_only_optical_scenes(world: World, tmp_path: Path, cloudiness: float):
    other = simulate_world(tmp_path / "other", events=3, size=64, seed=5, cloudiness=cloudiness)
    before, after = _digests(world.folder), _digests(other.folder)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert {name.split("/")[0] for name in changed} == {"sentinel-2-l2a", "world.json"}
    assert json.loads((other.folder / "world.json").read_text())["parameters"]["cloudiness"] == cloudiness
    given, taken = (_cloud_covers(place) for place in (world, other))
    if cloudiness == 0:
        assert max(taken) < 2
        assert len(taken) > len(given)
    else:
        assert len(taken) < 0.6 * len(given)
    with pytest.raises(InputError, match="cloudiness"):
        simulate_world(other.folder, events=3, size=64, seed=5)


def _cloud_covers(world: World) -> list[float]:
    optical = pystac.Catalog.from_file(str(world.catalog)).get_child("sentinel-2-l2a")
    return [item.properties["eo:cloud_cover"] for item in optical.get_items()]


def test_cloudiness_is_the_mean_cover_of_all_overpasses(events: list[Event]):
    landscape = events[0].landscape
    for mean in (0.2, 0.7):
        place = replace(landscape.place, cloudiness=mean)
        rng = np.random.default_rng(1)
        shares = [(_draw_clouds(rng, replace(landscape, place=place)) > 0.13).mean() for _ in range(150)]
        assert np.mean(shares) == pytest.approx(mean, abs=0.08)


def test_cloud_cover_is_distributed_as_in_a_real_archive(real_data: Path):
    real = np.load(real_data / "ndvi-series" / "CLM.npy").reshape(68, -1).mean(axis=1)
    place = replace(places(1)[0], cloudiness=float(real.mean()), cloud_concentration=CLOUD_CONCENTRATION)
    rng = np.random.default_rng(1)
    shares = np.array([draw_cloud_cover(rng, place) for _ in range(20_000)])
    assert shares.std() == pytest.approx(real.std(), abs=0.02)
    for few, many in ((0.0, 0.02), (0.02, 0.5), (0.5, 0.98)):
        within = [((few <= covers) & (covers < many)).mean() for covers in (shares, real)]
        assert within[0] == pytest.approx(within[1], abs=2 * np.sqrt(0.25 / len(real)))


@pytest.mark.parametrize("cloudiness", [-0.1, 1.0, float("nan")])
def test_a_cloudiness_out_of_range_is_refused(tmp_path: Path, cloudiness: float):
    with pytest.raises(InputError, match="is not a mean cloud cover: choose a number from 0 to less than 1"):
        simulate_world(tmp_path / "w", cloudiness=cloudiness)
    assert not list(tmp_path.iterdir())


def test_an_overcast_event_is_refused_and_writes_nothing(tmp_path: Path):
    with pytest.raises(InputError, match=r"Cloudiness 0\.999 leaves Amber Ridge no Sentinel-2 scene"):
        simulate_world(tmp_path / "w", events=3, size=64, cloudiness=0.999)
    assert not list(tmp_path.iterdir())


def test_the_command_takes_a_cloudiness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []

    def simulated(*given: object) -> World:
        calls.append(given)
        return World(tmp_path, tmp_path, [], tmp_path)

    monkeypatch.setattr("landslide.simulation.world.simulate_world", simulated)
    for words in (["--cloudiness", "0.6"], []):
        assert CliRunner().invoke(app, ["simulate", str(tmp_path), *words]).exit_code == 0
    assert [given[-1] for given in calls] == [0.6, None]
    assert CliRunner().invoke(app, ["simulate", str(tmp_path), "--cloudiness", "60"]).exit_code == 2


def test_cases_refer_to_existing_files_and_the_elevation_surrounds_the_area(world: World):
    experiment = yaml.safe_load(world.experiment.read_text())
    cases = [yaml.safe_load(path.read_text()) for path in world.cases]
    assert [world.folder / case for case in experiment["cases"]] == world.cases
    assert [case["role"] for case in cases] == ["train", "validation", "test"]
    for path, case in zip(world.cases, cases, strict=True):
        assert (path.parent / case["source"]["catalog"]).resolve() == world.catalog.resolve()
        assert (path.parent / case["inventory"]["path"]).is_file()
        with rasterio.open(world.folder / "truth" / f"{case['id']}.tif") as raster:
            area, crs, shape = raster.bounds, raster.crs, raster.shape
        assert max(abs(length - 64) for length in shape) <= 4
        np.testing.assert_allclose(transform_bounds("EPSG:4326", crs, *case["aoi"]), area, atol=20)
        with rasterio.open(world.folder / "copernicus-dem" / f"DEM_{case['id']}" / "data.tif") as raster:
            assert np.isfinite(raster.read(1)).all()
            reach = transform_bounds(raster.crs, crs, *raster.bounds)
        assert min(area.left - reach[0], area.bottom - reach[1], reach[2] - area.right, reach[3] - area.top) > 580


def test_scenes_have_gaps_but_cover_every_case_before_and_after(world: World):
    catalogue = pystac.Catalog.from_file(str(world.catalog))
    missing = []
    for case in (yaml.safe_load(path.read_text()) for path in world.cases):
        for collection in ("sentinel-1-rtc", "sentinel-2-l2a"):
            items = [i for i in catalogue.get_child(collection).get_items() if i.id.endswith(case["id"])]
            days = [(item.datetime.date() - case["event_date"]).days for item in items]
            assert sum(day < 0 for day in days) >= 4
            assert sum(day > 0 for day in days) >= 4
            assert all(abs(day) <= 60 and day != 0 for day in days)
            name = "vv" if collection == "sentinel-1-rtc" else "B04"
            for item in items:
                pixels = _read(Path(item.assets[name].get_absolute_href()))
                missing.append(np.mean(~np.isfinite(pixels) | (pixels == 0)))
    assert max(missing) > 0.15
    assert min(missing) < 0.02


def test_no_threshold_on_ndvi_change_finds_the_landslides(events: list[Event]):
    change, slides = [], []
    for event in events:
        ndvi = []
        for day in (-30, 30):
            reflectance = surface_reflectance(event.landscape, event.changes, day)[0]
            ndvi.append((reflectance[3] - reflectance[2]) / (reflectance[3] + reflectance[2]))
        change.append((ndvi[1] - ndvi[0])[event.site.area].ravel())
        slides.append((truth_raster(event.changes)[event.site.area] == GroundTruth.LANDSLIDE).ravel())
    pooled, is_slide = np.concatenate(change), np.concatenate(slides)
    order = np.argsort(pooled)
    hits, called = np.cumsum(is_slide[order]), np.arange(1, order.size + 1)
    best = (2 * hits / (called + is_slide.sum())).max()
    LOG.info("best F1 of a threshold on dNDVI: %.3f", best)
    assert 0.2 < best < 0.6
    assert pooled[is_slide].mean() < pooled[~is_slide].mean() - 0.15
