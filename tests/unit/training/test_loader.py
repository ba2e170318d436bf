"""Batches against crops cut and turned by hand."""

import numpy as np
import pytest
import torch

from landslide.datasets.sampler import Sampler
from landslide.datasets.stack import Stack
from landslide.datasets.training_store import SplitArrays, Tiles, tile
from landslide.errors import BandError
from landslide.training.loader import BatchLoader
from tests.helpers.stacks import BANDS, toy_stack


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Tiles:
    folder = tmp_path_factory.mktemp("stacks")
    stacks: dict[str, list[Stack]] = {
        "train": [toy_stack(folder / "a", "a", seed=1), toy_stack(folder / "b", "b", size=64, seed=2)],
        "validation": [toy_stack(folder / "c", "c", seed=3)],
    }
    out = tmp_path_factory.mktemp("tiles")
    tile(BANDS, stacks, out)
    return Tiles(out)


def turned(image: np.ndarray, symmetry: int) -> np.ndarray:
    if symmetry & 1:
        image = image.swapaxes(0, 1)
    if symmetry & 2:
        image = image[::-1]
    return image[:, ::-1] if symmetry & 4 else image


def by_hand(group: SplitArrays, columns: list[int], draw: np.ndarray, crop: int) -> tuple[np.ndarray, np.ndarray]:
    """Values (y, x, band), components of directions not turned, and truth (y, x) of a draw."""
    part, top, left, symmetry = draw
    window = np.s_[top : top + crop, left : left + crop]
    values = group.image(group.values, part)[window][..., columns]
    truth = group.image(group.truth(columns), part)[window]
    beyond = [(0, crop - side) for side in truth.shape]
    values, truth = np.pad(values, [*beyond, (0, 0)]), np.pad(truth, beyond, constant_values=255)
    return turned(values, symmetry), turned(truth, symmetry)


@pytest.mark.parametrize("crop", [32, 80])
@pytest.mark.parametrize("bands", [("vv_change", "dndvi_median", "slope"), ("slope", "vv_change")])
def test_a_batch_is_what_a_hand_would_cut(tiles: Tiles, crop: int, bands: tuple[str, ...]) -> None:
    group, columns = tiles.split("train"), [BANDS.index(band) for band in bands]
    draws = Sampler(group, crop, 0.3).draw(40, (5,))
    batch = BatchLoader(tiles, bands, crop, "cpu")(torch.from_numpy(draws))
    assert batch.values.is_contiguous(memory_format=torch.channels_last)
    for i, draw in enumerate(draws):
        values, truth = by_hand(group, columns, draw, crop)
        assert np.array_equal(batch.values[i].permute(1, 2, 0), values)
        assert np.array_equal(batch.target[i, 0], truth == 1)
        assert np.array_equal(batch.valid[i, 0], truth != 255)


@pytest.mark.parametrize("symmetry", range(8))
def test_directions_turn_with_the_picture(tiles: Tiles, symmetry: int) -> None:
    """The direction of a field's fall, turned, is the direction of the turned field's fall: shown on a plane."""
    north, east = 0.6, -0.8
    group = tiles.split("train")
    rows, columns = np.mgrid[:96, :96].astype("float32")
    image = group.image(group.values, 0)  # a private copy of the file's pages
    image[..., BANDS.index("slope")] = -(north * -rows + east * columns)  # falls to (north, east); rows run south
    image[..., BANDS.index("northness")], image[..., BANDS.index("eastness")] = north, east
    loader = BatchLoader(tiles, ("slope", "northness", "eastness"), 32, "cpu")
    loader._values = torch.from_numpy(group.values)
    values = loader(torch.tensor([[0, 20, 40, symmetry]])).values[0]
    down_rows, down_columns = (-values[0].diff(dim=axis).mean() for axis in (0, 1))
    torch.testing.assert_close(values[1], torch.full((32, 32), -down_rows.item()), atol=1e-4, rtol=0)
    torch.testing.assert_close(values[2], torch.full((32, 32), down_columns.item()), atol=1e-4, rtol=0)


def test_all_bands_are_taken_as_they_lie(tiles: Tiles) -> None:
    group = tiles.split("train")
    draws = torch.tensor([[0, 3, 5, 0], [1, 0, 7, 0]])
    batch = BatchLoader(tiles, BANDS, 32, "cpu")(draws)
    for i, draw in enumerate(draws.numpy()):
        values, _ = by_hand(group, [*range(len(BANDS))], draw, 32)
        assert np.array_equal(batch.values[i].permute(1, 2, 0), values)


def test_half_a_direction_is_refused(tiles: Tiles) -> None:
    with pytest.raises(BandError, match="one component of a direction without the other"):
        BatchLoader(tiles, ("slope", "northness"), 32, "cpu")
