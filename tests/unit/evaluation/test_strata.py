"""The slices of a case: those that its data allow, and every pixel in one of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from landslide.cases.case import Window, load_case
from landslide.datasets.layers import COVER_FILE, LAYER_FILE, Layer
from landslide.datasets.stack import Stack
from landslide.evaluation.strata import slices_of
from landslide.metrics.pixel import Counts, total
from landslide.metrics.strata import Slices, counts_by_slice
from landslide.simulation.world import simulate_world
from landslide.sources.base import Scene
from tests.helpers.stacks import prepared, toy_case, toy_stack, write_raster, write_stack

SHADE = "in its own shadow"
LOOKS = {f"looks of {sensor}_{side}" for sensor in ("s1", "s2") for side in ("pre", "post")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strata")


@pytest.fixture(scope="module")
def simulated(folder: Path) -> Stack:
    world = simulate_world(folder / "world", events=3, size=96, seed=3)
    return prepared(load_case(world.cases[1]), folder / "store")


@pytest.fixture
def toy(tmp_path: Path) -> Stack:
    return toy_stack(tmp_path / "toy", size=32)


def changed(stack: Stack, **info: Any) -> Stack:
    return Stack(stack.folder, stack.info.model_copy(update=info))


def with_case(stack: Stack, **case: Any) -> Stack:
    return changed(stack, case=stack.info.case.model_copy(update=case))


def with_cover(stack: Stack, cover: np.ndarray, names: dict[int, str]) -> Stack:
    mask = Layer.open(stack.layer_folder("mask"))
    grid = mask.info.parts["scene"].grid.geobox
    write_raster(mask.folder / f"scene.{COVER_FILE}", grid, ["cover"], cover[None].astype("uint8"), 255)
    described = mask.info.model_copy(update={"cover_names": names})
    (mask.folder / LAYER_FILE).write_text(described.model_dump_json())
    return Stack.open(stack.folder)


def sliced(stack: Stack) -> dict[str, Slices]:
    with stack.reader("scene") as reader:
        return slices_of(stack, "scene", reader)


def radar(orbit: str, *sides: str, sensor: str = "sentinel-1") -> list[Scene]:
    return [Scene(id="a", sensor=sensor, side=side, orbit=orbit) for side in sides]


def share(slices: Slices, label: str) -> float:
    return float(dict(slices)[label].mean())


@pytest.mark.slow
def test_a_simulated_case_is_sliced_by_everything_and_every_slice_parts_it(simulated: Stack) -> None:
    found = sliced(simulated)
    assert set(found) == LOOKS | {
        "slope", "cover", "distance to water", "sun", "radar ascending", "radar descending"
    }  # fmt: skip
    truth = simulated.label("scene") == 1
    every = np.ones(truth.shape, bool)
    for name, slices in found.items():
        assert len({label for label, _ in slices}) == len(slices), name
        assert (np.sum([mask for _, mask in slices], axis=0) == 1).all(), name
        counts = counts_by_slice(slices, ~truth, truth, every)
        assert total(list(counts.values())) == Counts.of(~truth, truth, every), name


@pytest.mark.slow
def test_confounders_come_out_as_slices_of_cover(folder: Path, simulated: Stack) -> None:
    truth, kinds = simulated.label("scene") == 1, dict(sliced(simulated)["cover"])
    false = counts_by_slice(list(kinds.items()), ~truth, truth, np.ones(truth.shape, bool))
    record = json.loads((folder / "world" / "world.json").read_text())
    pixels = record["events"][simulated.info.case.id]["pixels"]
    for name, kind in (("clear-cut", "clear_cut"), ("harvest", "harvest"), ("flood bank", "flood"), ("snow", "snow")):
        assert false[name].fp + false[name].fn == pytest.approx(pixels[kind], abs=4)
    assert false["harvest"].fp > 100
    hit = sum(false[name].fn for name in ("forest", "grass", "field", "rock", "water"))
    assert hit > 0.95 * truth.sum(), "landslides keep the cover that they hit"
    with simulated.reader("scene") as reader:
        change = reader.read(["dndvi_median"])[0]
    assert np.nanmedian(change[kinds["harvest"]]) < np.nanmedian(change[kinds["forest"] & ~truth]) - 0.1


@pytest.mark.slow
def test_orbits_see_opposite_slopes(simulated: Stack) -> None:
    found = sliced(simulated)
    ascending, descending = (dict(found[f"radar {name}"]) for name in ("ascending", "descending"))
    with simulated.reader("scene") as reader:
        eastness = reader.read(["eastness"])[0]
    assert np.nanmean(eastness[ascending["facing the radar"]]) < -0.5, "an ascending orbit looks from the west"
    assert np.nanmean(eastness[descending["facing the radar"]]) > 0.5
    assert (ascending["facing the radar"] & descending["facing away from the radar"]).sum() > 500
    np.testing.assert_array_equal(ascending["unknown"], np.isnan(eastness))


def test_without_cover_orbits_and_date_only_what_is_known(toy: Stack) -> None:
    assert set(sliced(toy)) == LOOKS | {"slope", "sun"}
    undated = with_case(toy, event_date=None)
    assert set(sliced(undated)) == LOOKS | {"slope"}
    assert set(sliced(with_case(toy, aoi=None))) == LOOKS | {"slope"}
    dated = with_case(undated, post=Window(start="2020-06-02", end="2020-06-20"))
    assert "sun" in sliced(dated)


def test_without_aspect_neither_sun_nor_radar(tmp_path: Path) -> None:
    stack = toy_stack(tmp_path / "flat", size=32, bands=("vv_change", "slope", "northness"))
    assert set(sliced(changed(stack, scenes=radar("ascending-1", "pre", "post")))) == LOOKS | {"slope"}
    bare = toy_stack(tmp_path / "bare", size=32, bands=("vv_change",))
    assert set(sliced(bare)) == LOOKS


@pytest.mark.parametrize(
    ("scenes", "expected"),
    [
        (radar("ascending-44", "pre", "post"), {"radar ascending"}),
        (radar("DESCENDING-7", "pre", "post"), {"radar descending"}),
        ([*radar("ascending-44", "pre", "post"), *radar("descending-7", "pre")], {"radar ascending"}),
        ([*radar("ascending-44", "pre"), *radar("ascending-45", "post")], set()),
        (radar("track 44", "pre", "post"), set()),
        (radar("", "pre", "post"), set()),
        (radar("ascending-44", "pre", "post", sensor="sentinel-2"), set()),
    ],
)
def test_radar_slices_are_of_directions_that_gave_a_change(toy: Stack, scenes: list[Scene], expected: set[str]) -> None:
    assert {name for name in sliced(changed(toy, scenes=scenes)) if name.startswith("radar")} == expected


def test_the_sun_stands_where_it_does_in_the_middle_of_the_post_window(toy: Stack, tmp_path: Path) -> None:
    aspect = np.tile(np.linspace(0, 2 * np.pi, 32, endpoint=False), (32, 1))
    bands = np.stack([np.full((32, 32), 30.0), np.cos(aspect), np.sin(aspect)]).astype("float32")
    with toy.reader("scene") as reader:
        planes = dict(zip(("slope", "northness", "eastness"), bands, strict=True))
        terrain = write_stack(tmp_path / "terrain", toy_case("terrain"), {"scene": (reader.geobox, planes)})

    def away(latitude: float, first: str, last: str) -> np.ndarray:
        post = Window(start=first, end=last)
        slices = dict(sliced(with_case(terrain, aoi=(9.0, latitude, 9.02, latitude + 0.02), post=post))["sun"])
        return slices["turned away from the sun"] | slices[SHADE]

    north, south = (away(latitude, "2020-09-10", "2020-09-30") for latitude in (45.0, -45.0))
    assert bands[1][north].mean() > 0.3, "the sun stands in the south-east"
    assert bands[1][south].mean() < -0.3, "the sun stands in the north-east"
    assert max(bands[2][north].mean(), bands[2][south].mean()) < -0.1, "it is morning"
    shaded = [
        share(sliced(with_case(terrain, post=Window(start=f"2020-{month}-01", end=f"2020-{month}-30")))["sun"], SHADE)
        for month in ("06", "12")
    ]
    assert shaded[0] == 0 < shaded[1], "the days of the post window count"


def test_cover_by_name_and_how_far_water_is(toy: Stack) -> None:
    cover = np.full((32, 32), 1)
    cover[:, 0], cover[0, 20:], cover[31, :], cover[30, :] = 4, 255, 9, 3
    found = sliced(with_cover(toy, cover, {1: "forest", 2: "swamp", 3: "forest", 4: "Water"}))
    masks = dict(found["cover"])
    assert list(masks) == ["forest", "swamp", "Water", "class 9", "unknown"]
    np.testing.assert_array_equal(masks["forest"], (cover == 1) | (cover == 3))
    np.testing.assert_array_equal(masks["unknown"], cover == 255)
    far = dict(found["distance to water"])
    assert far["< 100 m"][5].tolist() == [True] * 10 + [False] * 22
    np.testing.assert_array_equal(far["unknown"], cover == 255)


def test_without_a_class_called_water_its_distance_is_not_told(toy: Stack) -> None:
    assert "distance to water" not in sliced(with_cover(toy, np.ones((32, 32)), {1: "forest"}))


def test_a_class_called_unknown_is_unknown(toy: Stack) -> None:
    cover = np.ones((32, 32))
    cover[0], cover[1] = 0, 255
    slices = sliced(with_cover(toy, cover, {0: "unknown", 1: "forest"}))["cover"]
    assert [label for label, _ in slices] == ["forest", "unknown"]
    assert share(slices, "unknown") == 2 / 32
