"""Earth Engine from scenes to a map, through the flows: the real client, a service account, the loopback server."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ee
import pytest
import yaml
from prefect.client.orchestration import get_client

from flows.cli.demo import scenes_to_maps, service_cases
from flows.cli.estimate import plan_rows
from flows.prepare_cases import prepare_cases
from landslide.artifacts.store import ArtifactStore, verify
from landslide.cases.case import load_case
from landslide.evaluation.results import EvaluationReport
from landslide.mapping.summary import MapSummary
from landslide.simulation.earthengine import Loopback, serve
from landslide.simulation.world import World, simulate_world
from landslide.sources.earthengine import session
from tests.helpers.secrets import CANARY, service_account

pytestmark = pytest.mark.slow
ee.deprecation._FetchDataCatalogStac = lambda: {}  # it would ask the network at every sign-in


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return service_cases(simulate_world(tmp_path_factory.mktemp("flows-ee") / "world", events=3, size=128, seed=3))


@pytest.fixture(scope="module")
def service(world: World) -> Iterator[Loopback]:
    """A server that wants a token, and a service account in the environment that can get one."""
    folder = world.folder.parent
    with pytest.MonkeyPatch.context() as patch, serve(folder / "world", token=f"{CANARY}-token") as loopback:
        patch.setenv(session.URL, loopback.url)
        patch.setenv(session.KEY_FILE, str(service_account(folder / "key.json", f"{loopback.url}/token")))
        patch.setattr(session, "_current", None)
        yield loopback


@pytest.fixture(scope="module")
def mapped(world: World, service: Loopback) -> dict[str, Path]:
    """The folders of results and of the test event's map."""
    settings = yaml.safe_load(world.experiment.read_text())
    settings |= {"architectures": ["Linknet"], "losses": ["dice"], "epochs": 3, "samples_per_epoch": 96}
    experiment = world.folder / "small.yaml"
    experiment.write_text(yaml.safe_dump(settings))
    event = load_case(world.cases[-1])
    return scenes_to_maps(experiment, [event], world.folder / "store", world.folder / "maps")


def test_scenes_to_a_map_without_a_catalogue(world: World, mapped: dict[str, Path]) -> None:
    event = load_case(world.cases[-1])
    summary = MapSummary.model_validate_json((mapped[event.id] / "summary.json").read_text())
    assert summary.share_observed > 0.5
    assert EvaluationReport.read(mapped["results"]).pooled.f1 > 0.05
    assert "sentinel-1" in (mapped[event.id] / "report.html").read_text().lower()


def test_nothing_is_left_of_the_export(world: World, mapped: dict[str, Path]) -> None:
    store = world.folder / "store"
    assert not list((store / ".work").iterdir())
    for layer in ("sentinel1", "sentinel2", "terrain"):
        infos = [json.loads(file.read_text()) for file in store.glob(f"export-{layer}/[!.]*/layer.json")]
        accounts = [info["export"] for info in infos]
        assert len(accounts) == len(world.cases)
        assert all(account["figures"]["requests"] >= account["plan"]["tiles"] for account in accounts)


def test_a_second_run_asks_for_no_pixel(world: World, service: Loopback, mapped: dict[str, Path]) -> None:
    asked = len(service.record.tiles())
    stacks = prepare_cases([load_case(file) for file in world.cases], world.folder / "store")
    assert len(service.record.tiles()) == asked
    store = ArtifactStore(world.folder / "store")
    assert all(verify(store.path(stack)) for stack in stacks.values())


def test_progress_and_no_secret_in_the_api(world: World, mapped: dict[str, Path]) -> None:
    runs, artifacts, logs = asyncio.run(everything_told())
    assert any(artifact.type == "progress" and artifact.data == 100.0 for artifact in artifacts)
    told = [run.model_dump_json() for run in runs] + [artifact.model_dump_json() for artifact in artifacts]
    told += [log.message for log in logs]
    told += [file.read_text(errors="replace") for file in (world.folder / "store").rglob("*.json")]
    secret = json.loads((world.folder.parent / "key.json").read_text())["private_key"].splitlines()[1]
    for text in told:
        assert CANARY not in text
        assert secret not in text


async def everything_told() -> tuple[list[Any], list[Any], list[Any]]:
    """Runs with their parameters, artifacts and logs, as the API has them."""
    async with get_client() as client:
        return await client.read_flow_runs(), await client.read_artifacts(), await client.read_logs()


def test_the_plan_of_cases(world: World, service: Loopback) -> None:
    asked = len(service.record.tiles())
    rows = plan_rows([load_case(file) for file in world.cases])
    assert len(service.record.tiles()) == asked
    layers = ("sentinel1", "sentinel2", "terrain")
    expected = [(file.stem, layer) for file in world.cases for layer in layers]
    assert [(row["case"], row["layer"]) for row in rows] == expected
    for row in rows:
        assert row["tiles"] == row["requests"] >= 1
        assert row["MB"] > 0
        assert row["EECU-hours"] > 0
