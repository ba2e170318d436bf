import numpy as np
import pytest

from landslide.ensembles.ensemble import SCORES_FILE, Ensemble
from landslide.errors import InputError
from landslide.mapping.map_event import map_event
from landslide.mapping.report.html import histogram
from landslide.mapping.summary import MapOptions
from tests.helpers.browser import VIEWPORTS, chromium, open_page
from tests.helpers.evaluation_report import changed, made_up_report
from tests.helpers.mapping_case import Echo, case, hills, write_ensemble, write_stack

FIGURES = {"precision": 0.71, "recall": 0.64, "f1": 0.673, "iou": 0.51, "mcc": None, "tp": 1, "fp": 1, "fn": 1, "tn": 1}
CASES = {"iwate-2008": FIGURES}
SCORES = changed(
    made_up_report(),
    size=2,
    pooled=FIGURES,
    cases=CASES,
    members=[
        {"rank": rank, "name": name, "validation_f1": 0.5, "pooled": FIGURES | {"f1": f1}, "cases": CASES}
        for rank, name, f1 in ((1, "a", 0.6), (2, "b", None))
    ],
    baseline_dndvi={"threshold": -0.2, "pooled": FIGURES | {"f1": 0.414}, "cases": CASES},
)


def make_map(folder, scores=None, blank=False, **stack):
    """A report of a scene with two landslides and a corner that was not observed."""
    logit = np.full((120, 160), -3.0, "float32")
    logit[40:60, 70:100] = logit[80:90, 30:36] = 3
    logit[:30, :40] = np.nan
    if blank:
        logit[:] = np.nan
    prepared = write_stack(folder / "stack", {"dndvi_median": logit, "elevation": hills(120, 160)}, **stack)
    ensemble = write_ensemble(folder / "ensemble", ["dndvi_median"])
    if scores:
        (folder / "ensemble" / SCORES_FILE).write_text(scores if isinstance(scores, str) else scores.model_dump_json())
    (folder / "map").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ensemble, "load", lambda *_: Echo().eval())
        map_event(prepared, ensemble, folder / "map", MapOptions(window=64, overlap=16))
    return folder / "map" / "report.html"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return make_map(tmp_path_factory.mktemp("report"), SCORES)


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.mark.browser
@pytest.mark.parametrize("viewport", VIEWPORTS)
def test_it_opens_offline_without_an_error_and_shows_its_map(browser, report, viewport):
    page, requests, errors = open_page(browser, report, viewport)
    assert requests == [report.as_uri()]
    assert errors == []
    for name in ("relief", "probability", "outlines"):
        picture = page.locator(f".map .{name}")
        assert picture.is_visible()
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0 && image.clientWidth > 200")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()


@pytest.mark.browser
def test_layers_can_be_switched(browser, report):
    page, _, _ = open_page(browser, report, "desk")
    for layer, shown in (("probability", False), ("outlines", False), ("seen", True)):
        page.click(f"label[for=show-{layer}]")
        assert page.locator(f".map .{layer}").is_visible() is shown
    page.close()


@pytest.mark.browser
def test_text_of_a_case_is_never_markup(browser, tmp_path):
    evil = case(title="<script>document.title='x'</script><img src=http://example.org/x.png>")
    page, requests, _ = open_page(browser, make_map(tmp_path, of=evil), "desk")
    assert len(requests) == 1
    assert page.locator("h1").inner_text() == evil.title
    page.close()


def test_markup_in_the_text_of_a_case_is_escaped(tmp_path):
    text = make_map(tmp_path, of=case(title="<script>alert(1)</script>")).read_text()
    assert "<script" not in text
    assert "<h1>&lt;script&gt;alert(1)&lt;/script&gt;</h1>" in text


def test_it_says_what_was_not_observed(report):
    assert "6.2 %</b>" not in report.read_text()
    assert "6.2 % of the area was not observed" in report.read_text()


def test_a_blank_map_says_so(tmp_path):
    text = make_map(tmp_path, blank=True, seen=0).read_text()
    assert "Nothing was observed" in text
    assert "does not mean that there were none" in text
    assert "How many and how large" not in text


def test_it_tells_when_who_and_how_good(report):
    text = report.read_text()
    for words_ in ("6 September 2018", "8 July 2018 to 5 September 2018", "2018-09-14", "ascending 68", "41 %",
                   "71 %", "64 %", "0.67", "0.41", "0.60", "iwate-2008", "WGS 84 / UTM zone 54N",
                   "39 of 41 of high confidence were real"):  # fmt: skip
        assert words_ in text
    assert "Not evaluated" not in text


def test_it_tells_every_year_looked_at(tmp_path):
    text = make_map(tmp_path, of=case(pre={"years": 2})).read_text()
    assert "<dd>7 September 2016 to 5 November 2016 and 7 September 2017 to 5 November 2017</dd>" in text
    assert "<dd>7 September 2018 to 5 November 2018</dd>" in text


def test_an_ensemble_without_scores_is_called_not_evaluated(tmp_path):
    text = make_map(tmp_path, scenes=[]).read_text()
    assert "Not evaluated" in text
    assert "lists no dated acquisitions" in text


def test_scores_of_another_version_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"scores\.json is no evaluation report of this version"):
        make_map(tmp_path, '{"size": 2, "ways": []}')


def test_the_histogram_counts_every_landslide():
    areas = np.array([400.0, 500, 999, 1000, 4e4, 5e4])
    bars = histogram(areas)["bars"]
    assert sum(bar["count"] for bar in bars) == len(areas)
    assert max(bar["height"] for bar in bars) == 1
    assert bars[0]["label"] == "200 m²"
    assert histogram(np.array([]))["bars"] == []
    assert sum(bar["count"] for bar in histogram(np.array([1000.0]))["bars"]) == 1
