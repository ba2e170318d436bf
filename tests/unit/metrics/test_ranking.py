import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics
from torchmetrics.functional import classification

from landslide.metrics.pixel import Counts
from landslide.metrics.ranking import (
    BINS,
    at_precision,
    average_precision,
    best_f,
    bin_of,
    curve,
    histogram,
    mapped_above,
    min_cost,
)

SHAPE = (8, 9)
probabilities = arrays("float32", SHAPE, elements=st.floats(0, 1, width=32))
masks = arrays(bool, SHAPE)
everywhere = np.ones(SHAPE, bool)


@given(masks, masks, masks)
def test_pixel_scores_are_those_of_scikit_learn_and_torchmetrics(
    predicted: np.ndarray, truth: np.ndarray, valid: np.ndarray
) -> None:
    ours = Counts.of(predicted, truth, valid)
    true, mapped = truth[valid], predicted[valid]
    ignoring = torch.as_tensor(np.where(valid, truth, 255))
    for name, scikit, torched in (
        ("precision", metrics.precision_score, classification.binary_precision),
        ("recall", metrics.recall_score, classification.binary_recall),
        ("f1", metrics.f1_score, classification.binary_f1_score),
        ("iou", metrics.jaccard_score, classification.binary_jaccard_index),
    ):
        value = getattr(ours, name) or 0.0  # theirs is 0 where ours is None
        if valid.any():
            assert value == pytest.approx(scikit(true, mapped, zero_division=0), abs=1e-12)
        theirs = torched(torch.as_tensor(predicted.astype("int64")), ignoring, ignore_index=255)
        assert value == pytest.approx(float(torch.nan_to_num(theirs)), abs=1e-6)
    if ours.mcc is not None:
        assert ours.mcc == pytest.approx(metrics.matthews_corrcoef(true, mapped), abs=1e-12)
        theirs = classification.binary_matthews_corrcoef(
            torch.as_tensor(predicted.astype("int64")), ignoring, ignore_index=255
        )
        assert ours.mcc == pytest.approx(float(theirs), abs=1e-5)


@given(probabilities, masks, masks)
def test_average_precision_is_scikit_learns_of_the_bins(
    probability: np.ndarray, truth: np.ndarray, valid: np.ndarray
) -> None:
    value = average_precision(histogram(probability, truth, valid))
    if not (truth & valid).any():
        assert np.isnan(value)
        return
    rounded = bin_of(probability[valid]) / BINS
    assert value == pytest.approx(metrics.average_precision_score(truth[valid], rounded), abs=1e-12)


@given(probabilities, masks)
def test_the_curve_is_scikit_learns(probability: np.ndarray, truth: np.ndarray) -> None:
    truth[0, 0] = True
    precision, recall = curve(histogram(probability, truth, everywhere))
    index = bin_of(probability)
    theirs = metrics.precision_recall_curve(truth.ravel(), index.ravel())
    at = theirs[2].astype(int)
    assert precision[at] == pytest.approx(theirs[0][:-1])
    assert recall[at] == pytest.approx(theirs[1][:-1])
    assert np.isnan(precision[-1])
    assert recall[-1] == 0


@given(probabilities, masks, masks, st.integers(1, BINS))
def test_a_cut_of_the_histogram_is_a_cut_of_the_map(
    probability: np.ndarray, truth: np.ndarray, valid: np.ndarray, index: int
) -> None:
    probability.flat[:3] = np.float32(index / BINS), 0, 1  # right on the threshold and at both ends
    fp, tp = mapped_above(histogram(probability, truth, valid))[:, index]
    expected = Counts.of(probability > index / BINS, truth, valid)
    assert (tp, fp) == (expected.tp, expected.fp)


@given(probabilities, masks, masks, st.floats(0.1, 10))
def test_chosen_thresholds_are_the_best_there_are(
    probability: np.ndarray, truth: np.ndarray, valid: np.ndarray, weight: float
) -> None:
    truth[0, 0] = valid[0, 0] = True
    counted = histogram(probability, truth, valid).reshape(2, 64, -1).sum(-1)
    all_counts = [Counts.of(probability > i / 64, truth, valid) for i in range(1, 65)]
    f, cheap, precise = best_f(counted, weight), min_cost(counted, weight), at_precision(counted, 0.6)
    assert f is not None
    for cut in filter(None, (f, cheap, precise)):
        assert cut.counts == Counts.of(probability > cut.threshold, truth, valid)
    assert cheap.counts.fn * weight + cheap.counts.fp == pytest.approx(min(c.fn * weight + c.fp for c in all_counts))
    f_beta = [(1 + weight**2) * c.tp / ((1 + weight**2) * c.tp + weight**2 * c.fn + c.fp) for c in all_counts]
    chosen = metrics.fbeta_score(truth[valid], (probability > f.threshold)[valid], beta=weight, zero_division=0)
    assert chosen == pytest.approx(max(f_beta))
    allowed = [c for c in all_counts if c.tp and c.tp >= 0.6 * (c.tp + c.fp)]
    assert (precise is None) == (not allowed)
    if precise is not None:
        best = max(allowed, key=lambda c: (c.tp, -c.fp))
        assert (precise.counts.tp, precise.counts.fp) == (best.tp, best.fp)


def test_the_costlier_a_miss_the_lower_the_threshold() -> None:
    random = np.random.default_rng(0)
    probability = random.random(200_000)
    truth = random.random(200_000) < probability  # calibrated
    counted = histogram(probability, truth, np.ones(200_000, bool))
    for miss, expected in ((1.0, 0.5), (4.0, 0.2), (0.25, 0.8)):
        assert min_cost(counted, miss).threshold == pytest.approx(expected, abs=0.05)
    assert min_cost(counted, miss=0.0).counts.fp == 0


def test_among_equal_thresholds_the_middle_one() -> None:
    probability, truth = np.array([0.2, 0.8]), np.array([False, True])
    cut = best_f(histogram(probability, truth, np.ones(2, bool)))
    assert cut is not None
    assert cut.threshold == pytest.approx(0.5, abs=1 / BINS)
    assert cut.counts == Counts(tp=1, tn=1)


def test_what_is_not_observed_or_ignored_does_not_count() -> None:
    probability = np.array([0.9, np.nan, 0.9])
    counted = histogram(probability, np.array([True, True, False]), np.array([True, True, False]))
    assert counted.sum() == counted[1].sum() == 1


def test_without_any_landslide_nothing_can_be_chosen_for_f1() -> None:
    counted = histogram(np.array([0.3, 0.9]), np.zeros(2, bool), np.ones(2, bool))
    assert best_f(counted) is None
    assert at_precision(counted, 0.5) is None
    assert min_cost(counted, 5).counts == Counts(tn=2)


def test_many_histograms_at_once() -> None:
    random = np.random.default_rng(1)
    counted = random.integers(0, 9, (3, 4, 2, 50))
    values = average_precision(counted)
    assert values.shape == (3, 4)
    assert values[1, 2] == average_precision(counted[1, 2])
