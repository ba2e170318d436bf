import pytest
from matplotlib.figure import Figure

from landslide.ensembles.select import PAPER
from landslide.ensembles.selectors import SELECTORS
from landslide.evaluation.report import html
from landslide.evaluation.report.figures import draw_reliability
from landslide.evaluation.report.html import FalseAlarms, false_alarms
from landslide.evaluation.results import Intervals, Scores
from landslide.metrics.pixel import Counts
from tests.helpers.browser import VIEWPORTS, chromium, open_page
from tests.helpers.evaluation_report import changed, made_up_report, undefined

PICTURES = ("curve.png", "performance.png", "sizes.png", "gallery-best-1.png", "gallery-worst-1.png")
REPRODUCE = "name: four-events\nband_sets: [S1, S2, S1+S2, all]\n\nlandslide train four-events.yaml --store store"
OPTIONAL = ("average_precision", "baseline_dndvi", "calibration", "confidence", "reliability")


def plain_picture(path, size=(4, 3)):
    Figure(figsize=size).savefig(path)
    return path


def drawn(folder, report):
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {name: plain_picture(folder / name) for name in PICTURES}
    draw_reliability(report.reliability.before, report.reliability.after, "Reliability", folder / "reliability.png")
    return pictures | {"reliability.png": folder / "reliability.png"}


def text_of(tmp_path, reports, figures=None, title="Four events", reproduce=REPRODUCE):
    """The page, with every run of white space as one space."""
    path = tmp_path / "report.html"
    html.write(path, title, reports, figures or {}, reproduce)
    return " ".join(path.read_text().split())


@pytest.fixture(scope="module")
def reports():
    return {
        "S1": made_up_report(1, 0.55), "S2": made_up_report(2, 0.8), "S1+S2": made_up_report(3, 1.0),
        "all": made_up_report(4, 0.9),
    }  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory, reports):
    folder = tmp_path_factory.mktemp("page")
    figures = {name: drawn(folder / str(i), report) for i, (name, report) in enumerate(reports.items())}
    html.write(folder / "report.html", "Four events, four band sets", reports, figures, REPRODUCE)
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


def opened(browser, path, viewport):
    """The page with every fold open, the addresses it asked for and the errors it logged."""
    page, requests, errors = open_page(browser, path, viewport)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return page, requests, errors


@pytest.mark.browser
@pytest.mark.parametrize("viewport", VIEWPORTS)
def test_it_opens_offline_without_an_error_and_fits_the_screen(browser, report, viewport):
    page, requests, errors = opened(browser, report, viewport)
    assert requests == [report.as_uri()]
    assert errors == []
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()


@pytest.mark.browser
def test_a_picture_is_enlarged_by_a_click_and_the_page_still_fits(browser, report):
    page, _, _ = opened(browser, report, "phone")
    image = page.locator(".zoom img").first
    before = image.evaluate("image => image.clientWidth")
    image.click()
    assert image.evaluate("image => image.clientWidth") > 2 * before
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()


@pytest.mark.browser
def test_a_title_is_never_markup(browser, tmp_path, reports):
    evil = "<script>document.title='x'</script><img src=http://example.org/x.png>"
    text_of(tmp_path, {evil: reports["S1"]}, title=evil, reproduce=evil)
    page, requests, _ = opened(browser, tmp_path / "report.html", "desk")
    assert len(requests) == 1
    assert page.locator("h1").inner_text() == evil
    page.close()


def test_markup_in_titles_and_names_is_escaped(tmp_path, reports):
    evil = "<script>alert(1)</script>"
    page = text_of(tmp_path, {evil: reports["S1"]}, title=evil, reproduce=evil)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 4


def test_the_headline_is_of_the_best_band_set_and_says_what_its_interval_is(tmp_path, reports):
    page = text_of(tmp_path, reports)
    best = max(reports, key=lambda name: reports[name].pooled.f1)
    f1 = reports[best].pooled.f1
    assert f"<b>Band set {best} maps best: pooled F1 {f1:.2f}</b>" in page
    low, high = reports[best].intervals.f1.events
    assert f"95 % interval {low:.2f} to {high:.2f}, on 4 events" in page
    assert "of another event like these" in page
    assert "slightly optimistic" in page


def test_the_board_is_ordered_and_has_undefined_scores_last(tmp_path, reports):
    nothing = changed(reports["S1"], pooled=undefined(reports["S1"].pooled))
    bands = [html.BandSet(name, report, {}, {}) for name, report in [("none", nothing), *reports.items()]]
    rows = html.ranked(bands)
    assert [row.name for row in rows] == [
        *sorted(reports, key=lambda name: -reports[name].pooled.f1), "none",
    ]  # fmt: skip
    page = text_of(tmp_path, {"none": nothing})
    assert "No score." in page
    assert ">None<" not in page


def test_the_interval_is_over_events_where_there_is_one():
    report = made_up_report()
    f1 = report.intervals.f1
    assert html.BandSet("a", report, {}, {}).interval == f1.events
    for interval, over in (
        (Intervals(landslides=f1.landslides, events=None), "landslides"),
        (Intervals(landslides=None, events=None), None),
    ):
        intervals = report.intervals.model_copy(update={"f1": interval})
        band = html.BandSet("a", report.model_copy(update={"intervals": intervals}), {}, {})
        assert (band.interval, band.interval_over) == (interval.landslides, over)


def test_one_event_claims_nothing_about_others(tmp_path):
    page = text_of(tmp_path, {"all": made_up_report(cases=("amber-ridge",))})
    assert "over the landslides of this event" in page
    assert "slightly optimistic" not in page
    assert "on 1 event held" in page


def test_it_says_what_the_classes_mean_and_what_looks_like_a_landslide(tmp_path):
    page = text_of(tmp_path, {"all": made_up_report()})
    assert "Of the landslides of <b>high</b> confidence" in page
    assert "<b>39 of 41</b> were real on events held out" in page
    assert '<span class="soft">(0.61 to 0.83)</span>' in page
    assert "clear-cut" in page
    assert page.count('<span class="badge">delivered</span>') == 1
    assert page.index("By slope") > page.index("False alarms by land cover")


def test_every_selector_is_described():
    assert set(html.DESCRIPTIONS) == {PAPER, *SELECTORS}


def test_false_alarms_are_an_area_for_each_square_kilometre_the_most_first():
    slices = {
        "forest": Scores.of(Counts(tp=100, fp=100, fn=0, tn=9800)),
        "clear-cut": Scores.of(Counts(tp=0, fp=300, fn=0, tn=700)),
        "unknown": Scores.of(Counts()),
    }
    assert false_alarms(slices) == [
        FalseAlarms("clear-cut", m2_per_km2=300_000, share=0.75, relative=1),
        FalseAlarms("forest", m2_per_km2=10_000, share=0.25, relative=pytest.approx(1 / 30)),
    ]
    assert false_alarms({}) == []


@pytest.mark.parametrize("gone", OPTIONAL)
def test_what_may_be_missing_is_left_out(tmp_path, gone):
    page = text_of(tmp_path, {"all": changed(made_up_report(), **{gone: None})})
    assert ">None<" not in page
    assert "nan" not in page.split("<body>")[1].replace("dominan", "")


def test_none_within_parts_is_a_dash(tmp_path):
    report = made_up_report()
    cases = report.cases | {"amber-ridge": undefined(report.cases["amber-ridge"])}
    second = {"gain": None, "gain_interval": None, "interval": None, "held_out_f1": None, "ece": None}
    selectors = [report.selectors[0], report.selectors[1].model_copy(update=second), *report.selectors[2:]]
    objects = [one.model_copy(update={"half_detected_m2": None, "detection_rate": None}) for one in report.objects]
    empty = report.confidence[2].model_copy(update={"patches": 0, "real": 0})
    page = text_of(tmp_path, {"all": report.model_copy(update={
        "cases": cases, "selectors": selectors, "objects": objects, "confidence": [*report.confidence[:2], empty],
        "baseline_dndvi": None,
    })})  # fmt: skip
    assert "The size at which half are detected cannot be estimated" in page
    assert "None had <b>low</b> confidence" in page
    assert ">None<" not in page
    assert ">nan<" not in page


def test_an_experiment_without_an_evaluation_says_so(tmp_path):
    page = text_of(tmp_path, {}, reproduce="")
    assert "No score." in page
    assert "how good the maps are is not known" in page
    assert "how much of it was observed is not known" in page
    assert "was not recorded" in page


def test_an_ensemble_that_stands_alone_says_what_was_not_measured(tmp_path):
    report = made_up_report()
    alone = changed(report, selectors=[report.selectors[0]], slices={}, calibration=None, confidence=None)
    page = text_of(tmp_path, {"all": alone})
    assert "published selector" not in page
    assert "False alarms by land cover" not in page
    assert "How often was not measured here" in page
    assert "<dt>Calibration</dt><dd>none</dd>" in page


def test_figures_that_do_not_exist_are_left_out(tmp_path):
    figures = {"all": {"curve.png": tmp_path / "nowhere.png", "sizes.png": plain_picture(tmp_path / "sizes.png")}}
    page = text_of(tmp_path, {"all": made_up_report()}, figures)
    assert page.count("data:image/png") == 1
    assert "Number of members" not in page


def test_it_says_what_was_not_observed(tmp_path):
    page = text_of(tmp_path, {"all": changed(made_up_report(), share_observed=0.75)})
    assert "25 % of the test area did not count" in page
