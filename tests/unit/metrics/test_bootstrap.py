import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from landslide.metrics.bootstrap import BLOCK_PIXELS, Resampled, over_events, over_landslides, unit_counts
from landslide.metrics.pixel import SCORES, Counts, area_bias, f1, mcc, precision, recall
from tests.unit.metrics.test_objects import example

planes = arrays(bool, (4, 6, 7))


def world(random: np.random.Generator, landslides: int, skill: float = 0.8) -> np.ndarray:
    """Units of one event: landslides of very unequal size found in part, as many small false alarms, background."""
    size = np.ceil(np.exp(random.normal(3, 1.2, landslides)))
    tp = random.binomial(size.astype(int), random.beta(4 * skill, 4 * (1 - skill), landslides))
    beside = random.poisson(0.25 * size)
    alarms = np.ceil(np.exp(random.normal(1, 1, random.poisson(landslides))))
    none = np.zeros(len(alarms))
    return np.concatenate([
        np.stack([tp, beside, size - tp, 0 * tp], 1), np.stack([none, alarms, none, none], 1),
        np.tile([0, 0, 0, BLOCK_PIXELS**2], (60, 1)),
    ])  # fmt: skip


def event(random: np.random.Generator) -> np.ndarray:
    return world(random, int(np.exp(random.normal(3, 0.7))) + 3, random.beta(12, 3))


def test_units_of_the_drawn_example() -> None:
    units = unit_counts(*example())
    assert units.shape == (6, 4)
    assert sorted(map(tuple, units[:5].tolist())) == [
        (0, 0, 2, 0),
        (0, 2, 0, 0),
        (1, 3, 3, 0),
        (2, 0, 0, 0),
        (2, 0, 2, 0),
    ]
    assert units[5].tolist() == [0, 0, 0, 60 - 3 - 17]  # 3 under cloud, 17 true or mapped


@given(planes)
def test_units_add_up_to_the_counts_of_each_map(planes: np.ndarray) -> None:
    *maps, truth, valid = planes
    units = unit_counts(np.stack(maps), truth, valid)
    for index, mapped in enumerate(maps):
        counts = Counts.of(mapped, truth, valid)
        assert units[:, index].sum(0).tolist() == [counts.tp, counts.fp, counts.fn, counts.tn]
        assert unit_counts(mapped, truth, valid).sum(0).tolist() == units[:, index].sum(0).tolist()
    assert units.reshape(len(units), 8).any(1).all()


def test_background_is_cut_into_blocks() -> None:
    nothing = np.zeros((BLOCK_PIXELS + 1, BLOCK_PIXELS), bool)
    assert unit_counts(nothing, nothing, ~nothing).tolist() == [[0, 0, 0, BLOCK_PIXELS**2], [0, 0, 0, BLOCK_PIXELS]]


@given(arrays("int64", (4,), elements=st.integers(0, 10**9)))
def test_scores_of_arrays_are_those_of_counts(counts: np.ndarray) -> None:
    of = Counts(**dict(zip(("tp", "fp", "fn", "tn"), counts.tolist(), strict=True)))
    for name, score in SCORES.items():
        if name != "area_bias":
            expected, value = getattr(of, name), float(score(counts))
            assert np.isnan(value) if expected is None else value == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_order_of_units_and_events_has_no_effect() -> None:
    random = np.random.default_rng(5)
    events = {name: event(random) for name in "abcd"}
    mixed = {name: random.permutation(events[name]) for name in "dbca"}
    for draw in (over_landslides, over_events):
        assert (draw(events, 7, 200).draws == draw(mixed, 7, 200).draws).all()
        assert (draw(events, 7, 200).draws != draw(events, 8, 200).draws).any()


def test_draws_are_as_many_units_as_there_are_and_centre_on_their_sum() -> None:
    units = np.array([[1, 0], [1, 5], [1, 5], [1, 20]])
    resampled = over_landslides({"one": units, "two": units}, resamples=20_000)
    assert (resampled.draws[:, 0] == 8).all()
    assert resampled.draws[:, 1].mean() == pytest.approx(60, rel=0.01)
    assert resampled.draws[:, 1].var() == pytest.approx(2 * 4 * units[:, 1].var(), rel=0.05)
    assert (over_events({"one": units, "two": units[:, :1] * units}, resamples=50).draws[:, 0] == 8).all()


def covered(resampled: Resampled, truth: float) -> bool:
    interval = resampled.interval(f1)
    return interval is not None and interval.low <= truth <= interval.high


def test_intervals_over_landslides_cover_the_truth_as_often_as_they_say() -> None:
    random = np.random.default_rng(11)
    truth = float(f1(world(random, 1_000_000).sum(0)))
    inside = [covered(over_landslides({"event": world(random, 40)}, seed, 300), truth) for seed in range(300)]
    assert 0.90 <= np.mean(inside) <= 0.98


@pytest.mark.parametrize("events", [3, 6])
def test_intervals_over_events_cover_the_truth_as_often_as_they_say(events: int) -> None:
    random = np.random.default_rng(13)
    truth = float(f1(np.sum([event(random).sum(0) for _ in range(10_000)], axis=0)))
    inside = [
        covered(over_events({str(name): event(random) for name in range(events)}, seed, 300), truth)
        for seed in range(120)
    ]
    assert 0.90 <= np.mean(inside) <= 0.985


def test_events_that_differ_widen_the_interval() -> None:
    random = np.random.default_rng(2)
    events = {str(skill): world(random, 100, skill) for skill in (0.3, 0.6, 0.9)}
    within, between = (draw(events).interval(f1) for draw in (over_landslides, over_events))
    assert within is not None
    assert between is not None
    assert within.value == between.value
    assert between.high - between.low > 2 * (within.high - within.low)


def test_fewer_than_three_events_tell_nothing_of_events() -> None:
    random = np.random.default_rng(2)
    events = {"a": event(random), "b": event(random)}
    assert over_events(events).interval(f1) is None
    assert over_landslides(events).interval(f1) is not None


def test_where_the_score_is_undefined_there_is_no_interval() -> None:
    background, alarm, landslide = [0, 0, 0, 9], [0, 2, 0, 0], [3, 0, 1, 0]
    assert over_landslides({"none": np.array([background] * 50)}).interval(f1) is None
    one = over_landslides({"one": np.array([background] * 50 + [landslide] + [alarm] * 20)})
    assert one.interval(recall) is None  # a third of the draws have no landslide
    assert one.interval(precision) is not None
    assert one.interval(mcc) is None
    assert one.interval(area_bias) is None


def test_two_maps_are_compared_in_pairs() -> None:
    """A map that misses a few pixels of each landslide is surely worse, where the intervals of the two overlap."""
    random = np.random.default_rng(4)
    centres = random.random((256, 256)) < 0.0015
    truth = ndimage.maximum_filter(centres, 5)
    good = truth & (ndimage.maximum_filter(random.random((256, 256)), 9) > 0.985)
    worse = good & (random.random(truth.shape) < 0.9)
    resampled = over_landslides({"event": unit_counts(np.stack([good, worse]), truth, np.ones_like(truth))})
    alone = [resampled.interval(lambda sums, index=index: f1(sums[..., index, :])) for index in (0, 1)]
    difference = resampled.interval(lambda sums: f1(sums[..., 0, :]) - f1(sums[..., 1, :]))
    assert alone[0] is not None
    assert alone[1] is not None
    assert difference is not None
    assert alone[1].high > alone[0].low
    assert difference.low > 0


def test_two_thousand_resamples_of_a_thousand_landslides_take_well_under_a_second() -> None:
    units = world(np.random.default_rng(1), 1000)
    start = time.process_time()
    over_landslides({"event": units}).interval(f1)
    assert time.process_time() - start < 1


def test_an_event_of_which_nothing_was_observed_adds_nothing() -> None:
    units = {"a": np.array([[5, 1, 2, 90], [3, 0, 4, 70]]), "nothing": np.zeros((0, 4), "int64")}
    assert over_landslides(units).interval(f1) == over_landslides({"a": units["a"]}).interval(f1)
    assert over_landslides({"nothing": units["nothing"]}).interval(f1) is None
