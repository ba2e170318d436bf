"""Layers through the flows: what is exported anew after a change, what is shared, and what a missing layer means."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.evaluate_ensemble import evaluate_ensemble
from flows.map_event import map_event
from flows.prepare_cases import prepare_cases, summary
from landslide.artifacts.store import MANIFEST, ArtifactStore
from landslide.bands import BAND_SETS
from landslide.cases.case import Case, load_case
from landslide.datasets.stack import Stack
from landslide.errors import BandError
from landslide.mapping.summary import MapSummary
from landslide.simulation.earthengine import Loopback, serve
from landslide.simulation.world import World, simulate_world
from landslide.sources.earthengine import session
from landslide.sources.stac.source import Stac
from tests.helpers.mapping_case import write_ensemble

pytestmark = pytest.mark.slow
RADAR = "sentinel-1-rtc"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return simulate_world(tmp_path / "world", events=3, size=64, seed=3)


def case_of(world: World, **changes: Any) -> Case:
    """The world's first case, without an inventory and land cover unless they are given back."""
    case = load_case(world.cases[0])
    return Case.model_validate(case.model_dump(mode="json") | {"inventory": None, "cover": None} | changes)


def with_radar(case: Case, **changes: Any) -> Case:
    source = case.source.model_dump(mode="json")
    return Case.model_validate(case.model_dump(mode="json") | {"source": source | changes})


def built(store: Path) -> Counter[str]:
    """How many artifacts of each stage there are."""
    return Counter(manifest.parent.parent.name for manifest in store.glob(f"*/[!.]*/{MANIFEST}"))


def remove_radar(world: World, keep: Any) -> None:
    """Take the radar scenes out of the catalogue that are not to be kept, by their name."""
    file = world.folder / RADAR / "collection.json"
    collection = json.loads(file.read_text())
    links = collection["links"]
    collection["links"] = [link for link in links if link["rel"] != "item" or keep(Path(link["href"]).stem)]
    file.write_text(json.dumps(collection))


def test_another_cloud_mask_exports_sentinel2_alone(world: World, tmp_path: Path) -> None:
    store, case = tmp_path / "store", case_of(world)
    prepare_cases([case], store)
    assert built(store) == {
        "scenes": 1, "export-sentinel1": 1, "export-sentinel2": 1, "export-terrain": 1, "export-mask": 1, "stack": 1,
    }  # fmt: skip
    sentinel2 = case.source.sentinel2.model_dump() | {"cloud_dilation": 9}  # type: ignore[union-attr]
    before = built(store)
    prepare_cases([with_radar(case, sentinel2=sentinel2)], store)
    assert built(store) - before == {"scenes": 1, "export-sentinel2": 1, "stack": 1}


def test_one_more_radar_scene_exports_sentinel1_alone(world: World, tmp_path: Path) -> None:
    store, case = tmp_path / "store", case_of(world)
    file = world.folder / RADAR / "collection.json"
    whole = file.read_text()
    late = next(name for name in sorted(path.stem for path in (world.folder / RADAR).rglob(f"*{case.id}.json"))[::-1])
    remove_radar(world, lambda name: name != late)
    prepare_cases([case], store)
    before = built(store)
    file.write_text(whole)
    prepare_cases([case], store)
    assert built(store) - before == {"scenes": 1, "export-sentinel1": 1, "stack": 1}


def test_two_cases_on_one_area_share_their_terrain(world: World, tmp_path: Path) -> None:
    store, case = tmp_path / "store", case_of(world)
    other = case_of(world, id="other", title="Another event", post={"days": 30})
    stacks = prepare_cases([case, other], store)
    assert built(store)["export-terrain"] == 1
    opened = [Stack.open(ArtifactStore(store).path(stack)) for stack in stacks.values()]
    assert opened[0].info.layers["terrain"] == opened[1].info.layers["terrain"]
    assert opened[0].info.layers["sentinel2"] != opened[1].info.layers["sentinel2"]


def test_a_stack_copies_no_pixel(world: World, tmp_path: Path) -> None:
    store = tmp_path / "store"
    prepare_cases([case_of(world)], store)
    assert {path.name for path in store.glob("stack/[!.]*/*")} == {"stack.json", MANIFEST}


def test_a_source_is_asked_once_a_run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The case of a map was prepared before, in the same run or not: one run asks once."""
    asked: list[str] = []
    find = Stac.find_scenes

    def counted(self: Stac) -> Any:
        found = find(self)
        asked.append(found.case)
        return found

    monkeypatch.setattr(Stac, "find_scenes", counted)
    ensemble = write_ensemble(tmp_path / "any" / "s2" / "ensemble", BAND_SETS["s2"])
    case = load_case(world.cases[0])
    evaluate_ensemble(ensemble.folder, [case], tmp_path / "store")
    assert asked == [case.id]
    map_event(case, ensemble.folder, tmp_path / "out", tmp_path / "store")
    assert asked == [case.id] * 2, "another run asks again"


@pytest.fixture
def service(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with serve(world.folder) as loopback:
        monkeypatch.setenv(session.URL, loopback.url)
        monkeypatch.delenv(session.KEY_FILE, raising=False)
        monkeypatch.setattr(session, "_current", None)
        yield loopback
        monkeypatch.setattr(session, "_current", None)


def test_with_earth_engine_another_cloud_mask_asks_for_sentinel2_alone(
    world: World, service: Loopback, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    case = case_of(world, source={"kind": "earthengine"})
    prepare_cases([case], store)
    tiles, before = len(service.record.tiles()), built(store)
    changed = case_of(world, source={"kind": "earthengine", "sentinel2": {"clear_above": 0.7}})
    prepare_cases([changed], store)
    assert built(store) - before == {"scenes": 1, "export-sentinel2": 1, "stack": 1}
    assert len(service.record.tiles()) - tiles == 1, "one small layer is one tile"


@pytest.fixture
def without_radar(world: World) -> Case:
    """A case whose post window holds no radar pass yet."""
    event = load_case(world.cases[0]).event_date
    assert event is not None
    remove_radar(world, lambda name: name.split("_")[3] < f"{event:%Y%m%d}")
    return case_of(world)


def test_a_case_whose_radar_is_not_there_yet_is_prepared_and_mapped(
    world: World, without_radar: Case, tmp_path: Path
) -> None:
    store, experiment = tmp_path / "store", tmp_path / "experiment"
    stacks = prepare_cases([without_radar], store)
    stack = Stack.open(ArtifactStore(store).path(stacks[without_radar.id]))
    assert set(stack.info.layers) == {"sentinel2", "terrain", "mask"}
    assert "no usable Sentinel-1 scene" in stack.info.missing["sentinel1"]
    rows = summary(stacks, ArtifactStore(store))
    assert [row["layer"] for row in rows] == ["sentinel2", "terrain", "mask", "sentinel1"]
    assert rows[-1]["missing"] == stack.info.missing["sentinel1"]

    optical = write_ensemble(experiment / "s2" / "ensemble", BAND_SETS["s2"], name="own-s2", band_set="s2")
    everything = write_ensemble(experiment / "all" / "ensemble", BAND_SETS["all"], name="own-all", band_set="all")
    out = map_event(without_radar, optical.folder, tmp_path / "map", store)
    summed = MapSummary.model_validate_json((out / "summary.json").read_text())
    assert summed.share_observed > 0.5
    assert summed.seen["s1_post"] is None, "of a layer that is missing nothing is known"

    with pytest.raises(BandError) as refused:
        map_event(without_radar, everything.folder, tmp_path / "refused", store)
    sentence = str(refused.value)
    assert "its layer sentinel1 is missing" in sentence
    assert "no usable Sentinel-1 scene" in sentence
    assert str(optical.folder) in sentence, "what would do is named"
    assert not (tmp_path / "refused").exists()
