import json
from pathlib import Path

import pytest

from landslide.evaluation.ablation import clouds, options, sizes, write_answer
from landslide.evaluation.results import Scores, SizeResult
from landslide.metrics.pixel import Counts
from tests.helpers.evaluation_report import changed, made_up_report


def scores(f1: float) -> Scores:
    """Scores of a hundred landslide pixels with about this F1."""
    return Scores.of(Counts(tp=round(100 * f1), fp=round(100 * (1 - f1)), fn=round(100 * (1 - f1)), tn=100))


def test_landslides_under_cloud_count_as_missed() -> None:
    pooled = Scores.of(Counts(tp=40, fp=10, fn=10, tn=100))
    report = changed(made_up_report(), pooled=pooled.model_dump(), observed={"a": 0.5, "b": 1.0})
    (row,) = clouds({0.5: report}, {0.5: {"a": 60, "b": 30}})
    assert row["f1_all"] == pytest.approx(2 * 40 / (40 + 10 + 90))
    assert row["recall_all"] == pytest.approx(40 / 90)
    assert (row["f1_observed"], row["observed"]) == (0.8, 0.75)
    assert row["interval"] == report.intervals.f1.landslides


def test_rows_are_in_the_order_of_cloudiness() -> None:
    reports = {cloudiness: made_up_report() for cloudiness in (0.8, 0.0, 0.4)}
    rows = clouds(reports, {cloudiness: {"a": 10} for cloudiness in reports})
    assert [row["cloudiness"] for row in rows] == [0.0, 0.4, 0.8]


def test_an_option_has_the_delivered_scores_and_those_of_each_event(tmp_path: Path) -> None:
    report = made_up_report()
    answer = options({"VV": report})
    assert answer["VV"]["f1"] == report.pooled.f1
    assert answer["VV"]["interval"] == report.intervals.f1.landslides
    assert answer["VV"]["events"] == {case: one.f1 for case, one in report.cases.items()}
    write_answer(answer, "answer", tmp_path)
    assert json.loads((tmp_path / "answer.json").read_text())["VV"]["observed"] == report.observed


def test_sizes_within_a_hundredth_of_the_best_are_alike() -> None:
    curve = [
        SizeResult(k=k, interval=(f1 - 0.1, f1) if k == 2 else None, pooled=scores(f1), cases={"a": scores(1 - f1)})
        for k, f1 in enumerate((0.5, 0.7, 0.71, 0.6), 1)
    ]
    report = made_up_report().model_copy(update={"curve": curve, "cases": {"a": scores(0.5)}})
    answer = sizes({"all": report})["all"]
    assert (answer["best_size"], answer["alike"]) == (3, [2, 3])
    assert answer["best_f1"] == pytest.approx(0.71)
    assert answer["intervals"] == {2: pytest.approx((0.6, 0.7))}
    assert answer["events"]["a"]["best_size"] == 1
