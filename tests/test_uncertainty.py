import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landslide.evaluation.uncertainty import entropy, mutual_information, placed, spread

probabilities = arrays("float16", (4, 7), elements=st.floats(0, 1, width=16))
votes = arrays("float64", 4, elements=st.floats(0.01, 1)).map(lambda weights: weights / weights.sum())


def test_by_hand() -> None:
    block, equal = np.array([[1, 0.5, 0.25, 0], [0, 0.5, 0.75, 0]], "float16"), np.array([0.5, 0.5])
    assert spread(block, equal) == pytest.approx([0.5, 0, 0.25, 0])
    # all of one bit; none; 1 − H(1/4) = 1 − 0.811 bits; none
    assert mutual_information(block, equal) == pytest.approx([1, 0, 0.188722, 0], abs=1e-6)
    assert entropy(np.array([0, 0.5, 0.25, 1])) == pytest.approx([0, 1, 0.811278, 0], abs=1e-6)
    assert spread(block, np.array([0.75, 0.25]))[0] == pytest.approx(np.sqrt(0.75 * 0.25))


@given(probabilities, votes)
def test_both_are_of_the_members_disagreement_alone(block: np.ndarray, weights: np.ndarray) -> None:
    for measure, greatest in ((spread, 0.5), (mutual_information, 1.0)):
        values = measure(block, weights)
        assert values.dtype == np.float32
        assert (values >= 0).all()
        assert (values <= greatest + 1e-5).all()
        order = np.array([2, 0, 3, 1])
        assert measure(block[order], weights[order]) == pytest.approx(values, abs=1e-3)
        assert measure(1 - block.astype("float64"), weights) == pytest.approx(values, abs=1e-3)
        assert measure(np.broadcast_to(block[:1], block.shape), weights) == pytest.approx(0, abs=1e-3)
    expected = np.average((block - np.average(block.astype("float64"), 0, weights)) ** 2, 0, weights)
    assert spread(block, weights) ** 2 == pytest.approx(expected, abs=1e-5)


@given(probabilities)
def test_a_member_twice_is_a_member_of_twice_the_weight(block: np.ndarray) -> None:
    doubled, weights = np.concatenate([block, block[:1]]), np.array([0.4, 0.2, 0.2, 0.2])
    for measure in (spread, mutual_information):
        assert measure(doubled, np.full(5, 0.2)) == pytest.approx(measure(block, weights), abs=1e-3)


def test_what_did_not_count_is_not_observed() -> None:
    picture = placed(np.array([0.1, 0.3], "float32"), np.array([5, 0], "uint32"), (2, 3))
    assert picture == pytest.approx(np.array([[0.3, np.nan, np.nan], [np.nan, np.nan, 0.1]]), nan_ok=True)
