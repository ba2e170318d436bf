import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landslide.mapping.probability import RunningMoments, entropy

probabilities = arrays("float32", (4, 7), elements=st.floats(0, 1, width=32))
votes = arrays("float64", 4, elements=st.floats(0.01, 1))
SPREAD, INFORMATION = 1, 2


def moments(block: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(3, pixel): mean, spread and mutual information of (member, pixel) probabilities, a member at a time."""
    rows, before = slice(0, 1), 0.0
    with tempfile.TemporaryDirectory() as folder, RunningMoments(Path(folder), (1, block.shape[1])) as running:
        for member, weight in zip(block, weights, strict=True):
            running.update(rows, member[None].astype("float32"), float(weight), before)
            before += weight
        return running.result(rows, before)[:, 0]


def test_by_hand() -> None:
    block = np.array([[1, 0.5, 0.25, 0], [0, 0.5, 0.75, 0]], "float32")
    _, spread, information = moments(block, np.array([2.0, 2.0]))
    assert spread == pytest.approx([0.5, 0, 0.25, 0])
    # all of one bit; none; 1 − H(1/4) = 1 − 0.811 bits; none
    assert information == pytest.approx([1, 0, 0.188722, 0], abs=1e-6)
    assert entropy(np.array([0, 0.5, 0.25, 1])) == pytest.approx([0, 1, 0.811278, 0], abs=1e-6)
    assert moments(block, np.array([0.75, 0.25]))[SPREAD, 0] == pytest.approx(np.sqrt(0.75 * 0.25))


@given(probabilities, votes)
def test_both_are_of_the_members_disagreement_alone(block: np.ndarray, weights: np.ndarray) -> None:
    found, order = moments(block, weights), np.array([2, 0, 3, 1])
    assert found.dtype == np.float32
    assert (found >= 0).all()
    assert (found[SPREAD] <= 0.5 + 1e-5).all()
    assert (found[INFORMATION] <= 1 + 1e-5).all()
    assert moments(block[order], weights[order]) == pytest.approx(found, abs=1e-3)
    assert moments(1 - block, weights)[SPREAD:] == pytest.approx(found[SPREAD:], abs=1e-3)
    assert moments(np.broadcast_to(block[:1], block.shape), weights)[SPREAD:] == pytest.approx(0, abs=1e-3)
    exact = block.astype("float64")
    expected = np.average((exact - np.average(exact, 0, weights)) ** 2, 0, weights)
    assert found[SPREAD] ** 2 == pytest.approx(expected, abs=1e-5)


@given(probabilities)
def test_a_member_twice_is_a_member_of_twice_the_weight(block: np.ndarray) -> None:
    doubled = np.concatenate([block, block[:1]])
    found = moments(doubled, np.full(5, 0.2))
    assert found == pytest.approx(moments(block, np.array([0.4, 0.2, 0.2, 0.2])), abs=1e-3)
