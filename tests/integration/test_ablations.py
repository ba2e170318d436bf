"""Leave one event out, and questions about the method, with one small member each."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from flows.studies.ablations import _with_direction, ablate_clouds, ablate_polarisation
from flows.studies.leave_one_event_out import leave_one_out
from landslide.cases.case import Case, load_case
from landslide.ensembles.ensemble import Ensemble
from landslide.errors import InputError
from landslide.metrics.pixel import Counts, total
from landslide.simulation.world import World, simulate_world

pytestmark = pytest.mark.slow
SMALL = {
    "architectures": ["Linknet"],
    "losses": ["dice"],
    "epochs": 2,
    "samples_per_epoch": 48,
    "selection": "all_members",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return simulate_world(tmp_path_factory.mktemp("questions") / "world", events=3, size=128, seed=3)


@pytest.fixture(scope="module")
def experiment(world: World) -> Path:
    path = world.folder / "small.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(world.experiment.read_text()) | SMALL | {"id": "small"}))
    return path


@pytest.fixture(scope="module")
def left_out(world: World, experiment: Path) -> Path:
    return leave_one_out(experiment, world.folder.parent / "store")


def test_every_event_is_tested_by_an_ensemble_that_never_saw_it(world: World, left_out: Path) -> None:
    document = json.loads((left_out / "events.json").read_text())["all"]
    names = [path.stem for path in world.cases]
    assert set(document["events"]) == set(names)
    results = left_out.parent.parent
    for name in names:
        info = Ensemble.open(results / f"small-leave-one-out-{name}" / "all" / "ensemble").info
        assert info.cases["test"] == [name]
        assert name not in info.cases["train"] + info.cases["validation"]
        assert len(info.cases["validation"]) == 1
    counts = [Counts(**{k: event[k] for k in Counts.model_fields}) for event in document["events"].values()]
    assert document["pooled"] == total(counts).scores()
    low, high = document["interval_over_events"]
    assert low <= document["pooled"]["f1"] <= high
    with (left_out / "events.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["event"] for row in rows] == [*document["events"], "pooled"]
    assert (left_out / "events.png").stat().st_size > 10_000


def test_a_fold_that_parts_one_event_is_refused_before_anything_runs(world: World, tmp_path: Path) -> None:
    names, cases = [path.stem for path in world.cases], []
    for path in world.cases:
        case = yaml.safe_load(path.read_text())
        case["source"]["catalog"] = str(world.catalog)
        for what in ("inventory", "cover"):
            case[what]["path"] = str((path.parent / case[what]["path"]).resolve())
        cases.append(case)
    west, south, east, north = cases[0]["aoi"]
    cases.append(cases[0] | {"id": "its-neighbour", "aoi": [west, south + 0.2, east, north + 0.2]})
    for case in cases:
        (tmp_path / f"{case['id']}.yaml").write_text(yaml.safe_dump(case))
    stated = {"id": "two", "preset": "quick", "cases": [f"{case['id']}.yaml" for case in cases]}
    stated["split"] = {"train": [names[0], "its-neighbour"], "validation": [names[1]], "test": [names[2]]}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(stated))
    with pytest.raises(InputError, match="of one event"):
        leave_one_out(tmp_path / "two.yaml", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_skill_under_cloud(world: World, left_out: Path) -> None:
    ensemble = left_out.parent.parent / f"small-leave-one-out-{world.cases[0].stem}" / "all" / "ensemble"
    folder = ablate_clouds(ensemble, world.folder, world.folder.parent / "store", rates=(0.0, 0.85))
    clear, cloudy = json.loads((folder / "clouds.json").read_text())
    assert (clear["cloudiness"], cloudy["cloudiness"]) == (0.0, 0.85)
    assert cloudy["observed"] < clear["observed"]
    assert cloudy["recall_all"] <= clear["recall_all"]
    assert (folder / "clouds.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="no simulated world"):
        ablate_clouds(ensemble, left_out, world.folder.parent / "store")


def test_polarisations_are_trained_and_compared(world: World, experiment: Path) -> None:
    folder = ablate_polarisation(experiment, world.folder.parent / "store")
    answer = json.loads((folder / "answer.json").read_text())
    assert list(answer) == ["vv", "vh", "both"]
    for name, option in answer.items():
        info = Ensemble.open(folder.parent / name / "ensemble").info
        assert all(band.startswith(("vv", "vh", "ratio") if name == "both" else name) for band in info.bands)
        assert list(option["events"]) == [world.cases[-1].stem]
    assert (folder / "answer.png").stat().st_size > 10_000


def test_a_case_is_taken_in_one_orbit_direction(world: World) -> None:
    case = load_case(world.cases[0])
    assert _with_direction(case, "ascending").source.sentinel1.direction == "ascending"
    assert _with_direction(case, None) == case
    files = Case.model_validate({
        "id": "own", "event_date": "2020-01-01", "aoi": [0, 0, 0.1, 0.1], "pre": {"days": 5}, "post": {"days": 5},
        "source": {"kind": "files", "bands": {"vv_change": "vv.tif"}},
    })  # fmt: skip
    with pytest.raises(InputError, match=r"case own: its files source"):
        _with_direction(files, "ascending")
