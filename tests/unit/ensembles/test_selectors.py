from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from landslide.ensembles.combine import histograms, weighted_mean
from landslide.ensembles.predictions import Library
from landslide.ensembles.sampling import PixelSample, second_moments
from landslide.ensembles.scale import Scale, inverse_link, link
from landslide.ensembles.selectors import (
    SELECTORS,
    GreedySample,
    Options,
    diverse,
    error_correlation,
    forward,
    select_all,
    stacked,
    top,
)
from landslide.errors import InputError
from landslide.metrics import pixel
from landslide.metrics.reliability import BINS, bin_of, histogram
from tests.helpers.predictions import counts, open_library, scene, write_case

NOISE = (1.0, 1.5, 2.0, 3.0, 0.5, 2.5)
NAMES = ("d", "a", "f", "b", "e", "c")
OPTIONS = Options(size=3, steps=6, bags=3)


def library(folder: Path, cases: int = 2, parts: int = 1, seed: int = 0, order: tuple[int, ...] = ()) -> Library:
    random = np.random.default_rng(seed)
    names = [f"case{number}" for number in range(cases)]
    if not folder.joinpath(names[0]).exists():
        for name in names:
            write_case(folder, name, *zip(*(scene(random, (48, 40), NOISE) for _ in range(parts)), strict=True))
    return open_library(folder, names, NAMES, order)


def by_hand(probabilities: list[list[float]], truth: list[bool], group: list[int]) -> PixelSample:
    """A sample of whole groups: every pixel stands for itself."""
    values, true = np.array(probabilities, "float32"), np.array(truth)
    mapped, groups = values > 0.5, np.array(group)
    outcomes = np.stack([mapped & true, mapped & ~true, ~mapped & true, ~mapped & ~true], -1)
    member_counts = np.stack([outcomes[:, groups == one].sum(1) for one in np.unique(groups)])
    return PixelSample(
        members=tuple("abcdefgh"[: len(values)]), groups=tuple(str(one) for one in np.unique(groups)), threshold=0.5,
        probabilities=values, truth=true, contested=mapped.any(0) & ~mapped.all(0), group=groups,
        weight=np.ones(len(true)), member_counts=member_counts,
        moments=second_moments(values, true, np.ones(len(true)), groups),
    )  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, max_examples=12)
@given(st.permutations(range(len(NAMES))), st.integers(1, 3))
def test_no_way_depends_on_the_order_of_members(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cases: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / f"order{cases}"
    plain, other = library(folder, cases), library(folder, cases, order=tuple(order))
    weights, rows = select_all(plain, OPTIONS)
    permuted, other_rows = select_all(other, OPTIONS)
    assert rows == other_rows
    for way in SELECTORS:
        assert (permuted[way] == weights[way][order]).all()
        assert weights[way].sum() == pytest.approx(1)
        assert (weights[way] >= 0).all()


def test_a_seed_gives_one_choice(tmp_path: Path) -> None:
    found = library(tmp_path)
    (first, _), (second, _) = select_all(found, OPTIONS), select_all(found, OPTIONS)
    for way in SELECTORS:
        assert (first[way] == second[way]).all()
    samples = [PixelSample.draw(found, 0.5, seed, pixels=240) for seed in (0, 1)]
    assert (samples[0].probabilities != samples[1].probabilities).any()


@pytest.mark.parametrize(("cases", "parts", "groups"), [(1, 1, 4), (1, 3, 3), (2, 2, 2)])
def test_a_sample_that_takes_everything_is_exact(tmp_path: Path, cases: int, parts: int, groups: int) -> None:
    found = library(tmp_path, cases, parts)
    sample = PixelSample.draw(found, 0.5, pixels=10**6, size=300)
    assert len(sample.groups) == groups
    assert (sample.weight == 1).all()
    assert sample.members == tuple(sorted(NAMES))
    for weights in np.random.default_rng(0).dirichlet(np.ones(len(NAMES)), 5):
        in_library = np.array([weights[sample.members.index(name)] for name in NAMES])
        expected = counts(found, in_library, 0.5)
        assert sample.counts(weights) == pytest.approx(expected)
        by_group = [sample.subset([group]).counts(weights) for group in range(groups)]
        assert sum(by_group) == pytest.approx(expected)
    exact = np.stack([sample.counts(row) for row in np.eye(len(NAMES))])
    assert sample.member_counts.sum(0) == pytest.approx(exact)


def test_a_small_sample_is_unbiased(tmp_path: Path) -> None:
    found, weights = library(tmp_path), np.full(len(NAMES), 1 / len(NAMES))
    expected = counts(found, weights, 0.5)
    drawn = [PixelSample.draw(found, 0.5, seed, pixels=12 * 150) for seed in range(100)]
    assert all(sample.probabilities.shape[1] <= 12 * 150 for sample in drawn)
    estimates = np.array([sample.counts(weights) for sample in drawn])
    error = estimates.std(axis=0) / np.sqrt(len(drawn))
    assert (np.abs(estimates.mean(0) - expected) < 4 * error + 1e-6).all()
    f1 = pixel.f1(expected.astype("float64"))
    assert pixel.f1(estimates).mean() == pytest.approx(f1, abs=0.015)
    assert pixel.f1(estimates).std() < 0.06


@given(st.integers(0, 2**32))
def test_greedy_counts_are_those_of_the_sample(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(0, 9, (4, 30)) / 8
    sample = by_hand(values.tolist(), (random.random(30) < 0.4).tolist(), [0] * 15 + [1] * 15)
    greedy, picks = GreedySample.of(sample), random.integers(0, 4, 5)
    for step, counted in enumerate(greedy.path_counts(picks), 1):
        weights = np.bincount(picks[:step], minlength=4) / step
        assert counted == pytest.approx(sample.counts(weights))


def test_a_greedy_path_by_hand() -> None:
    # a finds two of three, and one that is none; b finds the third one loudly; c is a copy of a
    truth = [True, True, True, False, False]
    sample = by_hand(
        [[0.9, 0.8, 0.1, 0.6, 0.1], [0.2, 0.3, 0.95, 0.1, 0.1], [0.9, 0.8, 0.1, 0.6, 0.1]], truth, [0, 0, 0, 1, 1]
    )
    path = GreedySample.of(sample).path(np.arange(3), 2)
    assert path.tolist() == [0, 1]  # a and c are equals: the first; with b: 0.55 0.55 0.525 0.35 0.1, all there is
    assert pixel.f1(GreedySample.of(sample).path_counts(path)).tolist() == pytest.approx([4 / 6, 1.0])


@given(st.integers(0, 2**32))
def test_the_first_step_is_the_best_member_and_each_the_best_addition(seed: int) -> None:
    random = np.random.default_rng(seed)
    values = random.integers(0, 16, (3, 24)) / 16
    sample = by_hand(values.tolist(), ([True] * 8 + [False] * 16), [0] * 24)
    greedy = GreedySample.of(sample)
    path = greedy.path(np.arange(3), 3)
    assert path[0] == sample.f1.argmax()
    for step in (1, 2):
        reached = pixel.f1(greedy.path_counts(path[: step + 1]))[-1]
        for member in range(3):
            other = pixel.f1(greedy.path_counts(np.append(path[:step], member)))[-1]
            assert np.nan_to_num(reached) >= np.nan_to_num(other)
    best = max(
        np.nan_to_num(pixel.f1(greedy.path_counts(np.array(picks)))[-1])
        for picks in combinations_with_replacement(range(3), 3)
    )
    assert np.nan_to_num(pixel.f1(greedy.path_counts(path))[-1]) <= best


def test_forward_leaves_out_what_helps_in_one_scene_alone() -> None:
    # in each scene another member is right by chance; the last one is right in all of them
    truth = [True, False] * 4 * 3
    steady = [0.7 if true else 0.3 for true in truth]
    lucky = []
    for scene_ in range(3):
        own = range(8 * scene_, 8 * scene_ + 8)
        lucky.append([(0.99 if truth[i] else 0.01) if i in own else 0.6 * (not truth[i]) for i in range(24)])
    sample = by_hand([*lucky, steady], truth, [0] * 8 + [1] * 8 + [2] * 8)
    weights = forward(sample, Options(steps=5, bags=20))
    assert weights.argmax() == 3


def test_diverse_prefers_the_weaker_stranger_to_a_copy() -> None:
    truth = [True, True, True, False, False, False]
    best, stranger = [0.9, 0.9, 0.2, 0.1, 0.1, 0.1], [0.2, 0.9, 0.9, 0.1, 0.6, 0.1]
    sample = by_hand([best, best, stranger], truth, [0] * 6)
    correlation = error_correlation(sample)
    assert correlation == pytest.approx(np.corrcoef(sample.probabilities - sample.truth), abs=1e-6)
    assert correlation[0, 1] == pytest.approx(1)
    assert correlation[0, 2] < 0.5
    assert np.flatnonzero(diverse(sample, Options(size=2))).tolist() == [0, 2]
    assert np.flatnonzero(diverse(sample, Options(size=2, relevance=1))).tolist() == [0, 1]
    assert np.flatnonzero(top(sample, Options(size=2))).tolist() == [0, 1]


def test_stacked_is_the_least_brier_score_of_all_weights() -> None:
    random = np.random.default_rng(0)
    truth = random.random(500) < 0.3
    values = np.clip(truth * 0.6 + 0.2 + random.normal(0, [[0.1], [0.2], [0.4]], (3, 500)), 0, 1)
    sample = by_hand(values.tolist(), truth.tolist(), [0] * 500)
    found = minimize(lambda w: ((w @ values - truth) ** 2).sum(), np.full(3, 1 / 3), bounds=[(0, None)] * 3)
    assert stacked(sample, Options(ridge=1e-9)) == pytest.approx(found.x / found.x.sum(), abs=1e-3)
    copies = by_hand([values[0].tolist()] * 3, truth.tolist(), [0] * 500)
    assert stacked(copies, Options()) == pytest.approx(np.full(3, 1 / 3), abs=1e-6)


def test_a_row_tells_how_many_and_how_evenly(tmp_path: Path) -> None:
    weights, rows = select_all(library(tmp_path), OPTIONS)
    by_way = {row.selector: row for row in rows}
    assert list(by_way) == list(SELECTORS)
    assert (by_way["top"].members, by_way["all_members"].members) == (3, len(NAMES))
    for way, row in by_way.items():
        assert row.members == np.count_nonzero(weights[way])
        assert row.effective_size == pytest.approx(1 / (weights[way] ** 2).sum())
        assert 1 <= row.effective_size <= row.members + 1e-9
        assert 0 < row.held_out_f1 < 1


def test_members_that_say_nothing_are_no_trouble(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for case in "ab":
        truth, probability = scene(random, (30, 30), [1.0, 1.0, 1.0])
        probability[0], probability[1] = 0, 1
        write_case(tmp_path, case, [truth], [probability])
    weights, _ = select_all(open_library(tmp_path, "ab", ["never", "always", "some"]), OPTIONS)
    assert all(np.isfinite(chosen).all() for chosen in weights.values())
    assert weights["forward"].argmax() == 2


def test_without_landslides_nothing_can_be_chosen(tmp_path: Path) -> None:
    write_case(tmp_path, "a", [np.zeros((8, 8), bool)], [np.full((2, 8, 8), 0.6)])
    with pytest.raises(InputError, match="no landslide to choose"):
        select_all(open_library(tmp_path, "a", ["x", "y"]), OPTIONS)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from((0.0, 1.0)), min_size=1, max_size=12),
    st.lists(st.floats(1e-6, 1.0), min_size=12, max_size=12),
    st.sampled_from(("probability", "logit")),
)
def test_a_mean_of_members_at_0_and_1_stays_a_probability(
    values: list[float], weights: list[float], scale: Scale
) -> None:
    members = np.array(values, "float32")[:, None].repeat(40, axis=1)
    rows = np.array([weights[: len(values)], np.ones(len(values)) / 3])
    found = inverse_link(weighted_mean(link(members, scale), rows, scale), scale)
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.isfinite(histogram(found.ravel(), found.ravel() > 0.5)).all()


def test_saturated_members_are_scored(tmp_path: Path) -> None:
    """Nine members that say 1 on landslides under weights whose float32 mean passes 1 by a rounding."""
    random = np.random.default_rng(1)
    weights = random.random((60, 9))
    truth = random.random((30, 30)) < 0.3
    members = np.repeat(np.where(truth, 1.0, 0.0)[None], 9, axis=0).astype("float32")
    write_case(tmp_path, "case", [truth], [members])
    library = open_library(tmp_path, ["case"], tuple("abcdefghi"))
    for scale in ("probability", "logit"):
        by_case = histograms(library, weights, [scale] * len(weights), bin_of, BINS)
        assert by_case["case"].sum(axis=(1, 2)).tolist() == [900] * len(weights)
