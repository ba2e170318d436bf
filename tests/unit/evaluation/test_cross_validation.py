import pytest

from landslide.ensembles.select import PAPER
from landslide.evaluation.cross_validation import CrossValidation
from landslide.evaluation.report.study_figures import draw_events
from landslide.metrics.pixel import total
from tests.helpers.evaluation_report import made_up_report

EVENTS = ("amber-ridge", "hokkaido-2018", "juniper-range")


@pytest.fixture(scope="module")
def folds():
    return {name: made_up_report(seed, cases=(name,)) for seed, name in enumerate(EVENTS)}


def test_events_are_pooled_by_their_pixels(folds):
    validation = CrossValidation.of(folds)
    assert validation.pooled.counts == total([report.pooled.counts for report in folds.values()])
    papers = [next(one for one in report.selectors if one.selector == PAPER) for report in folds.values()]
    assert validation.paper.counts == total([paper.pooled.counts for paper in papers])
    low, high = validation.events_interval
    assert low <= validation.pooled.f1 <= high


def test_two_events_have_no_interval_over_events(folds):
    two = dict(list(folds.items())[:2])
    assert CrossValidation.of(two).events_interval is None


def test_the_document_has_every_event(folds):
    document = CrossValidation.of(folds).document()
    assert list(document["events"]) == list(EVENTS)
    for name, report in folds.items():
        event = document["events"][name]
        assert event["f1"] == report.pooled.f1
        assert event["observed"] == report.observed[name]
        assert event["interval"] == report.intervals.f1.landslides
    assert document["events_won"] == sum(one["f1"] > one["paper_f1"] for one in document["events"].values())


def test_a_panel_is_drawn_for_each_band_set(tmp_path, folds):
    validation = CrossValidation.of(folds)
    draw_events({"all": validation, "s1": validation}, "Each event left out", tmp_path / "events.png")
    assert (tmp_path / "events.png").stat().st_size > 10_000
