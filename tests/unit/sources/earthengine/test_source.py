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
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from landslide.bands import BAND_SETS
from landslide.cases.case import Case, load_case
from landslide.datasets.stack import Stack, prepare
from landslide.errors import BandError, EmptyWindowError, InputError, LandslideError, NoOverlapError, SourceError
from landslide.simulation.earthengine import Faults, Loopback, serve
from landslide.simulation.world import World
from landslide.sources.base import Exporter
from landslide.sources.earthengine import limiter, session
from landslide.sources.earthengine.export import estimate, tiles
from landslide.sources.earthengine.expressions import inventory, sentinel1
from landslide.sources.earthengine.scenes import INDEX
from landslide.sources.earthengine.source import PART, EarthEngine
from landslide.sources.registry import open_source
from tests.helpers.earthengine import connect
from tests.helpers.parity import by_service
from tests.helpers.secrets import CANARY, service_account

TERRAIN: dict[str, Any] = {"sentinel1": None, "sentinel2": None}
QUICK = tiles.Patience(base=0.005, cap=0.05)


@pytest.fixture
def case(world: World) -> Case:
    return load_case(world.cases[-1])


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 4 × 4 pixels, some 600 for a case, that are asked for again at once."""
    monkeypatch.setattr(estimate, "tile_side", lambda bands: 4)
    monkeypatch.setattr(tiles, "SMALLEST", 1)
    monkeypatch.setattr(tiles.deliver, "__kwdefaults__", {**tiles.deliver.__kwdefaults__, "patience": QUICK})  # type: ignore[attr-defined]
    monkeypatch.setattr(limiter, "_shared", None)


def exported(case: Case, folder: Path) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """All bands of a case, and what the export took."""
    source = open_source(case)
    assert isinstance(source, Exporter)
    stack = np.full((len(source.bands), *source.parts[PART].shape), 7777, "float32")
    for roi, block in source.export(PART, folder):
        stack[(slice(None), *roi)] = np.stack([block.values[band] for band in source.bands])
    return stack, source.account()


def test_the_papers_bands_by_default(case: Case, connected: session.Session) -> None:
    source = open_source(by_service(case))
    assert source.bands == BAND_SETS["all"]
    assert {scene.sensor for scene in source.scenes()} == {"sentinel-1", "sentinel-2"}
    assert all(scene.orbit for scene in source.scenes() if scene.sensor == "sentinel-1")


def test_a_sensor_that_no_band_needs_is_not_looked_at(case: Case, connected: session.Session) -> None:
    source = open_source(by_service(case, bands=["slope"]))
    assert source.bands == ("slope",)
    assert source.scenes() == []


def test_an_export_is_prepared_as_any_case(case: Case, connected: session.Session, tmp_path: Path) -> None:
    one = by_service(case)
    (tmp_path / "out").mkdir()
    prepare(one, open_source(one), tmp_path / "out", tmp_path / "work")
    stack = Stack.open(tmp_path / "out")
    assert stack.info.bands == BAND_SETS["all"]
    assert min(stack.info.parts[0].observed.values()) > 0.5
    account = json.loads((tmp_path / "out" / "export.json").read_text())
    assert account["figures"]["tiles"] == account["plan"]["tiles"]
    assert account["workload_tag"] == f"landslide-{case.id}"
    assert 0 < account["scenes_with_cloud_score"] < 1, "the world has scenes without a score"


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
    assert not (found == 7777).any()
    figures = account["figures"]
    assert figures["tiles"] - figures["splits"] == account["plan"]["tiles"] >= 500
    assert {"429", "503"} <= set(figures["retries"])
    assert record.most <= 20
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
        assert service.record.most <= 6
    assert all(np.array_equal(stack, stacks[0], equal_nan=True) for stack in stacks)


def test_a_permanent_error_surfaces_at_once(
    world: World, case: Case, small_tiles: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = Faults(permanent=(40,), slow=0.2, slow_by=20.0, routes=("computePixels",))
    with serve(world.folder, faults=faults) as service:
        connect(service, monkeypatch)
        source = EarthEngine(by_service(case, bands=["slope"]), by_service(case, bands=["slope"]).source)  # type: ignore[arg-type]
        started = time.monotonic()
        with pytest.raises(SourceError, match="refuses the tile of rows"):
            list(source.export(PART, tmp_path))
        assert time.monotonic() - started < 2


KILLED = """
import sys
from pathlib import Path
from landslide.cases.case import load_case
from landslide.sources import open_source
from landslide.sources.earthengine import plan
plan.tile_side = lambda bands: 4
source = open_source(load_case(Path(sys.argv[1])))
for roi, block in source.export("scene", Path(sys.argv[2])):
    print("tile", flush=True)
"""


def test_a_killed_export_goes_on_where_it_was(
    world: World, case: Case, small_tiles: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = by_service(case, bands=["slope"])
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


def test_what_cannot_be_served_is_told_before_an_export(case: Case, connected: session.Session) -> None:
    with pytest.raises(EmptyWindowError, match=r"no Sentinel-1 scene in the pre window .*nearest in time it has S1A"):
        open_source(by_service(case.model_copy(update={"pre": case.pre.model_copy(update={"days": 1})})))
    with pytest.raises(NoOverlapError, match="no Sentinel-1 scene over"):
        open_source(by_service(case.model_copy(update={"aoi": (5.0, 5.0, 5.01, 5.01), "inventory": None})))
    with pytest.raises(BandError, match="plan_curvature"):
        open_source(by_service(case, bands=["plan_curvature"]))


def test_scenes_that_cannot_all_be_listed_are_not_left_out(
    case: Case, connected: session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landslide.sources.earthengine.scenes.MOST", 2)
    with pytest.raises(SourceError, match=r"lists 2 scenes or more from .* Shorten the windows"):
        open_source(by_service(case))


def test_a_scene_without_an_orbit_is_named(case: Case, connected: session.Session) -> None:
    archive = sentinel1.archive(by_service(case).source.sentinel1)  # type: ignore[union-attr]
    stated = {INDEX: "S1A_X", "orbitProperties_pass": "ASCENDING", "relativeOrbitNumber_start": 44}
    assert archive.orbit(stated) == "ascending-44"
    with pytest.raises(SourceError, match="scene S1A_X states no orbitProperties_pass or no relativeOrbitNumber_start"):
        archive.orbit({**stated, "relativeOrbitNumber_start": None})


def test_outlines_that_a_request_cannot_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "MOST_VERTICES", 9)
    boxes = np.array([shapely.box(0, 0, 1, 1)] * 2, object)
    with pytest.raises(InputError, match="2 outlines with 10 vertices do not fit"):
        inventory.features(boxes, "EPSG:32632")


def test_an_asset_that_is_gone_is_named(
    case: Case, connected: session.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landslide.sources.earthengine.expressions.terrain.GLO30", "COPERNICUS/DEM/WITHDRAWN")
    with pytest.raises(SourceError, match="COPERNICUS/DEM/WITHDRAWN"):
        open_source(by_service(case, **TERRAIN))


def test_a_cap_stops_before_anything_is_asked(case: Case, service: Loopback, connected: session.Session) -> None:
    one = by_service(case, export={"eecu_hours": 1e-9})
    before = len(service.record.tiles())
    with pytest.raises(InputError, match=r"over the case's cap of 1e-09 \(export.eecu_hours\)"):
        list(open_source(one).export(PART, Path("nowhere")))  # type: ignore[attr-defined]
    assert len(service.record.tiles()) == before


def test_how_pixels_come_out_is_not_what_they_are(case: Case, connected: session.Session) -> None:
    from landslide.datasets.stack import prepare_request

    plain = by_service(case)
    other = by_service(case, project="another-project", export={"requests": 3, "eecu_hours": 9})
    requests = {prepare_request(one, open_source(plain)).key for one in (plain, other)}
    assert len(requests) == 1
    masked = by_service(case, sentinel2={"cloud_mask": "scl"})
    assert prepare_request(masked, open_source(masked)).key not in requests


def test_a_bucket_brings_the_same(
    case: Case, connected: session.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landslide.sources.earthengine.export.gcs.POLL", 0.05)
    monkeypatch.setattr("landslide.sources.earthengine.export.gcs.FILE_SIDE", 64)  # several files
    by_tiles, _ = exported(by_service(case), tmp_path / "tiles")
    by_files, account = exported(
        by_service(case, export={"method": "bucket", "bucket": "my-bucket"}), tmp_path / "files"
    )
    assert np.array_equal(by_tiles, by_files, equal_nan=True)
    assert account["charged"]["eecu_hours"] > 0
    assert len(list((tmp_path / "files").glob("*.tif"))) > 1


def test_a_bucket_export_is_found_again(
    case: Case, connected: session.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second process takes up the task of the first; another workspace knows of none and starts its own."""
    monkeypatch.setattr("landslide.sources.earthengine.export.gcs.POLL", 0.05)
    one = by_service(case, **TERRAIN, export={"method": "bucket", "bucket": "my-bucket"})
    source = open_source(one)
    assert isinstance(source, Exporter)
    first = source.export(PART, tmp_path / "same")
    next(first)
    first.close()  # type: ignore[attr-defined]
    started = source.account()["charged"]["name"]
    assert started.startswith("projects/loopback/operations/")
    assert exported(one, tmp_path / "same")[1]["charged"]["name"] == started
    assert exported(one, tmp_path / "other")[1]["charged"]["name"] != started


def test_a_charge_over_the_cap_cancels_the_task(
    world: World, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landslide.sources.earthengine.export.gcs.POLL", 0.05)
    monkeypatch.setattr("landslide.sources.earthengine.source.refuse_over_cap", lambda *_: None)
    one = by_service(case, **TERRAIN, export={"method": "bucket", "bucket": "my-bucket", "eecu_hours": 1e-9})
    with serve(world.folder, delay=0.3) as service:
        connect(service, monkeypatch)
        with pytest.raises(SourceError, match="the task is cancelled"):
            exported(one, tmp_path)
        roomy = by_service(case, **TERRAIN, export={"method": "bucket", "bucket": "my-bucket", "eecu_hours": 9})
        assert exported(roomy, tmp_path)[1]["charged"]["eecu_hours"] > 0, "with a higher cap the same folder goes on"


def test_no_secret_is_ever_told(
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
    told = [repr(connected), str(connected), json.dumps(account), caplog.text, *errors]
    told += [path.read_text(errors="replace") for path in (tmp_path / "store").rglob("*") if path.is_file()]
    secret = json.loads(key.read_text())["private_key"].splitlines()[1]
    for text in told:
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
        session.find()
    assert CANARY not in str(raised.value)


def test_without_credentials_the_way_in_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    for name in (session.KEY_FILE, session.URL, "CLOUDSDK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SourceError, match="earthengine authenticate"):
        session.find()


def test_a_stored_token_is_found_and_names_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (session.KEY_FILE, session.URL, *session.PROJECTS):
        monkeypatch.delenv(name, raising=False)
    stored = tmp_path / ".config" / "earthengine" / "credentials"
    stored.parent.mkdir(parents=True)
    token = {"refresh_token": CANARY, "project": "my-project", "client_id": "a", "client_secret": "b"}
    stored.write_text(json.dumps(token))
    found = session.find()
    assert (found.kind, found.project) == ("stored user token", "my-project")
    assert CANARY not in repr(found)


def test_threads_are_gone_after_an_export(case: Case, connected: session.Session, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    exported(by_service(case, **TERRAIN), tmp_path)
    time.sleep(0.3)
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name == "tiler"]
