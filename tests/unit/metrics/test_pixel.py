import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landslide.metrics.pixel import Counts, total

planes = arrays(bool, (3, 7, 5))


@given(planes)
def test_counts_add_up_over_any_split(planes: np.ndarray) -> None:
    predicted, truth, valid = planes
    whole = Counts.of(predicted, truth, valid)
    halves = [Counts.of(p, t, v) for p, t, v in zip(*(np.array_split(plane, 2) for plane in planes), strict=True)]
    assert total(halves) == whole
    assert whole.tp + whole.fp + whole.fn + whole.tn == valid.sum()


def test_scores_of_a_worked_example() -> None:
    counts = Counts(tp=6, fp=2, fn=4, tn=88)
    assert counts.precision == 0.75
    assert counts.recall == 0.6
    assert counts.f1 == 12 / 18
    assert counts.iou == 0.5
    assert counts.mcc is not None
    assert abs(counts.mcc - (6 * 88 - 2 * 4) / (8 * 10 * 90 * 92) ** 0.5) < 1e-12


def test_a_score_without_a_denominator_is_none() -> None:
    assert Counts(tn=5).scores() == dict.fromkeys(("precision", "recall", "f1", "iou", "mcc")) | {
        "tp": 0, "fp": 0, "fn": 0, "tn": 5,
    }  # fmt: skip


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_f1_and_iou_are_one_measure(tp: int, fp: int, fn: int) -> None:
    counts = Counts(tp=tp, fp=fp, fn=fn)
    if counts.f1 is not None and counts.iou is not None:
        assert abs(counts.iou - counts.f1 / (2 - counts.f1)) < 1e-12
