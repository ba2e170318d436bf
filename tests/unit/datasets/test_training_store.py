from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landslide.datasets.normalisation import Moments
from landslide.datasets.sampler import Sampler
from landslide.datasets.stack import Stack
from landslide.datasets.training_store import Tiles, tile
from landslide.errors import BandError, TrainingError
from tests.helpers.stacks import BANDS, toy_stack


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Stack]]:
    folder = tmp_path_factory.mktemp("stacks")
    return {
        "train": [toy_stack(folder / "a", "a", seed=1), toy_stack(folder / "b", "b", size=64, seed=2)],
        "validation": [toy_stack(folder / "c", "c", seed=3)],
    }


@pytest.fixture(scope="module")
def tiles(stacks: dict[str, list[Stack]], tmp_path_factory: pytest.TempPathFactory) -> Tiles:
    out = tmp_path_factory.mktemp("tiles")
    tile(BANDS, stacks, out)
    return Tiles(out)


def values_of(stack: Stack) -> np.ndarray:
    with stack.reader("scene") as reader:
        return reader.read(BANDS)


@given(st.lists(arrays("float32", st.integers(1, 30), elements=st.floats(-1e4, 1e4, width=32)), min_size=1, max_size=6))
def test_streamed_moments_equal_numpy(parts: list[np.ndarray]) -> None:
    moments = Moments()
    for part in parts:
        moments = moments.add(np.append(part, np.float32("nan")))
    whole = np.concatenate(parts).astype("float64")
    assert moments.count == whole.size
    assert np.isclose(moments.mean, whole.mean(), rtol=1e-9, atol=1e-9)
    assert np.isclose(moments.std, whole.std() or 1.0, rtol=1e-6, atol=1e-6)


def test_statistics_come_from_the_training_cases_alone(tiles: Tiles, stacks: dict[str, list[Stack]]) -> None:
    raw = {role: np.concatenate([values_of(stack)[0].ravel() for stack in group]) for role, group in stacks.items()}
    scale = tiles.normalisation(BANDS[:1])
    assert np.isclose(scale.mean[0], np.nanmean(raw["train"].astype("float64")))
    assert np.isclose(scale.std[0], np.nanstd(raw["train"].astype("float64")))
    assert not np.isclose(scale.mean[0], np.nanmean(raw["validation"]), atol=1e-6)


def test_directions_are_scaled_alike_and_not_moved(tiles: Tiles, stacks: dict[str, list[Stack]]) -> None:
    """Over the eight symmetries of all pictures their mean is 0 and their spread the same."""
    both = [BANDS.index("northness"), BANDS.index("eastness")]
    raw = np.concatenate([values_of(stack)[both].reshape(2, -1) for stack in stacks["train"]], axis=1)
    scale = tiles.normalisation(("northness", "eastness"))
    assert scale.mean == (0, 0)
    assert np.allclose(scale.std, np.sqrt(np.nanmean(raw.astype("float64") ** 2)), rtol=1e-5)


def test_the_store_holds_what_a_network_takes(tiles: Tiles, stacks: dict[str, list[Stack]]) -> None:
    scale = tiles.normalisation(BANDS)
    for role, group in stacks.items():
        kept = tiles.split(role)
        for index, stack in enumerate(group):
            raw = values_of(stack)
            values = kept.image(kept.values, index).transpose(2, 0, 1)
            assert np.array_equal(values, scale.apply(raw))
            assert (values[~np.isfinite(raw)] == 0).all()
            bits = kept.image(kept.seen, index)
            assert all(np.array_equal(bits >> i & 1 == 1, np.isfinite(plane)) for i, plane in enumerate(raw))
            assert np.array_equal(kept.image(kept.label, index), stack.label("scene"))


def test_truth_is_known_where_every_band_of_the_set_was_seen(tiles: Tiles, stacks: dict[str, list[Stack]]) -> None:
    group = tiles.split("train")
    raw, label = values_of(stacks["train"][0]), stacks["train"][0].label("scene")
    one, two = (group.image(group.truth(columns), 0) for columns in ([0], [0, 1]))
    assert np.array_equal(one, np.where(np.isfinite(raw[0]), label, 255))
    assert np.array_equal(two, np.where(np.isfinite(raw[:2]).all(axis=0), label, 255))


def test_crops_hold_landslides_and_stay_inside(tiles: Tiles) -> None:
    group = tiles.split("train")
    draws = Sampler(group, 32).draw(200, (1, 1))
    assert {*draws[:, 0]} == {0, 1}
    assert {*draws[:, 3]} == {*range(8)}
    for part, top, left, _ in draws:
        label = group.image(group.label, part)
        crop = label[top : top + 32, left : left + 32]
        assert crop.shape == (32, 32)
        assert (crop == 1).any()


def test_the_same_seed_draws_the_same_crops(tiles: Tiles) -> None:
    first, again, other = (Sampler(tiles.split("train"), 32).draw(8, (7, seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_background_crops_hold_no_landslide(tiles: Tiles) -> None:
    group = tiles.split("train")
    draws = Sampler(group, 16, background=1.0).draw(40, (1,))
    crops = [group.image(group.label, part)[top : top + 16, left : left + 16] for part, top, left, _ in draws]
    assert np.mean([(crop == 1).any() for crop in crops]) < 0.1


def test_unusable_tiles_are_refused(tmp_path: Path) -> None:
    stack, unlabelled = toy_stack(tmp_path / "a", "a"), toy_stack(tmp_path / "b", "b", labelled=False)
    out = tmp_path / "tiles"
    out.mkdir()
    with pytest.raises(TrainingError, match="case b has the role validation but no label"):
        tile(BANDS, {"train": [stack], "validation": [unlabelled]}, out)
    with pytest.raises(BandError, match="case a has no band"):
        tile(("vh_pre",), {"train": [stack], "validation": []}, out)
