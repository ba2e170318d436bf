"""The source against the loopback server, by the real client: exports that survive, errors that name what to do."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from landslide.artifacts.store import ArtifactStore
from landslide.bands import BAND_SETS
from landslide.cases.case import Case, Window, load_case
from landslide.cases.sources import Sentinel2Archive
from landslide.datasets.layers import EXPORTS, ExportTerrain, Layer
from landslide.errors import BandError, EmptyWindowError, InputError, LandslideError, NoOverlapError, SourceError
from landslide.features import optical
from landslide.geo.grid import grid
from landslide.simulation.earthengine import Faults, Loopback, serve
from landslide.simulation.world import World
from landslide.sources.base import COUNTS, SCENE, LayerName, SceneList
from landslide.sources.earthengine import limiter, session
from landslide.sources.earthengine.export import estimate, tiles
from landslide.sources.earthengine.export.layer import LayerExport, workload_tag
from landslide.sources.earthengine.expressions import inventory, sentinel1, sentinel2, slope_correction
from landslide.sources.earthengine.scenes import INDEX
from landslide.sources.registry import open_source
from tests.helpers.earthengine import connect
from tests.helpers.parity import GAP, by_service, whole_layer
from tests.helpers.secrets import CANARY, service_account

TERRAIN: dict[str, Any] = {"sentinel1": None, "sentinel2": None}
LISTINGS = 6  # two windows of each sensor, the cloud scores, the tiles of the elevation model
QUICK = tiles.RetryPolicy(base=0.005, cap=0.05)


@pytest.fixture
def case(world: World) -> Case:
    return load_case(world.cases[-1])


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 4 × 4 pixels, some 600 for a case, that are asked for again at once."""
    monkeypatch.setattr(estimate, "tile_side", lambda bands: 4)
    monkeypatch.setattr(tiles, "MIN_SIDE", 1)
    monkeypatch.setattr(tiles.deliver, "__kwdefaults__", {**tiles.deliver.__kwdefaults__, "retry": QUICK})  # type: ignore[attr-defined]
    monkeypatch.setattr(limiter, "_shared", None)


def exported(case: Case, folder: Path, layer: LayerName | None = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """All bands of a layer, the case's only one by default, and what its export took."""
    source = open_source(case)
    found = source.find_scenes()
    (name,) = found.layers if layer is None else (layer,)
    block = whole_layer(source, found, name, folder)
    account = source.account()
    assert account is not None
    return np.stack(list(block.values.values())), account


def found_scenes(case: Case, **source: Any) -> SceneList:
    return open_source(by_service(case, **source)).find_scenes()


def key(case: Case, found: SceneList, layer: LayerName) -> str:
    return EXPORTS[layer].of(case, found, layer).key


def test_opening_asks_for_nothing(case: Case, service: Loopback, connected: session.Session) -> None:
    before = service.record.routes.total()
    open_source(by_service(case, water="jrc"))
    assert service.record.routes.total() == before


def test_the_papers_bands_by_default(case: Case, connected: session.Session) -> None:
    layers = found_scenes(case).layers
    assert tuple(layers) == ("sentinel1", "sentinel2", "terrain")
    assert {band for request in layers.values() for band in request.bands} == set(BAND_SETS["all"])
    assert {scene.sensor for request in layers.values() for scene in request.scenes} == {
        "sentinel-1", "sentinel-2", "dem",
    }  # fmt: skip
    assert all(scene.orbit for scene in layers["sentinel1"].scenes)
    assert found_scenes(case, water="jrc").layers["mask"].bands == ("water",)


def test_a_scene_carries_what_the_export_needs(case: Case, connected: session.Session) -> None:
    layers = found_scenes(case).layers
    for layer in ("sentinel1", "sentinel2"):
        scenes = layers[layer].scenes  # type: ignore[index]
        assert all(scene.time and scene.version and scene.date for scene in scenes)
        assert list(scenes) == sorted(scenes, key=lambda scene: (scene.time, scene.id))
        assert [scene.side for scene in scenes] == sorted((str(scene.side) for scene in scenes), reverse=True)
        assert all(case.side(scene.time.date()) == scene.side for scene in scenes if scene.time)
    for scene in layers["sentinel1"].scenes:
        assert slope_correction.HEADING in scene.properties
    for scene in layers["sentinel2"].scenes:
        assert isinstance(scene.properties[sentinel2.SCORED], bool)
        assert sentinel2.BASELINE in scene.properties
        assert scene.cloud_cover is not None
    assert all(scene.side is scene.time is None for scene in layers["terrain"].scenes)


def test_a_scene_list_survives_being_written_down(case: Case, connected: session.Session) -> None:
    found = found_scenes(case, sentinel1={"slope_correction": "volume"}, water="glo30")
    again = SceneList.model_validate_json(found.model_dump_json())
    assert again == found
    assert again.parts[SCENE].geobox == grid(case)


def test_a_sensor_that_no_band_needs_is_not_looked_at(
    case: Case, service: Loopback, connected: session.Session
) -> None:  # fmt: skip
    before = service.record.computations
    found = found_scenes(case, bands=["slope"])
    assert service.record.computations - before == 1
    assert {layer: request.bands for layer, request in found.layers.items()} == {"terrain": ("slope",)}
    assert found.missing == {}


def test_scenes_are_looked_up_once_and_an_export_asks_for_pixels_alone(
    world: World, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(world.folder) as service:
        connect(service, monkeypatch)
        one = by_service(case, water="glo30", sentinel1={"slope_correction": "volume"})
        source = open_source(one)
        found = source.find_scenes()
        assert service.record.computations == LISTINGS
        before = service.record.routes.copy()
        for layer in found.layers:
            whole_layer(open_source(one), found, layer, tmp_path / layer)
        asked = service.record.routes - before
    assert asked == {"computePixels": len(found.layers)}


def test_an_export_is_built_as_any_layer(case: Case, connected: session.Session, tmp_path: Path) -> None:
    one, store = by_service(case), ArtifactStore(tmp_path)
    found = open_source(one).find_scenes()
    layers = {
        name: Layer.open(store.path(store.get_or_build(EXPORTS[name].of(one, found, name)))) for name in found.layers
    }  # fmt: skip
    assert {band for layer in layers.values() for band in layer.info.bands} == set(BAND_SETS["all"])
    assert not list((tmp_path / ".work").iterdir())
    for name, layer in layers.items():
        assert min(layer.info.parts[SCENE].observed.values()) > 0.5
        account = layer.info.export
        assert account is not None
        assert account["figures"]["tiles"] == account["plan"]["tiles"]
        assert account["workload_tag"] == f"landslide-{name}-{case.id}"
    scored = layers["sentinel2"].info.export["scenes_with_cloud_score"]  # type: ignore[index]
    assert 0 < scored < 1, "the world has scenes without a score"
    assert layers["sentinel1"].info.export["scenes_with_cloud_score"] is None  # type: ignore[index]


def test_an_account_is_of_the_last_export(case: Case, connected: session.Session, tmp_path: Path) -> None:
    source = open_source(by_service(case))
    found = source.find_scenes()
    assert source.account() is None
    for layer in ("terrain", "sentinel1"):
        whole_layer(source, found, layer, tmp_path / layer)  # type: ignore[arg-type]
        account = source.account()
        assert account is not None
        assert account["scenes"] == account["plan"]["scenes"] == len(found.layers[layer].scenes)  # type: ignore[index]
        assert account["figures"]["tiles"] == 1


def test_layers_have_buckets_and_tags_of_their_own(case: Case, connected: session.Session, tmp_path: Path) -> None:
    found = found_scenes(case, water="jrc")
    exports = [
        LayerExport("a" * 64, request, grid(case), by_service(case).source.export, connected)  # type: ignore[union-attr]
        for request in found.layers.values()
    ]
    assert len({export._prefix for export in exports}) == len({export._tag for export in exports}) == 4
    assert all(len(export._tag) <= 63 for export in exports)
    assert workload_tag("valley", found.layers["terrain"]) == "landslide-terrain-valley"


def test_a_window_without_radar_leaves_the_other_layers(case: Case, connected: session.Session) -> None:
    layers = found_scenes(case).layers
    radar, optics = (
        {scene.date for scene in layers[layer].scenes if scene.side == "post"}  # type: ignore[index]
        for layer in ("sentinel1", "sentinel2")
    )
    day = date.fromisoformat(str(min(optics - radar)))
    without = case.model_copy(update={"post": Window(start=day, end=day)})
    found = found_scenes(without)
    assert tuple(found.layers) == ("sentinel2", "terrain")
    assert list(found.missing) == ["sentinel1"]
    assert f"no Sentinel-1 scene in the post window {day}..{day}" in found.missing["sentinel1"]
    assert "nearest in time it has S1A" in found.missing["sentinel1"]
    with pytest.raises(EmptyWindowError, match="no Sentinel-1 scene in the post window"):
        found_scenes(without, sentinel2=None, dem=None)


def test_radar_of_other_orbits_than_before_is_missing(
    case: Case, connected: session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = sentinel1.search

    def other_orbits(*given: Any) -> Any:
        return [one.model_copy(update={"orbit": f"{one.orbit}-{one.side}"}) for one in search(*given)]

    monkeypatch.setattr(sentinel1, "search", other_orbits)
    assert "no Sentinel-1 orbit passed both before and after" in found_scenes(case).missing["sentinel1"]


def test_the_terrain_of_an_area_is_one_for_all_cases(case: Case, connected: session.Session) -> None:
    later = case.model_copy(
        update={"id": "another", "title": "Another event", "event_date": case.event_date + timedelta(days=7)}  # type: ignore[operator]
    )
    one, other = by_service(case), by_service(later, sentinel1={"direction": "ascending"})
    scenes, scenes_of_other = open_source(one).find_scenes(), open_source(other).find_scenes()
    assert scenes.layers["terrain"] == scenes_of_other.layers["terrain"]
    assert ExportTerrain.of(one, scenes, "terrain").key == ExportTerrain.of(other, scenes_of_other, "terrain").key
    assert scenes.layers["sentinel1"] != scenes_of_other.layers["sentinel1"]
    nasadem = found_scenes(case, dem="nasadem")
    assert key(one, nasadem, "terrain") != key(one, scenes, "terrain")


def changed(case: Case, **source: Any) -> set[str]:
    """The layers whose keys another setting changes."""
    usual, other = found_scenes(case, water="glo30"), found_scenes(case, **{"water": "glo30", **source})
    one = by_service(case)
    assert set(usual.layers) == set(other.layers)
    return {layer for layer in usual.layers if key(one, usual, layer) != key(one, other, layer)}


@pytest.mark.parametrize("pixels", [-1, 51, 1.5])
def test_clouds_are_grown_by_whole_pixels_within_bounds(case: Case, pixels: float) -> None:
    with pytest.raises(ValueError, match="cloud_dilation"):
        by_service(case, sentinel2={"cloud_dilation": pixels})


def test_a_setting_changes_the_layers_that_it_concerns(case: Case, connected: session.Session) -> None:
    assert Sentinel2Archive().cloud_dilation == optical.EDGE
    assert changed(case, sentinel2={"cloud_dilation": 9}) == {"sentinel2"}
    assert changed(case, sentinel2={"clear_above": 0.7}) == {"sentinel2"}
    assert changed(case, sentinel2={"cloud_mask": "scl"}) == {"sentinel2"}
    assert changed(case, sentinel1={"slope_correction": "volume"}) == {"sentinel1"}
    assert changed(case, sentinel1={"collection": "opera"}) == {"sentinel1"}
    assert changed(case, dem="nasadem") == {"terrain"}
    assert changed(case, water="jrc") == {"mask"}
    assert changed(case, project="another-project", export={"requests": 3, "eecu_hours": 9}) == set()


def test_radar_that_is_slope_corrected_depends_on_the_elevation_model(case: Case, connected: session.Session) -> None:
    corrected = {"slope_correction": "volume"}
    glo30, nasadem, none = (
        found_scenes(case, sentinel1=corrected, dem=dem).layers["sentinel1"] for dem in ("glo30", "nasadem", None)
    )
    assert glo30 != nasadem
    assert glo30 == none


@pytest.mark.slow
def test_faults_change_nothing(
    world: World, case: Case, small_tiles: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 % of 429, 503 and cut connections, 2 % of memory limits, on some 600 tiles."""
    one = by_service(case, **TERRAIN)
    with serve(world.folder) as clean:
        connect(clean, monkeypatch)
        expected, _ = exported(one, tmp_path / "clean")
    rates = {"too_many": 0.03, "unavailable": 0.03, "cut": 0.03, "half": 0.01, "memory": 0.02}
    faults = Faults(seed=1, routes=("computePixels",), **rates)
    with serve(world.folder, faults=faults) as faulty:
        connect(faulty, monkeypatch)
        found, account = exported(one, tmp_path / "faulty")
        record = faulty.record
    assert np.array_equal(found, expected, equal_nan=True)
    assert not (found == GAP).any()
    figures = account["figures"]
    assert figures["tiles"] - figures["splits"] == account["plan"]["tiles"] >= 500
    assert {"429", "503"} <= set(figures["retries"])
    assert record.max_concurrent <= 20
    answered = [(asked.translate, asked.dimensions) for asked in record.tiles() if asked.status == 200]
    assert len(answered) == len(set(answered)), "no tile is asked for again once it was delivered"


def test_ten_cases_share_one_limit(
    world: World, case: Case, small_tiles: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "tile_side", lambda bands: 16)
    cases = [by_service(case, bands=["slope"], export={"requests": 6}) for _ in range(10)]
    with serve(world.folder, delay=0.01) as service:
        connect(service, monkeypatch)
        with ThreadPoolExecutor(10) as pool:
            stacks = list(pool.map(lambda pair: exported(pair[1], tmp_path / str(pair[0]))[0], enumerate(cases)))
        assert service.record.max_concurrent <= 6
    assert all(np.array_equal(stack, stacks[0], equal_nan=True) for stack in stacks)


def test_a_permanent_error_surfaces_at_once(
    world: World, case: Case, small_tiles: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(permanent=(40,), slow=0.2, slow_by=20.0, routes=("computePixels",))
    with serve(world.folder, faults=faults) as service:
        connect(service, monkeypatch)
        source = open_source(by_service(case, bands=["slope"]))
        request = source.find_scenes().layers["terrain"]
        started = time.monotonic()
        with pytest.raises(SourceError, match="refuses the tile of rows"):
            list(source.export(request, SCENE, tmp_path))
        assert time.monotonic() - started < 2


KILLED = """
import sys
from pathlib import Path
from landslide.cases.case import load_case
from landslide.sources.earthengine.export import estimate
from landslide.sources.registry import open_source
estimate.tile_side = lambda bands: 4
source = open_source(load_case(Path(sys.argv[1])))
for roi, block in source.export(source.find_scenes().layers["terrain"], "scene", Path(sys.argv[2])):
    print("tile", flush=True)
"""


@pytest.mark.slow
def test_a_killed_export_goes_on_where_it_was(
    world: World, case: Case, small_tiles: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = by_service(case, bands=["slope"], export={"requests": 20 - tiles.WRITER_THREADS})
    path = tmp_path / "case.yaml"
    path.write_text(one.model_dump_json())
    with serve(world.folder, delay=0.02) as service:
        connect(service, monkeypatch)
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path), str(tmp_path / "work")], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(100):
            assert child.stdout.readline() == "tile\n"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        before = len(service.record.tiles())
        stack, account = exported(one, tmp_path / "work")
        again = len(service.record.tiles()) - before
    total = account["plan"]["tiles"]
    assert np.isfinite(stack).mean() > 0.9
    assert account["figures"]["resumed"] >= 100
    assert before + again <= total + 20, "at most the tiles in flight are asked for anew"


def test_what_cannot_be_served_is_an_error_before_an_export(case: Case, connected: session.Session) -> None:
    early = case.model_copy(update={"pre": case.pre.model_copy(update={"days": 1})})
    with pytest.raises(EmptyWindowError, match=r"no Sentinel-1 scene in the pre window .*nearest in time it has S1A"):
        found_scenes(early, sentinel2=None, dem=None)
    elsewhere = case.model_copy(update={"aoi": (5.0, 5.0, 5.01, 5.01), "inventory": None})
    with pytest.raises(NoOverlapError, match="no Sentinel-1 scene over"):
        found_scenes(elsewhere)
    with pytest.raises(BandError, match="plan_curvature"):
        open_source(by_service(case, bands=["plan_curvature"]))


def test_scenes_that_cannot_all_be_listed_are_not_left_out(
    case: Case, connected: session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landslide.sources.earthengine.scenes.MAX_SCENES", 2)
    with pytest.raises(SourceError, match=r"lists 2 scenes or more from .* Shorten the windows"):
        found_scenes(case)


def test_a_scene_without_an_orbit_is_named(case: Case, connected: session.Session) -> None:
    collection = sentinel1.collection_of(by_service(case).source.sentinel1)  # type: ignore[union-attr, arg-type]
    stated = {INDEX: "S1A_X", "orbitProperties_pass": "ASCENDING", "relativeOrbitNumber_start": 44}
    assert collection.orbit(stated) == "ascending-44"
    with pytest.raises(SourceError, match="scene S1A_X states no orbitProperties_pass or no relativeOrbitNumber_start"):
        collection.orbit({**stated, "relativeOrbitNumber_start": None})


def test_radar_without_a_heading_cannot_be_slope_corrected(
    case: Case, connected: session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = sentinel1.search

    def without_heading(*given: Any) -> Any:
        return [one.model_copy(update={"properties": {}}) for one in search(*given)]

    monkeypatch.setattr(sentinel1, "search", without_heading)
    with pytest.raises(SourceError, match="state no platformHeading, first S1"):
        found_scenes(case, sentinel1={"slope_correction": "volume"})


def test_outlines_that_a_request_cannot_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MAX_VERTICES", 9)
    boxes = np.array([shapely.box(0, 0, 1, 1)] * 2, object)
    with pytest.raises(InputError, match="2 outlines with 10 vertices do not fit"):
        inventory.features(boxes, "EPSG:32632")


def test_an_asset_that_is_gone_is_named(
    case: Case, connected: session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landslide.sources.earthengine.expressions.terrain.GLO30", "COPERNICUS/DEM/WITHDRAWN")
    with pytest.raises(SourceError, match="COPERNICUS/DEM/WITHDRAWN"):
        found_scenes(case, **TERRAIN)


def test_a_cap_stops_before_anything_is_asked(case: Case, service: Loopback, connected: session.Session) -> None:
    source = open_source(by_service(case, export={"eecu_hours": 1e-9}))
    found = source.find_scenes()
    before = len(service.record.tiles())
    for layer, request in found.layers.items():
        with pytest.raises(InputError, match=rf"{layer}: .*over the case's cap of 1e-09 \(export.eecu_hours\)"):
            list(source.export(request, SCENE, Path("nowhere")))
    assert len(service.record.tiles()) == before


def test_a_cap_bounds_each_layer(case: Case, connected: session.Session, tmp_path: Path) -> None:
    found = found_scenes(case)
    settings = by_service(case).source.export  # type: ignore[union-attr]
    hours = {
        layer: estimate.estimate(request, grid(case).shape, settings).eecu_hours
        for layer, request in found.layers.items()
    }  # fmt: skip
    assert hours["terrain"] < hours["sentinel1"] < sum(hours.values())
    source = open_source(by_service(case, export={"eecu_hours": (hours["terrain"] + hours["sentinel1"]) / 2}))
    whole_layer(source, found, "terrain", tmp_path / "terrain")
    with pytest.raises(InputError, match="over the case's cap"):
        whole_layer(source, found, "sentinel1", tmp_path / "sentinel1")


def by_bucket(case: Case, **source: Any) -> Case:
    return by_service(case, **{"export": {"method": "bucket", "bucket": "my-bucket"}, **source})


@pytest.fixture
def quick_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landslide.sources.earthengine.export.gcs.POLL_SECONDS", 0.05)


def test_a_bucket_brings_the_same(
    case: Case, connected: session.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_poll: None
) -> None:
    monkeypatch.setattr("landslide.sources.earthengine.export.gcs.FILE_SIDE", 64)  # several files
    by_tiles, by_files = open_source(by_service(case, water="jrc")), open_source(by_bucket(case, water="jrc"))
    found = by_tiles.find_scenes()
    for layer in found.layers:
        tiled = whole_layer(by_tiles, found, layer, tmp_path / "tiles" / layer)
        filed = whole_layer(by_files, found, layer, tmp_path / "files" / layer)
        for band in found.layers[layer].bands:
            assert np.array_equal(tiled.values[band], filed.values[band], equal_nan=True), band
        for name in COUNTS[layer]:
            assert np.array_equal(tiled.seen[name], filed.seen[name]), name
        account = by_files.account()
        assert account is not None
        assert account["charged"]["eecu_hours"] > 0
        assert len(list((tmp_path / "files" / layer).glob("*.tif"))) > 1
        assert not list((tmp_path / "files" / layer).glob(".*")), "no draft is left"


def test_a_bucket_export_is_found_again(
    case: Case, connected: session.Session, tmp_path: Path, quick_poll: None
) -> None:  # fmt: skip
    """A second process takes up the task of the first; another workspace knows of none and starts its own."""
    one = by_bucket(case, **TERRAIN)
    source = open_source(one)
    request = source.find_scenes().layers["terrain"]
    first = source.export(request, SCENE, tmp_path / "same")
    next(first)
    first.close()  # type: ignore[attr-defined]
    started = source.account()["charged"]["name"]  # type: ignore[index]
    assert started.startswith("projects/loopback/operations/")
    assert exported(one, tmp_path / "same")[1]["charged"]["name"] == started
    assert exported(one, tmp_path / "other")[1]["charged"]["name"] != started


def test_a_bucket_export_of_another_case_is_found_again(
    case: Case, connected: session.Session, tmp_path: Path, quick_poll: None
) -> None:
    """Cases share the terrain of an area, and so its workspace: the task of the one goes on for the other."""
    expected, account = exported(by_bucket(case, **TERRAIN), tmp_path)
    for file in tmp_path.glob("*.tif"):
        file.unlink()
    found, again = exported(by_bucket(case.model_copy(update={"id": "another"}), **TERRAIN), tmp_path)
    assert again["charged"]["name"] == account["charged"]["name"]
    assert np.array_equal(found, expected, equal_nan=True)


def test_a_charge_over_the_cap_cancels_the_task(
    world: World, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_poll: None
) -> None:
    monkeypatch.setattr("landslide.sources.earthengine.export.layer.refuse_over_cap", lambda *_: None)
    capped = {"method": "bucket", "bucket": "my-bucket", "eecu_hours": 1e-9}
    with serve(world.folder, delay=0.3) as service:
        connect(service, monkeypatch)
        with pytest.raises(SourceError, match="the task is cancelled"):
            exported(by_bucket(case, **TERRAIN, export=capped), tmp_path)
        roomy = by_bucket(case, **TERRAIN, export={**capped, "eecu_hours": 9})
        assert exported(roomy, tmp_path)[1]["charged"]["eecu_hours"] > 0, "with a higher cap the same folder goes on"


def test_no_secret_appears_in_any_output(
    world: World, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A real service account's key, exchanged for a token, through success, refusal and a broken service."""
    caplog.set_level(logging.DEBUG)
    token = f"{CANARY}-token"
    with serve(world.folder, token=token) as service:
        key = service_account(tmp_path / "key.json", f"{service.url}/token")
        monkeypatch.setenv(session.URL, service.url)
        monkeypatch.setenv(session.KEY_FILE, str(key))
        monkeypatch.setattr(session, "_current", None)
        connected = session.connect("loopback")
        stack, account = exported(by_service(case, bands=["slope"]), tmp_path / "store")
        assert np.isfinite(stack).any(), "the token was accepted"
        errors = refusals(case, tmp_path)
    output = [repr(connected), str(connected), json.dumps(account), caplog.text, *errors]
    output += [path.read_text(errors="replace") for path in (tmp_path / "store").rglob("*") if path.is_file()]
    secret = json.loads(key.read_text())["private_key"].splitlines()[1]
    for text in output:
        assert CANARY not in text
        assert secret not in text
    monkeypatch.setattr(session, "_current", None)


def refusals(case: Case, folder: Path) -> list[str]:
    """What is said when Google refuses and when the key file is broken."""
    said = []
    for one in (by_service(case, bands=["slope"], dem="nasadem", water="jrc"), by_service(case, bands=["slope"])):
        try:
            exported(one.model_copy(update={"aoi": (5.0, 5.0, 5.01, 5.01)}), folder / "refused")
        except LandslideError as error:
            said += [repr(error), repr(error.__cause__), repr(error.__context__)]
    return said


def test_a_broken_key_file_is_named_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps({"type": "service_account", "private_key": f"-----BEGIN {CANARY}"}))
    monkeypatch.setenv(session.KEY_FILE, str(path))
    with pytest.raises(SourceError, match=r"key\.json, which holds no usable credentials") as raised:
        session.find_credentials()
    assert CANARY not in str(raised.value)


def test_without_credentials_the_error_says_how_to_sign_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    for name in (session.KEY_FILE, session.URL, "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SourceError, match="earthengine authenticate"):
        session.find_credentials()


def test_a_stored_token_is_found_and_names_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (session.KEY_FILE, session.URL, *session.PROJECTS):
        monkeypatch.delenv(name, raising=False)
    stored = tmp_path / ".config" / "earthengine" / "credentials"
    stored.parent.mkdir(parents=True)
    token = {"refresh_token": CANARY, "project": "my-project", "client_id": "a", "client_secret": "b"}
    stored.write_text(json.dumps(token))
    found = session.find_credentials()
    assert (found.kind, found.project) == ("stored user token", "my-project")
    assert CANARY not in repr(found)


def test_threads_are_gone_after_an_export(case: Case, connected: session.Session, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    exported(by_service(case, **TERRAIN), tmp_path)
    time.sleep(0.3)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "earthengine-tiles"]
