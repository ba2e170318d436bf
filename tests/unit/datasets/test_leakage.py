"""The leakage audit: copies are found wherever they lie, and nothing else is taken for one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from scipy.ndimage import gaussian_filter

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import MANIFEST, ArtifactStore
from landslide.cases.case import Case
from landslide.datasets import leakage
from landslide.datasets.leakage import AUDIT_FILE, SQUARE, Audit, AuditCases, audit, refuse_duplicates, square_hashes
from landslide.datasets.stack import Stack
from landslide.errors import BandError, InputError
from landslide.experiment import Experiment, load_experiment
from landslide.geo.grid import distance_km
from tests.helpers.stacks import prepared, write_stack

BANDS = ("dndvi_median", "slope", "vv_change")
STACK = Artifact(stage="stack", key="key")
Values = NDArray[np.float32]


def scene(seed: int, size: int = 40, bands: int = len(BANDS)) -> Values:
    return np.random.default_rng(seed).normal(size=(bands, size, size)).astype("float32")


def chips(folder: Path, name: str, *parts: Values, bands: tuple[str, ...] = BANDS) -> Stack:
    """A case of these parts, without a place."""
    case = Case.model_validate({"id": name, "source": {"kind": "archive", "format": "paper", "folder": "."}})
    grids = [GeoBox(values.shape[1:], Affine.identity(), None) for values in parts]
    described = {
        str(index): (grid, dict(zip(bands, values, strict=True)))
        for index, (grid, values) in enumerate(zip(grids, parts, strict=True))
    }
    return write_stack(folder / name, case, described)


def audited(folder: Path, bands: tuple[str, ...] = BANDS, **stacks: list[Stack]) -> Audit:
    folder.mkdir(parents=True, exist_ok=True)
    audit(bands, stacks, folder)
    return Audit.model_validate_json((folder / AUDIT_FILE).read_text())


@given(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(0, 9), st.integers(0, 7))
def test_a_copy_has_the_same_squares_at_any_offset_turned_or_flipped(
    seed: int, row: int, column: int, symmetry: int
) -> None:
    copy, whole = scene(seed, 9), scene(seed + 1, 18)
    turned = np.rot90(copy[:, :: 1 if symmetry < 4 else -1], symmetry, axes=(1, 2))
    whole[:, row : row + 9, column : column + 9] = turned
    shared = np.isin(square_hashes(whole), square_hashes(copy))
    assert shared.sum() == (9 - SQUARE + 1) ** 2


@given(st.integers(0, 2**32 - 1), st.integers(0, 2), st.integers(0, 10), st.integers(0, 10))
def test_one_bit_of_one_band_makes_other_squares_of_those_that_hold_it(
    seed: int, band: int, row: int, column: int
) -> None:
    values = scene(seed, 11)
    other = values.copy()
    other[band, row, column] = np.nextafter(values[band, row, column], np.float32(9))
    first = [max(place - SQUARE + 1, 0) for place in (row, column)]
    last = [min(place, 11 - SQUARE) for place in (row, column)]
    touched = (last[0] - first[0] + 1) * (last[1] - first[1] + 1)
    assert (square_hashes(values) != square_hashes(other)).sum() == touched


@given(st.integers(0, 2**32 - 1), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_square_counts_where_every_band_is_observed(seed: int, missing: float) -> None:
    values = scene(seed, 12)
    holed = values.copy()
    holed[1, 6, 6] = missing
    assert len(square_hashes(holed)) == len(square_hashes(values)) - SQUARE**2
    assert np.isin(square_hashes(holed), square_hashes(values)).all()
    holed[:] = missing
    assert square_hashes(holed).size == 0


def test_a_zero_has_no_sign_and_a_band_has_its_place() -> None:
    values = scene(0, 6)
    zeros = np.where(values > 0.5, values, np.float32(0))
    assert square_hashes(zeros).size == 4
    assert np.array_equal(square_hashes(zeros), square_hashes(np.where(zeros == 0, -zeros, zeros)))
    assert not np.isin(square_hashes(values), square_hashes(values[::-1])).any()


@pytest.mark.parametrize("shape", [(1, 9), (4, 4), (9, 3), (0, 7)])
def test_what_is_narrower_than_a_square_has_none(shape: tuple[int, int]) -> None:
    assert square_hashes(np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")).size == 0


def test_a_chip_that_is_published_twice_is_found_and_named(tmp_path: Path) -> None:
    held, other = scene(1), scene(2)
    held[:, 5:25, 8:38] = other[:, 20:40, 0:30]
    train = chips(tmp_path, "t", scene(3), scene(4), other)
    validation = chips(tmp_path, "v", scene(5), held)
    found = audited(tmp_path / "out", train=[train], validation=[validation], test=[chips(tmp_path, "new", scene(6))])
    squares = (20 - SQUARE + 1) * (30 - SQUARE + 1)
    by_case = {(pair.case, pair.other): pair for pair in found.pairs}
    assert {pair: one.repeated for pair, one in by_case.items()} == {
        ("v", "t"): squares, ("new", "t"): 0, ("new", "v"): 0,
    }  # fmt: skip
    pair = by_case["v", "t"]
    assert pair.share == squares / (2 * (40 - SQUARE + 1) ** 2)
    assert [one.model_dump() for one in pair.parts] == [{"part": "1", "other": "2", "repeated": squares}]
    assert [case.repeated for case in found.cases] == [None, squares, 0]
    with pytest.raises(InputError, match=r"case v \(validation\).*16\.0%.*case t \(train\).*1 with 2.*audit\.json"):
        refuse_duplicates(tmp_path / "out")


def test_other_events_are_no_copies(tmp_path: Path) -> None:
    train, validation = chips(tmp_path, "t", scene(1), scene(2)), chips(tmp_path, "v", scene(3))
    found = audited(tmp_path / "out", train=[train], validation=[validation])
    assert refuse_duplicates(tmp_path / "out") == found
    assert found.summary() == (
        "2 cases, 1 pairs across roles; no distance known; no dates known; at most 0.00% of a case's pixels repeated "
        "(v, 1,296 compared)"
    )


def test_few_levels_are_no_copies(tmp_path: Path) -> None:
    """Of pictures of 8 bits, single colours recur everywhere, and here half of the colours of one are in the other."""

    def picture(seed: int) -> Values:
        smooth = gaussian_filter(scene(seed, 128).astype("float64"), (0, 1.5, 1.5))
        return np.round(100 + 60 * smooth).astype("float32")

    one, other = picture(1), picture(2)
    colours = [np.unique(values.reshape(3, -1), axis=1) for values in (one, other)]
    shared = {*map(tuple, colours[0].T)} & {*map(tuple, colours[1].T)}
    assert len(shared) > 0.1 * colours[1].shape[1]
    found = audited(tmp_path / "out", train=[chips(tmp_path, "t", one)], validation=[chips(tmp_path, "v", other)])
    assert found.pairs[0].repeated == 0


def test_padding_is_not_compared(tmp_path: Path) -> None:
    one, other = scene(1, 64), scene(2, 64)
    for values in (one, other):
        values[:, :40], values[:, 40:50, :20] = 0, -9999
    found = audited(tmp_path / "out", train=[chips(tmp_path, "t", one)], validation=[chips(tmp_path, "v", other)])
    assert found.pairs[0].repeated == 0
    assert 10 * 40 < found.cases[0].squares < 20 * 64
    refuse_duplicates(tmp_path / "out")


def test_a_pattern_of_padding_weighs_little(tmp_path: Path) -> None:
    """Fill that is not flat: every pixel of a chessboard differs from its neighbours."""
    one, other = scene(1, 64), scene(2, 64)
    for values in (one, other):
        values[:, :50] = np.indices((50, 64)).sum(axis=0) % 2
    found = audited(tmp_path / "out", train=[chips(tmp_path, "t", one)], validation=[chips(tmp_path, "v", other)])
    assert found.pairs[0].repeated == 2
    refuse_duplicates(tmp_path / "out")


def test_few_levels_of_one_band_are_not_compared() -> None:
    smooth = gaussian_filter(np.random.default_rng(0).normal(size=(1, 64, 64)), (0, 3, 3))
    assert square_hashes(np.round(8 * smooth).astype("float32")).size < 200


def test_less_than_ten_squares_say_nothing(tmp_path: Path) -> None:
    one, other = scene(1, 12), scene(2, 12)
    other[:, :7, :7] = one[:, :7, :7]
    stacks = {"train": [chips(tmp_path, "t", one)], "validation": [chips(tmp_path, "v", other)]}
    found = audited(tmp_path / "out", **stacks)
    assert (found.cases[1].repeated, found.cases[1].share > 0.1) == (9, True)
    refuse_duplicates(tmp_path / "out")


def test_a_little_from_each_of_many_cases_is_too_much(tmp_path: Path) -> None:
    held, train = scene(0, 80), []
    for index in range(6):
        teacher = scene(index + 1)
        teacher[:, :10, :10] = held[:, 12 * index : 12 * index + 10, :10]
        train.append(chips(tmp_path, f"t{index}", teacher))
    found = audited(tmp_path / "out", train=train, validation=[chips(tmp_path, "v", held)])
    assert all(0 < (pair.share or 0) < leakage.MAX_SHARE for pair in found.pairs)
    with pytest.raises(InputError, match=r"3\.7% of its pixels in common"):
        refuse_duplicates(tmp_path / "out")


def test_a_test_case_is_held_against_validation_too(tmp_path: Path) -> None:
    copied = scene(1)
    stacks = {
        "train": [chips(tmp_path, "t", scene(2))],
        "validation": [chips(tmp_path, "v", copied)],
        "test": [chips(tmp_path, "e", copied), chips(tmp_path, "f", copied)],
    }
    found = audited(tmp_path / "out", **stacks)
    assert [case.share for case in found.cases] == [0, 0, 1, 1]
    with pytest.raises(InputError, match=r"case e \(test\) .* v \(validation\).*So do 1 other"):
        refuse_duplicates(tmp_path / "out")


def test_copies_within_a_role_are_no_leakage(tmp_path: Path) -> None:
    train = [chips(tmp_path, "a", scene(1)), chips(tmp_path, "b", scene(1))]
    audited(tmp_path / "out", train=train, validation=[chips(tmp_path, "v", scene(2))])
    refuse_duplicates(tmp_path / "out")


@pytest.mark.slow
@settings(max_examples=8)
@given(st.permutations(BANDS), st.permutations(range(4)))
def test_no_order_changes_the_audit(shuffled: dict[str, Any], bands: list[str], order: list[int]) -> None:
    stacks = {
        "validation": [shuffled["validation"][index] for index in order if index < 2],
        "train": [shuffled["train"][index] for index in order],
    }
    folder = shuffled["folder"]
    audit(bands, stacks, folder)
    assert (folder / AUDIT_FILE).read_text() == shuffled["json"]
    keys = {role: {stack.info.case.id: STACK for stack in group} for role, group in stacks.items()}
    assert AuditCases(bands=bands, stacks=keys).key == shuffled["key"]


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("shuffled")
    train = [chips(folder, f"t{index}", scene(index), scene(index + 50)) for index in range(4)]
    validation = [chips(folder, f"v{index}", scene(index + 2), scene(index + 90)) for index in range(2)]
    audit(BANDS, {"train": train, "validation": validation}, folder)
    keys = {"train": {f"t{index}": STACK for index in range(4)}, "validation": {"v0": STACK, "v1": STACK}}
    return {
        "folder": folder, "train": train, "validation": validation, "json": (folder / AUDIT_FILE).read_text(),
        "key": AuditCases(bands=BANDS, stacks=keys).key,
    }  # fmt: skip


def test_a_sample_tells_the_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same squares are drawn from a large and a small case, in blocks or whole."""
    monkeypatch.setattr(leakage, "SAMPLE", 2**13)
    monkeypatch.setattr(leakage, "READ_SIDE", 100)
    large, small = scene(1, 340), scene(2, 100)
    small[:, :50] = large[:, 120:170, 37:137]
    found = audited(tmp_path / "out", train=[chips(tmp_path, "t", large)], validation=[chips(tmp_path, "v", small)])
    assert found.one_in == 16
    assert found.cases[1].sampled == pytest.approx(96**2 / 16, rel=0.2)
    assert found.pairs[0].share == pytest.approx(0.48, abs=0.1)


def test_a_case_without_an_observed_square_is_told(tmp_path: Path) -> None:
    blind = np.full((3, 20, 20), np.nan, "float32")
    found = audited(tmp_path / "out", train=[chips(tmp_path, "t", scene(1))], validation=[chips(tmp_path, "v", blind)])
    assert found.pairs[0].share is None
    assert found.summary().endswith("nothing to compare in ['v']")


def test_a_missing_band_is_named(tmp_path: Path) -> None:
    with pytest.raises(BandError, match="case t has no band"):
        audited(tmp_path / "out", ("vh_pre",), train=[chips(tmp_path, "t", scene(1))])


def test_real_chips_share_nothing_until_one_is_on_two_sides(tmp_path: Path, real_data: Path) -> None:
    names = {"train": ["1", "27", "40"], "validation": ["2", "28", "41"], "twice": ["72", "40"]}
    stacks = {name: _landslide4sense(real_data, name, parts, tmp_path) for name, parts in names.items()}
    bands = ("l4s_b2", "l4s_b3", "l4s_b4")
    found = audited(tmp_path / "out", bands, train=[stacks["train"]], validation=[stacks["validation"]])
    assert found.pairs[0].repeated == 0, "neighbours, but no pixel twice"
    found = audited(tmp_path / "out", bands, train=[stacks["train"]], validation=[stacks["twice"]])
    assert found.pairs[0].share == 0.5
    assert [(one.part, one.other) for one in found.pairs[0].parts] == [("40", "40")]


def _landslide4sense(data: Path, name: str, parts: list[str], out: Path) -> Stack:
    source = {"kind": "archive", "format": "landslide4sense", "folder": str(data / "landslide4sense"), "parts": parts}
    case = Case.model_validate({"id": name, "source": source})
    return prepared(case, out / name)


DAY, SOON = "2018-09-06", "2018-09-07"


def experiment(folder: Path, places: dict[str, tuple[float, str]], **changes: object) -> Path:
    """Cases on the equator by longitude and date: a train, b validation; a longitude takes 0.01°."""
    for (name, (longitude, day)), role in zip(places.items(), ("train", "validation"), strict=True):
        source = {"kind": "stac", "catalog": "catalog.json", "dem": {"collection": "dem"}}
        case = {"id": name, "event_date": day, "aoi": [longitude, 0.0, longitude + 0.01, 0.01], "source": source}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(case | {"role": role}))
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump({"id": "trial", "cases": [f"{name}.yaml" for name in places], **changes}))
    return path


def test_one_event_on_two_sides_of_the_split_is_refused(tmp_path: Path) -> None:
    path = experiment(tmp_path, {"a": (10.0, DAY), "b": (10.5, DAY)})
    words = rf"a \(train\) and b \(validation\) are of one event: both of {DAY} and 54\.5 km apart.*within_event: true"
    with pytest.raises(InputError, match=words):
        load_experiment(path)
    path.write_text(path.read_text() + "within_event: true\n")
    assert load_experiment(path)[0].within_event


@pytest.mark.parametrize(
    "places",
    [{"a": (10.0, DAY), "b": (10.5, SOON)}, {"a": (10.0, DAY), "b": (10.95, DAY)}],
    ids=["another day", "far away"],
)
def test_other_events_may_stand_on_two_sides(tmp_path: Path, places: dict[str, tuple[float, str]]) -> None:
    load_experiment(experiment(tmp_path, places))


def test_a_split_of_one_event_still_keeps_its_distance(tmp_path: Path) -> None:
    path = experiment(tmp_path, {"a": (10.0, DAY), "b": (10.02, DAY)}, within_event=True)
    with pytest.raises(InputError, match=r"1\.1 km apart, less than 5 km"):
        load_experiment(path)


@pytest.mark.parametrize("order", [1, -1])
def test_no_distance_goes_the_long_way_round(tmp_path: Path, order: int) -> None:
    places = [("a", (179.9, DAY)), ("b", (-179.9, DAY))]
    with pytest.raises(InputError, match=r"21\.2 km apart"):
        load_experiment(experiment(tmp_path, dict(places[::order])))


def test_archives_without_a_place_have_no_distance(tmp_path: Path) -> None:
    path = experiment(tmp_path, {"a": (10.0, DAY), "b": (10.5, DAY)})
    text = yaml.safe_load((tmp_path / "b.yaml").read_text())
    del text["aoi"]
    text["source"] = {"kind": "archive", "format": "landslide4sense", "folder": "."}
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(text))
    cases = load_experiment(path)[1]
    assert distance_km(cases["train"][0], cases["validation"][0]) is None


@pytest.fixture(scope="module")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server of this module's own."""
    from prefect.settings import PREFECT_HOME, PREFECT_SERVER_ANALYTICS_ENABLED, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    home = tmp_path_factory.mktemp("prefect")
    quiet = {PREFECT_HOME: home, PREFECT_SERVER_ANALYTICS_ENABLED: False}
    with temporary_settings(quiet), prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize("copied", [False, True])
def test_a_flow_audits_once_and_keeps_what_it_refuses(tmp_path: Path, copied: bool) -> None:
    from prefect import flow

    from flows.training.train_ensemble import refuse_leakage

    folder = tmp_path / "store"
    stacks = {"train": chips(folder / "stack", "t", scene(1)), "validation": chips(folder / "stack", "v", scene(2))}
    if copied:
        stacks["validation"] = chips(folder / "stack", "w", scene(1))
    by_role = {
        role: {stack.info.case.id: Artifact(stage="stack", key=stack.folder.name)} for role, stack in stacks.items()
    }
    trial = Experiment.model_validate({"id": "trial", "cases": ["case.yaml"], "band_sets": {"mine": list(BANDS)}})

    @flow
    def refuse() -> None:
        refuse_leakage(trial, by_role, ArtifactStore(folder))

    built = []
    for _ in range(2):
        if copied:
            with pytest.raises(InputError, match=r"case w \(validation\) has 100\.0%"):
                refuse()
        else:
            refuse()
        (manifest,) = folder.glob(f"audit/[!.]*/{MANIFEST}")
        built.append(manifest.stat().st_mtime_ns)
    assert built[0] == built[1]
    assert json.loads((manifest.parent / AUDIT_FILE).read_text())["pairs"][0]["share"] == float(copied)
