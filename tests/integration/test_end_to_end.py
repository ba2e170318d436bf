"""From a simulated world to a map, through the flows, at the smallest size that still means something."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import yaml

from flows.cli.demo import scenes_to_maps
from flows.cli.output import show_scores
from flows.map_event import map_event
from landslide.artifacts.store import MANIFEST
from landslide.cases.case import Case, load_case
from landslide.datasets.stack import SEEN
from landslide.errors import BandError, LandslideError
from landslide.evaluation.results import EvaluationReport
from landslide.mapping.summary import MapSummary
from landslide.simulation.world import World, simulate_world

pytestmark = pytest.mark.slow
PRODUCTS = {"probability.tif", "landslides.gpkg", "item.json", "quicklook.png", "report.html", "summary.json"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return simulate_world(tmp_path_factory.mktemp("end") / "world", events=3, size=128, seed=3)


@pytest.fixture(scope="module")
def mapped(world: World) -> dict[str, Path]:
    """The folders of results and of the test event's map."""
    settings = yaml.safe_load(world.experiment.read_text())
    settings |= {"architectures": ["Linknet"], "losses": ["dice"], "epochs": 3, "samples_per_epoch": 96}
    experiment = world.folder.parent / "world" / "small.yaml"
    experiment.write_text(yaml.safe_dump(settings))
    event = load_case(world.cases[-1])
    return scenes_to_maps(experiment, [event], world.folder.parent / "store", world.folder.parent / "maps")


def test_the_map_has_all_its_products(world: World, mapped: dict[str, Path]) -> None:
    event = load_case(world.cases[-1])
    out = mapped[event.id]
    assert {path.name for path in out.iterdir()} == PRODUCTS
    with rasterio.open(out / "probability.tif") as file:
        assert file.descriptions == ("probability", "spread", "mutual_information")
        assert file.overviews(1) or max(file.shape) <= 512
        probability = file.read(1)
    finite = probability[np.isfinite(probability)]
    assert 0 <= finite.min() <= finite.max() <= 1
    outlines = geopandas.read_file(out / "landslides.gpkg", layer="landslides")
    assert outlines.geometry.is_valid.all()
    summary = MapSummary.model_validate_json((out / "summary.json").read_text())
    assert summary.landslides == len(outlines)
    assert summary.share_observed == pytest.approx(np.isfinite(probability).mean(), abs=1e-6)


def test_the_scores_stand_beside_their_baselines(mapped: dict[str, Path]) -> None:
    report = EvaluationReport.read(mapped["results"])
    assert report.pooled.f1 > 0.1, "a few steps already see something"
    assert 0 < report.baseline_dndvi.pooled.f1 < 0.9
    assert report.median_member_f1 == report.members[0].pooled.f1
    orbits = {"radar ascending", "radar descending"}
    known = {"slope", "sun", "cover", "distance to water", *(f"looks of {name}" for name in SEEN)}
    assert set(report.slices) - orbits == known
    assert {"forest", "clear-cut"} <= set(report.slices["cover"])
    assert sum(part.fp for part in report.slices["cover"].values()) == report.pooled.fp


def test_scores_say_how_far_to_believe_them(mapped: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    report = EvaluationReport.read(mapped["results"])
    show_scores({"all": mapped["results"]}, as_json=True)
    (row,) = json.loads(capsys.readouterr().out)["results"]
    low, high = (float(bound) for bound in row["F1, 95 % over landslides"].split(" to "))
    assert low <= report.pooled.f1 <= high
    found, there = (int(number) for number in row["landslides found, half mapped"].split(" of "))
    assert 0 <= found <= there == sum(size.landslides for size in report.objects[1].sizes)


def test_a_second_run_builds_nothing(world: World, mapped: dict[str, Path]) -> None:
    store = world.folder.parent / "store"
    before = {path: path.stat().st_mtime_ns for path in store.glob(f"*/[!.]*/{MANIFEST}")}
    event = load_case(world.cases[-1])
    scenes_to_maps(world.folder / "small.yaml", [event], store, world.folder.parent / "maps")
    assert {path: path.stat().st_mtime_ns for path in store.glob(f"*/[!.]*/{MANIFEST}")} == before


def changed(world: World, **values: object) -> Case:
    case = load_case(world.cases[-1]).model_dump(mode="json")
    return Case.model_validate({**case, **values})


def test_an_event_without_an_inventory_is_mapped(world: World, mapped: dict[str, Path], tmp_path: Path) -> None:
    out = map_event(
        changed(world, inventory=None, role="map"), mapped["results"] / "ensemble", tmp_path / "out", tmp_path / "store"
    )
    assert {path.name for path in out.iterdir()} == PRODUCTS


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"aoi": [-30.0, 40.0, -29.98, 40.02], "inventory": None}, "juniper-range|willow|amber|copper|thunder|saffron"),
        ({"event_date": "1999-01-01", "inventory": None}, "window|1998|1999"),
    ],
)
def test_a_case_at_sea_or_in_another_time_is_refused_by_name(
    world: World, mapped: dict[str, Path], tmp_path: Path, values: dict[str, object], words: str
) -> None:
    with pytest.raises(LandslideError, match=words):
        map_event(changed(world, **values), mapped["results"] / "ensemble", tmp_path / "out", tmp_path / "store")
    assert not (tmp_path / "out").exists()


def test_a_one_pixel_area_is_mapped_as_one_pixel(world: World, mapped: dict[str, Path], tmp_path: Path) -> None:
    west, south, east, north = load_case(world.cases[-1]).aoi  # type: ignore[misc]
    x, y = (west + east) / 2, (south + north) / 2
    case = changed(world, aoi=[x, y, x + 1e-5, y + 1e-5], inventory=None)
    out = map_event(case, mapped["results"] / "ensemble", tmp_path / "out", tmp_path / "store")
    summary = MapSummary.model_validate_json((out / "summary.json").read_text())
    assert summary.observed_m2 in (0, pytest.approx(100, rel=0.01))


def test_missing_bands_are_named(world: World, mapped: dict[str, Path], tmp_path: Path) -> None:
    source = load_case(world.cases[-1]).source.model_dump(mode="json") | {"sentinel1": None}
    with pytest.raises(BandError, match="vv_pre"):
        map_event(
            changed(world, source=source, inventory=None),
            mapped["results"] / "ensemble",
            tmp_path / "out",
            tmp_path / "store",
        )
