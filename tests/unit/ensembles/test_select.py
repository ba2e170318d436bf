from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from landslide.artifacts.stage import Artifact
from landslide.ensembles.calibration import Platt, forecasts
from landslide.ensembles.combine import Combiner, scene_predictions
from landslide.ensembles.confidence import ConfidenceThresholds, Patches, confidence_classes, confidence_thresholds
from landslide.ensembles.predictions import CasePredictions
from landslide.ensembles.select import PAPER, Rules, Selection, SelectMembers, resolve_selector, select
from landslide.ensembles.selectors import SELECTORS
from landslide.ensembles.thresholds import Rule, threshold_of
from landslide.errors import InputError
from landslide.evaluation.accumulators import SelectorAccumulator
from landslide.metrics import pixel
from landslide.metrics.reliability import CENTRES, histogram
from tests.helpers.predictions import counts, open_library, scene, write_case

NOISE = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
NAMES = ("f", "e", "d", "c", "b", "a")  # rank by noise is not the order of names
RULES = Rules(size=3, calibration="platt", threshold="f1")


def written(folder: Path, cases: str = "pq") -> Path:
    random = np.random.default_rng(0)
    for case in cases:
        write_case(folder, case, *zip(*(scene(random, (60, 50), NOISE) for _ in range(2)), strict=True))
    return folder


def chosen(folder: Path, order: tuple[int, ...] = (), rules: Rules = RULES) -> Selection:
    out = folder / "-".join(map(str, ("out", *order)))
    out.mkdir(exist_ok=True)
    select(open_library(folder, "pq", NAMES, order), rules, out)
    return Selection.read(out)


def test_every_way_has_weights_a_calibration_and_a_threshold(tmp_path: Path) -> None:
    found = chosen(written(tmp_path))
    assert found.validation == ["p", "q"]
    assert [choice.selector for choice in found.choices] == [PAPER, *SELECTORS]
    paper, top = found.of(PAPER), found.of("top")
    assert list(paper.weights) == list(top.weights) == ["f", "e", "d"], "the library's order is the rank"
    assert (paper.calibration, paper.threshold) == (None, 0.5)
    for choice in found.choices[1:]:
        assert sum(choice.weights.values()) == pytest.approx(1)
        assert choice.calibration is not None
        assert choice.confidence is not None
        assert choice.confidence.medium < choice.confidence.high
        assert 0 < choice.held_out_f1 < 1
    assert found.of("logistic").scale == "logit"


@pytest.mark.slow
def test_a_choice_does_not_depend_on_the_order_of_members_but_for_their_rank(tmp_path: Path) -> None:
    written(tmp_path)
    plain, other = chosen(tmp_path), chosen(tmp_path, (5, 0, 3, 1, 4, 2))
    for way in (way for way in SELECTORS if way != "top"):
        mine, its = plain.of(way), other.of(way)
        assert mine.weights == its.weights
        assert mine.threshold == pytest.approx(its.threshold, abs=1e-5)
        assert mine.confidence.model_dump() == pytest.approx(its.confidence.model_dump(), abs=1e-5)
        assert mine.calibration.slope == pytest.approx(its.calibration.slope, rel=1e-4)


def test_one_event_is_too_few_to_choose_by() -> None:
    assert [resolve_selector("auto", cases) for cases in (1, 2, 3, 9)] == [PAPER, PAPER, "stacked", "stacked"]
    assert resolve_selector("forward", 1) == "forward"


def test_the_key_holds_predictions_in_order_and_rules() -> None:
    def stage(case: str, predictions: str, rules: Rules = RULES) -> SelectMembers:
        stored = CasePredictions(
            stack=Artifact(stage="stack", key="s"), truth=Artifact(stage="truth", key="t"),
            predictions=tuple(Artifact(stage="predict", key=key) for key in predictions),
        )  # fmt: skip
        return SelectMembers(experiment="any", members=("a", "b"), cases={case: stored}, rules=rules)

    others = [stage("p", "yx"), stage("q", "xy"), stage("p", "xy", RULES.model_copy(update={"size": 4}))]
    assert len({stage("p", "xy").key, *(other.key for other in others)}) == 4


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from(["f1", "f2", "f0.5", "cost 1", "cost 5.5"]), st.booleans())
def test_no_other_cut_of_the_bins_is_better_by_the_rule(seed: int, rule: str, calibrated: bool) -> None:
    random = np.random.default_rng(seed)
    truth = random.random(400) < 0.3
    truth[0] = True
    probability = 1 / (1 + np.exp(-(2 * truth - 1.5 + random.normal(0, 1, 400))))
    forecast = forecasts(Platt(slope=0.7, bias=-0.4) if calibrated else None)
    counted = histogram(probability, truth)

    def merit(threshold: float) -> float:
        tp, fp = counted[1][forecast > threshold].sum(), counted[0][forecast > threshold].sum()
        fn = counted[1].sum() - tp
        number = float(rule.removeprefix("f").removeprefix("cost "))
        if rule.startswith("cost"):
            return -(number * fn + fp)
        return (1 + number**2) * tp / ((1 + number**2) * tp + number**2 * fn + fp)

    found = merit(threshold_of(rule, forecast, counted))
    assert found >= max(merit(cut) for cut in (forecast[:-1] + forecast[1:]) / 2) - 1e-12


def test_a_precision_is_kept_or_refused() -> None:
    counted = np.zeros((2, len(CENTRES)), "int64")
    counted[:, 300], counted[:, 600], counted[:, 900] = (90, 10), (10, 10), (1, 9)
    forecast = forecasts(None)
    threshold = threshold_of("precision 0.6", forecast, counted)
    assert forecast[300] < threshold < forecast[600]  # 19 of 30
    assert forecast[600] < threshold_of("precision 0.9", forecast, counted) < forecast[900]
    with pytest.raises(InputError, match=r"no threshold gives 'precision 0\.95'"):
        threshold_of("precision 0.95", forecast, counted)
    assert threshold_of(0.3, forecast, counted) == 0.3


@pytest.mark.parametrize("rule", ["best", "f", "precision", "cost", 0, 1, 1.5, "f1; import os"])
def test_a_rule_that_is_none_is_refused(rule: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Rule).validate_python(rule)


def test_patches_by_hand() -> None:
    probability, truth = np.zeros((6, 12), "float32"), np.zeros((6, 12), bool)
    probability[1:3, 1:4], truth[1:3, 1] = 0.9, True  # 6 pixels, a third real
    probability[1:3, 7:10] = 0.6  # 6 pixels, nothing real
    probability[5, 0:3] = 0.99  # below the minimum mapping unit
    found = Patches.of(probability, probability > 0.5, truth)
    assert found.means.tolist() == pytest.approx([0.9, 0.6])
    assert found.real.tolist() == [True, False]
    told = confidence_classes(ConfidenceThresholds(medium=0.5, high=0.8), found)
    assert [(one.name, one.patches, one.real) for one in told] == [("high", 1, 1), ("medium", 1, 0), ("low", 0, 0)]
    assert confidence_thresholds(found) is None
    many = Patches.pooled([found] * 4)
    assert confidence_thresholds(many).model_dump() == pytest.approx({"medium": 0.6, "high": 0.9})


@pytest.mark.parametrize("size", [100, 10_000])
def test_pictures_are_the_library_put_back_in_place(tmp_path: Path, size: int) -> None:
    random = np.random.default_rng(1)
    truths, predictions = zip(*(scene(random, shape, [1, 2]) for shape in ((20, 30), (8, 9))), strict=True)
    write_case(tmp_path, "a", truths, predictions)
    library = open_library(tmp_path, ["a"], ["x", "y"])
    votes = [Combiner(np.array([1.0, 3.0])), Combiner(np.array([1.0, 0.0]), calibration=Platt(slope=2, bias=-1))]
    for picture, truth, stored in zip(scene_predictions(library, "a", votes), truths, predictions, strict=True):
        half = stored.astype("float16").astype("float32")
        assert picture.valid.all()
        assert (picture.truth == truth).all()
        assert picture.probabilities[0] == pytest.approx((half[0] + 3 * half[1]) / 4, abs=1e-6)
        assert picture.probabilities[1] == pytest.approx(votes[1].calibration.apply(half[0]), abs=1e-6)


def test_a_case_of_which_nothing_counts_is_a_blank_picture(tmp_path: Path) -> None:
    nothing = np.zeros((0, 5), bool)
    write_case(tmp_path, "a", [np.ones((3, 5), bool), nothing], [np.ones((1, 3, 5)), np.ones((1, 0, 5))])
    found = list(scene_predictions(open_library(tmp_path, ["a"], ["x"]), "a", [Combiner(np.ones(1))]))
    assert [picture.valid.sum() for picture in found] == [15, 0]


def test_ways_beside_each_other(tmp_path: Path) -> None:
    folder = written(tmp_path)
    library, found = open_library(folder, "pq", NAMES), chosen(folder)
    votes = {choice.selector: choice.combiner(library.members) for choice in found.choices}
    tally = SelectorAccumulator(votes)
    for case in library.cases:
        for picture in scene_predictions(library, case, list(votes.values())):
            tally.add(case, picture)
    paper, stacked = (tally.result(found.of(selector), PAPER) for selector in (PAPER, "stacked"))
    tp, fp, fn, tn = counts(library, votes[PAPER].weights, 0.5)
    pooled = paper.pooled
    assert [pooled.tp, pooled.fp, pooled.fn, pooled.tn] == [tp, fp, fn, tn]
    assert pooled.f1 == pytest.approx(float(pixel.f1(np.array([tp, fp, fn, tn]))))
    assert (paper.gain, paper.gain_interval, paper.events_won) == (0, (0, 0), 0)
    assert stacked.gain == pytest.approx(stacked.pooled.f1 - pooled.f1)
    assert stacked.gain_interval[0] < stacked.gain < stacked.gain_interval[1]
    assert stacked.interval[0] < stacked.pooled.f1 < stacked.interval[1]
    assert stacked.events == 2
