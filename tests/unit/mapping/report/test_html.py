import json
from pathlib import Path

import numpy as np
import pytest

from landslide.ensembles.ensemble import Ensemble
from landslide.mapping.map_event import map_event
from landslide.mapping.report.html import histogram
from landslide.mapping.summary import MapOptions
from landslide.plotting import text as words
from tests.helpers.mapping_case import Echo, case, hills, write_ensemble, write_stack

CHROMIUM = Path("/usr/bin/chromium")
FIGURES = {"precision": 0.71, "recall": 0.64, "f1": 0.673, "iou": 0.51, "mcc": None, "tp": 1, "fp": 1, "fn": 1, "tn": 1}
SCORES = {
    "size": 2,
    "pooled": FIGURES,
    "cases": {"iwate-2008": FIGURES},
    "members": [{"name": "a", "f1": 0.6}, {"name": "b", "f1": None}],
    "baseline_dndvi": {"f1": 0.414, "threshold": -0.2},
}
VIEWPORTS = {"desk": {"width": 1200, "height": 900}, "phone": {"width": 360, "height": 740}}


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
        (folder / "ensemble" / "scores.json").write_text(json.dumps(scores))
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
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser, path, viewport):
    """The page, the addresses it asked for and the errors it logged."""
    page = browser.new_page(viewport=VIEWPORTS[viewport])
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_load_state("networkidle")
    return page, [url for url in asked if not url.startswith("data:")], errors


@pytest.mark.parametrize("viewport", VIEWPORTS)
def test_it_opens_offline_without_an_error_and_shows_its_map(browser, report, viewport):
    page, asked, errors = opened(browser, report, viewport)
    assert asked == [report.as_uri()]
    assert errors == []
    for name in ("ground", "probability", "outlines"):
        picture = page.locator(f".map .{name}")
        assert picture.is_visible()
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0 && image.clientWidth > 200")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.close()


def test_layers_can_be_switched(browser, report):
    page, _, _ = opened(browser, report, "desk")
    for layer, shown in (("probability", False), ("outlines", False), ("seen", True)):
        page.click(f"label[for=show-{layer}]")
        assert page.locator(f".map .{layer}").is_visible() is shown
    page.close()


def test_text_of_a_case_is_never_markup(browser, tmp_path):
    evil = case(title="<script>document.title='x'</script><img src=http://example.org/x.png>")
    page, asked, _ = opened(browser, make_map(tmp_path, of=evil), "desk")
    assert len(asked) == 1
    assert page.locator("h1").inner_text() == evil.title
    page.close()


def test_it_says_what_was_not_seen(report):
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
                   "71 %", "64 %", "0.67", "0.41", "iwate-2008", "WGS 84 / UTM zone 54N"):  # fmt: skip
        assert words_ in text
    assert "Not evaluated" not in text


def test_it_tells_every_year_looked_at(tmp_path):
    text = make_map(tmp_path, of=case(pre={"years": 2})).read_text()
    assert "<dd>7 September 2016 to 5 November 2016 and 7 September 2017 to 5 November 2017</dd>" in text
    assert "<dd>7 September 2018 to 5 November 2018</dd>" in text


@pytest.mark.parametrize(
    ("years", "text"),
    [
        (1, "7 September 2017 to 7 September 2017"),
        (3, "7 September 2015 to 7 September 2015, 7 September 2016 to 7 September 2016 and "
            "7 September 2017 to 7 September 2017"),
    ],
)  # fmt: skip
def test_windows_in_words(years, text):
    of = case(pre={"years": years}, post={"days": 1})
    assert words.window(of, "pre") == text
    assert words.window(of, "post") == "7 September 2018 to 7 September 2018"


def test_an_ensemble_without_scores_is_called_not_evaluated(tmp_path):
    text = make_map(tmp_path, scenes=[]).read_text()
    assert "Not evaluated" in text
    assert "lists no dated acquisitions" in text


def test_the_histogram_counts_every_landslide():
    areas = np.array([400.0, 500, 999, 1000, 4e4, 5e4])
    bars = histogram(areas)["bars"]
    assert sum(bar["count"] for bar in bars) == len(areas)
    assert max(bar["height"] for bar in bars) == 1
    assert bars[0]["label"] == "200 m²"
    assert histogram(np.array([]))["bars"] == []
    assert sum(bar["count"] for bar in histogram(np.array([1000.0]))["bars"]) == 1


@pytest.mark.parametrize(
    ("metres", "text"),
    [(400, "400 m²"), (9999, "9999 m²"), (12_345, "1.23 ha"), (2.5e6, "2.5 km²"), (1.2345e9, "1,234 km²"), (0, "0 m²")],
)
def test_areas_in_words(metres, text):
    assert words.area(metres) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.0001, "under 0.1 %"),
        (0.105, "10.5 %"),
        (0.9999, "over 99.9 %"),
        (1, "100 %"),
        (None, "not known"),
    ],
)
def test_shares_in_words_never_round_to_nothing_or_all(share, text):
    assert words.percent(share) == text
