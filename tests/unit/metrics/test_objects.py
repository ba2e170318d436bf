import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression

from landslide.metrics.bootstrap import over_landslides
from landslide.metrics.objects import (
    EDGES_M2,
    RIDGE,
    Objects,
    ObjectScores,
    half_detected,
    logistic,
    object_scores,
)
from landslide.metrics.pixel import ratio, recall

# A landslide is A, B, C, D; E lies under cloud (?). Corners join: C and D are one landslide each.
TRUTH = """
    AA....B...
    AA....B...
    ......B.C.
    ..D...B..C
    .D........
    ....?E?...
"""
# a reaches 1 of A's 4 pixels and runs out over 3 others, b 2 of B's 4, d all of D; f is a false alarm.
MAPPED = """
    .aaaa.....
    ..........
    ......b...
    ..d...b...
    .d........
    ....???.ff
"""


def drawn(picture: str) -> np.ndarray:
    return np.array([list(line.strip()) for line in picture.strip().splitlines()])


def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mapped, truth and valid of the drawing; what is under cloud is both true and mapped, and must not count."""
    truth, mapped = drawn(TRUTH), drawn(MAPPED)
    valid = mapped != "?"
    return mapped != ".", truth != ".", valid


def test_the_drawn_example() -> None:
    objects = Objects.of(*example(), pixel_m2=100)
    assert sorted(zip(objects.true_m2, objects.found_share, strict=True)) == [
        (200, 0),
        (200, 1),
        (400, 0.25),
        (400, 0.5),
    ]
    assert sorted(zip(objects.mapped_m2, objects.true_share, strict=True)) == [
        (200, 0),
        (200, 1),
        (200, 1),
        (400, 0.25),
    ]
    touched, covered = object_scores(objects, 0.2), object_scores(objects, 0.5)
    assert (touched.landslides, touched.found, touched.detection_rate) == (4, 3, 0.75)
    assert (touched.patches, touched.false_alarms, touched.false_alarm_ratio) == (4, 1, 0.25)
    assert (covered.found, covered.detection_rate, covered.false_alarms, covered.false_alarm_ratio) == (2, 0.5, 2, 0.5)
    assert touched.area_bias == covered.area_bias == 10 / 12
    assert touched.half_detected_m2 is None  # four landslides tell nothing
    assert [(size.landslides, size.found) for size in touched.sizes] == [(4, 3), *[(0, 0)] * 5]
    assert touched.sizes[-1].detection_rate is None


def test_the_document_is_json_and_comes_back() -> None:
    scores = object_scores(Objects.of(*example(), pixel_m2=100), 0.5)
    text = scores.model_dump_json()
    assert ObjectScores.model_validate_json(text) == scores
    assert json.loads(text)["sizes"][-1] == {
        "low_m2": 1e5, "high_m2": None, "landslides": 0, "found": 0, "detection_rate": None,
    }  # fmt: skip


def test_nothing_there_and_nothing_mapped_is_undefined_not_zero() -> None:
    nothing = np.zeros((4, 5), bool)
    scores = object_scores(Objects.of(nothing, nothing, ~nothing, 100), 0.5)
    assert (scores.detection_rate, scores.false_alarm_ratio, scores.area_bias, scores.half_detected_m2) == (None,) * 4


@given(arrays(bool, (3, 6, 7)))
def test_objects_account_for_every_pixel_and_a_higher_share_finds_no_more(planes: np.ndarray) -> None:
    mapped, truth, valid = planes
    objects = Objects.of(mapped, truth, valid, 1.0)
    assert objects.true_m2.sum() == (truth & valid).sum()
    assert objects.mapped_m2.sum() == (mapped & valid).sum()
    both = (mapped & truth & valid).sum()
    assert (objects.true_m2 * objects.found_share).sum() == pytest.approx(both)
    assert (objects.mapped_m2 * objects.true_share).sum() == pytest.approx(both)
    low, high = object_scores(objects, 0.2), object_scores(objects, 0.5)
    assert low.found >= high.found
    assert low.false_alarms <= high.false_alarms
    assert sum(size.landslides for size in low.sizes) == low.landslides


@given(arrays(bool, (3, 6, 7)))
def test_objects_turn_with_the_picture(planes: np.ndarray) -> None:
    turned = Objects.of(*np.rot90(planes, axes=(1, 2)), pixel_m2=100)
    assert object_scores(turned, 0.2) == object_scores(Objects.of(*planes, pixel_m2=100), 0.2)


def test_scenes_are_pooled_and_units_sum_to_the_rates() -> None:
    scene = Objects.of(*example(), pixel_m2=100)
    pooled = Objects.pooled([scene, scene])
    assert object_scores(pooled, 0.2).landslides == 8
    sums = pooled.units(0.2).sum(0)
    assert recall(sums) == 0.75
    assert ratio(sums[1], sums[1] + sums[3]) == 0.25


def simulated(number: int, half_m2: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    areas = np.ceil(10 ** random.uniform(2, 5, number) / 100) * 100
    chance = 1 / (1 + np.exp(-4 * (np.log10(areas) - np.log10(half_m2))))
    return areas, (random.random(number) < chance).astype("float64")


def test_the_smallest_size_detected_half_of_the_time_is_recovered() -> None:
    areas, found = simulated(20_000, 4000, seed=3)
    assert half_detected(areas, found, np.ones(len(areas))) == pytest.approx(4000, rel=0.05)


@pytest.mark.slow
@given(st.integers(0, 50))
def test_the_regression_is_scikit_learns(seed: int) -> None:
    areas, found = simulated(60, 3000, seed)
    x = np.log10(areas) - 3.5
    reference = LogisticRegression(C=1 / RIDGE, fit_intercept=False, tol=1e-8, max_iter=1000)
    reference.fit(np.stack([np.ones(60), x], 1), found)
    assert logistic(x, found, np.ones(60)) == pytest.approx(reference.coef_[0], rel=1e-3, abs=1e-3)


def test_a_clean_break_between_missed_and_found_is_told() -> None:
    areas = np.array([100.0] * 8 + [1_000.0] * 8)
    half = half_detected(areas, (areas > 500).astype("float64"), np.ones(16))
    assert half == pytest.approx(10**2.5, rel=0.01)


@pytest.mark.parametrize(
    ("areas", "found"),
    [
        ([], []),
        ([100, 1000] * 4, [0, 1] * 4),  # fewer than ten
        ([100, 1000] * 8, [1, 1] * 8),  # all found
        ([100, 1000] * 8, [0, 0] * 8),  # none
        ([100, 1000] * 8, [1, 0] * 8),  # the larger less often
        ([100] * 16, [0, 1] * 8),  # of one size
        ([100, 1000] * 8, [1, 1] * 7 + [0, 1]),  # half only below the smallest there is
    ],
)
def test_where_the_size_cannot_be_told(areas: list[float], found: list[float]) -> None:
    assert np.isnan(half_detected(np.array(areas, float), np.array(found, float), np.ones(len(areas))))


def test_the_interval_of_the_detection_rate_holds_it() -> None:
    events = {}
    for seed in range(4):
        areas, found = simulated(150, 4000, seed)
        events[str(seed)] = Objects(areas, found, np.array([100.0]), np.array([0.0]))
    pooled = object_scores(Objects.pooled(events.values()), 0.5)
    rate = over_landslides({name: objects.units(0.5) for name, objects in events.items()}).interval(recall)
    assert rate is not None
    assert rate.low < rate.value == pooled.detection_rate < rate.high


def test_size_classes_part_at_their_lower_edges() -> None:
    areas = np.array([EDGES_M2[0] - 1, *EDGES_M2])
    scores = object_scores(Objects(areas, np.ones(6), np.array([]), np.array([])), 0.5)
    assert [size.landslides for size in scores.sizes] == [1] * 6
