from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landslide.errors import BandError, TrainingError
from landslide.tiles import Moments, Sampler, Tiles, tile, turn, turn_picture
from tests.stacks import BANDS, toy_stack

DIRECTION = ("slope", "northness", "eastness")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Tiles:
    folder = tmp_path_factory.mktemp("tiles")
    stacks = {
        "train": [toy_stack(folder / "a", "a", seed=1), toy_stack(folder / "b", "b", size=64, seed=2)],
        "validation": [toy_stack(folder / "c", "c", seed=3)],
    }
    out = folder / "tiles"
    out.mkdir()
    tile(BANDS, stacks, out)
    return Tiles(out)


@given(st.lists(arrays("float32", st.integers(1, 30), elements=st.floats(-1e4, 1e4, width=32)), min_size=1, max_size=6))
def test_streamed_moments_equal_numpy(parts: list[np.ndarray]) -> None:
    moments = Moments()
    for part in parts:
        moments = moments.add(np.append(part, np.float32("nan")))
    whole = np.concatenate(parts).astype("float64")
    assert moments.count == whole.size
    assert np.isclose(moments.mean, whole.mean(), rtol=1e-9, atol=1e-9)
    assert np.isclose(moments.std, whole.std() or 1.0, rtol=1e-6, atol=1e-6)


def test_statistics_come_from_the_training_cases_alone(tiles: Tiles) -> None:
    pictures = tiles.pictures("train")
    values = np.concatenate([np.asarray(p.values[0]).ravel() for p in pictures]).astype("float64")
    normalisation = tiles.normalisation(BANDS[:1])
    assert np.isclose(normalisation.mean[0], np.nanmean(values))
    assert np.isclose(normalisation.std[0], np.nanstd(values))
    assert not np.isclose(normalisation.mean[0], np.nanmean(tiles.pictures("validation")[0].values[0]), atol=1e-6)


@given(st.integers(0, 7), arrays("float32", (3, 5, 5), elements=st.floats(-5, 5, width=32)))
def test_directions_turn_with_the_picture(symmetry: int, values: np.ndarray) -> None:
    """A slope field's direction, turned, is the direction of the turned field: shown on a linear plane."""
    north, east = 0.6, -0.8
    rows, columns = np.mgrid[:5, :5].astype("float32")
    height = -(north * -rows + east * columns)  # falls towards (north, east); rows run south
    field = np.stack([height, np.full((5, 5), north, "float32"), np.full((5, 5), east, "float32")])
    turned = turn(field, DIRECTION, symmetry)
    down_rows, down_columns = (-np.diff(turned[0], axis=axis).mean() for axis in (0, 1))
    assert np.allclose(turned[1], -down_rows, atol=1e-5)
    assert np.allclose(turned[2], down_columns, atol=1e-5)
    assert np.array_equal(np.sort(turn(values, DIRECTION, symmetry)[0].ravel()), np.sort(values[0].ravel()))


def test_the_eight_symmetries_differ() -> None:
    picture = np.arange(6).reshape(2, 3)
    assert len({(turn_picture(picture, s).shape, turn_picture(picture, s).tobytes()) for s in range(8)}) == 8


def test_half_a_direction_is_refused() -> None:
    with pytest.raises(BandError, match="one component of a direction"):
        turn(np.zeros((1, 4, 4), "float32"), ("northness",), 1)


def test_crops_hold_landslides_and_carry_what_was_not_observed(tiles: Tiles) -> None:
    batches = list(Sampler(tiles, BANDS, 32).batches(40, 4, (1, 1)))
    assert sum(len(batch.values) for batch in batches) == 40
    assert all(sample.any() for batch in batches for sample in batch.target)
    values = np.concatenate([batch.values for batch in batches])
    valid = np.concatenate([batch.valid for batch in batches])[:, 0]
    assert np.isfinite(values).all()
    assert (values.transpose(0, 2, 3, 1)[~valid] == 0).all()
    assert not valid.all(), "some crop reaches the corner that was not observed"


def test_the_same_seed_draws_the_same_crops(tiles: Tiles) -> None:
    first, again, other = (next(Sampler(tiles, BANDS, 32).batches(4, 4, (7, seed))).values for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_background_crops_hold_no_landslide(tiles: Tiles) -> None:
    batches = list(Sampler(tiles, BANDS, 16, background=1.0).batches(40, 4, (1,)))
    assert np.mean([sample.any() for batch in batches for sample in batch.target]) < 0.1


def test_parts_smaller_than_the_crop_are_filled_up_and_not_scored(tiles: Tiles) -> None:
    batch = next(Sampler(tiles, BANDS, 128).batches(4, 4, (3,)))
    assert batch.values.shape == (4, len(BANDS), 128, 128)
    assert batch.valid.sum((1, 2, 3)).max() <= 96 * 96


def test_a_crop_touches_no_more_than_itself(tiles: Tiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sampler reads from a scene is crops, never the scene."""
    read: list[int] = []

    class Spy(np.ndarray):
        def __getitem__(self, key: object) -> np.ndarray:
            found = super().__getitem__(key)
            if found.ndim == 2 and self.ndim == 2:
                read.append(found.size)
            return found

    sampler = Sampler(tiles, BANDS, 32)
    spied = [type(p)(p.values.view(Spy), p.label, p.anchors) for p in tiles.pictures("train")]
    sampler.__dict__["_pictures"] = spied
    list(sampler.batches(8, 4, (1,)))
    assert read
    assert max(read) == 32 * 32


def test_unusable_tiles_are_refused(tmp_path: Path) -> None:
    stack, unlabelled = toy_stack(tmp_path / "a", "a"), toy_stack(tmp_path / "b", "b", labelled=False)
    out = tmp_path / "tiles"
    out.mkdir()
    with pytest.raises(TrainingError, match="case b has the role validation but no label"):
        tile(BANDS, {"train": [stack], "validation": [unlabelled]}, out)
    with pytest.raises(BandError, match="case a has no band"):
        tile(("vh_pre",), {"train": [stack], "validation": []}, out)


@settings(max_examples=10)
@given(st.integers(0, 7))
def test_masks_turn_with_values(symmetry: int) -> None:
    picture = np.random.default_rng(0).normal(size=(1, 6, 6)).astype("float32")
    assert np.array_equal(turn(picture, ("slope",), symmetry)[0], turn_picture(picture[0], symmetry))
