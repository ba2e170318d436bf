"""What `prefect deploy` registers: flows that exist, parameters that fit, and bad ones refused before a run is made."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.exceptions import ParameterTypeError, SignatureMismatchError
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema, parameters_to_args_kwargs
from prefect.utilities.schema_tools import is_valid_schema
from prefect.utilities.schema_tools.validation import validate

from flows.cli.demo import EVENTS, SIZE
from flows.map_event import map_event
from landslide.cases.case import load_case
from landslide.simulation.world import simulate_world
from landslide.simulation.world.places import places
from landslide.simulation.world.site import make_site

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deployments"
SETTINGS: dict[str, Any] = yaml.safe_load((FOLDER / "prefect.yaml").read_text())
SHARDS: dict[str, Any] = yaml.safe_load((FOLDER / "gpu.yaml").read_text())
DEPLOYMENTS: list[dict[str, Any]] = SETTINGS["deployments"] + SHARDS["deployments"]
EXAMPLE: dict[str, Any] = json.loads((FOLDER / "example-event.json").read_text())
SECRET = re.compile(r"secret|token|password|passwd|credential|api_?key|auth", re.IGNORECASE)

deployments = pytest.mark.parametrize(
    "deployment", DEPLOYMENTS, ids=lambda it: f"{Path(it['entrypoint']).stem}-{it['name']}"
)


def flow_of(deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Flow[..., Any]:
    monkeypatch.chdir(ROOT)
    return load_flow_from_entrypoint(deployment["entrypoint"])


def problems(flow: Flow[..., Any], parameters: dict[str, Any], complete: bool = True) -> list[str]:
    """What the API finds wrong with a run's parameters."""
    schema = parameter_schema(flow).model_dump()
    found = validate(parameters, schema, preprocess=True, ignore_required=not complete)
    return [error.message for error in found]


def keys(value: object) -> list[str]:
    """Every key of nested mappings."""
    if isinstance(value, dict):
        return [*value, *(key for part in value.values() for key in keys(part))]
    return [key for part in value for key in keys(part)] if isinstance(value, list) else []


@deployments
def test_the_entrypoint_is_a_flow_with_a_valid_schema(
    deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = flow_of(deployment, monkeypatch)
    assert isinstance(flow, Flow)
    is_valid_schema(parameter_schema(flow).model_dump())
    assert deployment["enforce_parameter_schema"] is True
    assert deployment["work_pool"]["name"] == ("gpu" if deployment in SHARDS["deployments"] else "landslide")


@deployments
def test_the_parameters_fit_the_flow(deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    scheduled = bool(deployment.get("schedules"))
    flow = flow_of(deployment, monkeypatch)
    parameters = deployment.get("parameters", {})
    assert set(parameters) <= set(parameter_schema(flow).properties)
    assert problems(flow, parameters, complete=scheduled) == [], "a schedule has nobody to ask for the rest"


@deployments
def test_no_parameter_looks_like_a_secret(deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters and job variables are stored and shown to everyone who sees the UI."""
    schema = parameter_schema(flow_of(deployment, monkeypatch)).model_dump()
    assert [key for key in keys([schema, deployment]) if SECRET.search(key)] == []


def test_threads_do_not_spin_and_schedules_sleep() -> None:
    for deployment in DEPLOYMENTS:
        assert deployment["work_pool"]["job_variables"]["env"]["OMP_WAIT_POLICY"] == "passive"
    schedules = [schedule for deployment in DEPLOYMENTS for schedule in deployment.get("schedules", [])]
    assert [schedule["active"] for schedule in schedules] == [False]


def test_names_are_unique() -> None:
    names = [(deployment["entrypoint"], deployment["name"]) for deployment in DEPLOYMENTS]
    assert len(set(names)) == len(names)


def test_three_missing_heartbeats_make_a_crash() -> None:
    environments = [deployment["work_pool"]["job_variables"]["env"] for deployment in DEPLOYMENTS]
    (beat,) = {int(environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) for environment in environments}
    (automation,) = yaml.safe_load((FOLDER / "automations.yaml").read_text())["automations"]
    assert automation["trigger"]["within"] == 3 * beat


def test_the_example_is_the_demos_test_event(tmp_path: Path) -> None:
    assert problems(map_event, EXAMPLE) == []
    case = map_event.validate_parameters(EXAMPLE)["case"]
    place = places(EVENTS)[-1]
    assert (case.id, case.event_date) == (place.id, place.event_date)
    assert case.aoi == pytest.approx(make_site(place, SIZE).aoi, abs=2e-6)
    smallest = load_case(simulate_world(tmp_path / "world", events=3, size=64).cases[-1])
    assert case.source.model_dump(exclude={"catalog"}) == smallest.source.model_dump(exclude={"catalog"})


def unknown_parameter(example: dict[str, Any]) -> None:
    example["colour"] = "red"


def unknown_key(example: dict[str, Any]) -> None:
    example["case"]["sensor"] = "s1"


def latitude_out_of_range(example: dict[str, Any]) -> None:
    example["case"]["aoi"][3] = 144.6


def box_of_three(example: dict[str, Any]) -> None:
    example["case"]["aoi"].pop()


def unknown_source(example: dict[str, Any]) -> None:
    example["case"]["source"]["kind"] = "ftp"


def endless_window(example: dict[str, Any]) -> None:
    example["case"]["pre"]["days"] = 9999


def certain_threshold(example: dict[str, Any]) -> None:
    example["options"] = {"threshold": 1.5}


def no_ensemble(example: dict[str, Any]) -> None:
    del example["ensemble"]


def no_such_day(example: dict[str, Any]) -> None:
    example["case"]["event_date"] = "2023-13-45"


REFUSED = [
    unknown_key, latitude_out_of_range, box_of_three, unknown_source, endless_window, certain_threshold, no_ensemble,
    no_such_day,
]  # fmt: skip


@pytest.mark.parametrize("spoil", REFUSED)
def test_unusable_parameters_are_refused_before_a_run(spoil: Callable[[dict[str, Any]], None]) -> None:
    spoiled = copy.deepcopy(EXAMPLE)
    spoil(spoiled)
    assert problems(map_event, spoiled)


def no_area(example: dict[str, Any]) -> None:
    del example["case"]["aoi"]


def bind(parameters: dict[str, Any]) -> None:
    """What a run does with its parameters before the flow's body."""
    map_event.validate_parameters(parameters)
    parameters_to_args_kwargs(map_event.fn, parameters)


@pytest.mark.parametrize(
    ("spoil", "named"),
    [(no_area, "needs aoi"), (unknown_parameter, "colour")],
)
def test_the_rest_fails_before_the_flow_begins(spoil: Callable[[dict[str, Any]], None], named: str) -> None:
    spoiled = copy.deepcopy(EXAMPLE)
    spoil(spoiled)
    with pytest.raises((ParameterTypeError, SignatureMismatchError), match=named):
        bind(spoiled)
