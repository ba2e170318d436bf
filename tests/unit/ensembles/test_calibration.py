import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import BaseModel
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from landslide.ensembles.calibration import Calibration, Isotonic, Platt, forecasts
from landslide.errors import InputError
from landslide.metrics.reliability import BINS, CENTRES, bin_of, histogram, reliability

histograms = arrays("int64", (2, BINS), elements=st.integers(0, 50), fill=st.just(0))


def drawn(seed: int, pixels: int, slope: float, bias: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities whose true chance is that of slope × logit + bias, and truths drawn by it; landslides are rare."""
    random = np.random.default_rng(seed)
    z = random.normal(-3, 2, pixels)
    return expit(z), random.random(pixels) < expit(slope * z + bias)


def brier(counted: np.ndarray, calibration: Platt | Isotonic) -> float:
    """The Brier score of what a calibration makes of counted probabilities, bin by bin."""
    forecast = forecasts(calibration)
    return float((counted[1] @ (1 - forecast) ** 2 + counted[0] @ forecast**2) / counted.sum())


@pytest.mark.parametrize(("slope", "bias"), [(1.0, 0.0), (0.5, -1.0), (2.0, 0.7)])
def test_platt_finds_the_true_line(slope: float, bias: float) -> None:
    probability, truth = drawn(0, 300_000, slope, bias)
    found = Platt.fit(histogram(probability, truth))
    assert found.slope == pytest.approx(slope, rel=0.03)
    assert found.bias == pytest.approx(bias, abs=0.06)
    assert np.abs(found.apply(probability) - expit(slope * logit(probability) + bias)).max() < 0.02


def test_platt_from_a_histogram_is_logistic_regression_of_all_pixels() -> None:
    probability, truth = drawn(1, 50_000, 0.6, -0.5)
    theirs = LogisticRegression(C=1e9, tol=1e-8).fit(logit(probability)[:, None], truth)
    found = Platt.fit(histogram(probability, truth))
    assert found.slope == pytest.approx(theirs.coef_[0, 0], rel=2e-3)
    assert found.bias == pytest.approx(theirs.intercept_[0], abs=5e-3)


def test_isotonic_is_scikit_learns_of_the_bins() -> None:
    probability, truth = drawn(2, 50_000, 1.7, 1.0)
    middle = expit(CENTRES)[bin_of(probability)]
    theirs = IsotonicRegression(out_of_bounds="clip").fit(middle, truth)
    found = Isotonic.fit(histogram(probability, truth))
    assert np.abs(found.apply(middle) - theirs.predict(middle)).max() < 1e-6


@settings(deadline=None, max_examples=20)
@given(histograms)
def test_calibrations_keep_the_order_and_do_not_harm_where_they_were_fitted(counted: np.ndarray) -> None:
    counted[:, 400] += 1
    before = reliability(counted)
    for found in (Platt.fit(counted), Isotonic.fit(counted)):
        values = found.apply(expit(CENTRES))
        assert (np.diff(values) >= -1e-7).all()
        assert 0 <= values.min() <= values.max() <= 1
    assert brier(counted, Isotonic.fit(counted)) <= before.brier + 1e-6


@settings(deadline=None, max_examples=30)
@given(histograms)
def test_the_brier_score_is_the_sum_of_its_parts(counted: np.ndarray) -> None:
    counted[1, 300] += 1
    found = reliability(counted)
    assert found.brier == pytest.approx(found.miscalibration - found.resolution + found.uncertainty, abs=1e-12)
    assert sum(one.pixels for one in found.classes) == counted.sum()
    assert 0 <= found.ece_equal_mass <= 1
    assert 0 <= found.ece <= 1


def test_by_hand() -> None:
    probability = np.array([0.1] * 10 + [0.9] * 10)
    truth = np.array([True] + [False] * 9 + [True] * 7 + [False] * 3)
    found = reliability(histogram(probability, truth))
    assert [(one.frequency, one.pixels) for one in found.classes] == [(0.1, 10), (0.7, 10)]
    assert found.ece == pytest.approx(0.1, abs=2e-3)  # half of the pixels say 0.9 and are 0.7
    assert found.ece_equal_mass == pytest.approx(found.ece)
    assert found.uncertainty == pytest.approx(0.4 * 0.6)
    assert found.resolution == pytest.approx(0.3**2)
    assert found.miscalibration == pytest.approx((0 + 0.2**2) / 2, abs=1e-3)
    assert found.brier == pytest.approx(np.mean((probability - truth) ** 2), abs=1e-3)
    isotonic = Isotonic.fit(histogram(probability, truth))
    assert isotonic.apply(np.array([0.1, 0.9])) == pytest.approx((0.1, 0.7), abs=1e-6)
    assert brier(histogram(probability, truth), isotonic) == pytest.approx(0.24 - 0.09, abs=1e-6)


def test_calibration_mends_what_is_overconfident() -> None:
    probability, truth = drawn(3, 200_000, 0.5, -1.0)
    fitted, unseen = (histogram(probability[part], truth[part]) for part in (slice(0, None, 2), slice(1, None, 2)))
    before = reliability(unseen)
    for calibration in (Platt.fit(fitted), Isotonic.fit(fitted)):
        after = reliability(histogram(calibration.apply(probability[1::2]), truth[1::2]))
        assert after.ece < before.ece / 3
        assert after.ece_equal_mass < before.ece_equal_mass / 3
        assert after.brier < before.brier


def test_probabilities_of_0_and_1_and_what_is_not_observed() -> None:
    counted = histogram(np.array([0, 1, np.nan, 1e-20], "float32"), np.array([False, True, True, True]))
    assert (counted[0, 0], counted[1, 0], counted[1, -1], counted.sum()) == (1, 1, 1, 3)
    for found in (Platt.fit(counted), Isotonic.fit(counted)):
        values = found.apply(np.array([[0, np.nan, 1]]))
        assert values.dtype == np.float32
        assert np.isnan(values).tolist() == [[False, True, False]]
    parted = Platt.fit(histogram(np.array([0.1, 0.9]), np.array([False, True])))
    assert np.isfinite([parted.slope, parted.bias]).all()


def test_a_calibration_lives_in_json() -> None:
    class Holder(BaseModel):
        calibration: Calibration | None = None

    counted = histogram(*drawn(4, 5000, 0.8, 0.0))
    for found in (Platt.fit(counted), Isotonic.fit(counted)):
        again = Holder.model_validate_json(Holder(calibration=found).model_dump_json())
        assert again.calibration == found
    assert Holder.model_validate_json("{}").calibration is None


def test_what_cannot_be_told_says_so() -> None:
    nothing, negatives = np.zeros((2, BINS), "int64"), np.zeros((2, BINS), "int64")
    negatives[0] = 1
    with pytest.raises(InputError, match="no pixel"):
        reliability(nothing)
    for fit in (Platt.fit, Isotonic.fit):
        with pytest.raises(InputError, match="0 landslide pixels"):
            fit(negatives)
