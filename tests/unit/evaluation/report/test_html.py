import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import ndimage, special

from landslide.ensembles.calibration import Platt
from landslide.evaluation.report import html
from landslide.evaluation.report.figures import draw_reliability
from landslide.metrics.objects import SHARES, Objects, object_scores
from landslide.metrics.pixel import Counts
from landslide.metrics.reliability import Reliability, histogram, reliability

CHROMIUM = Path("/usr/bin/chromium")
VIEWPORTS = {"desk": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
COVER = ("forest", "grassland", "fields", "bare rock", "clear-cut", "harvested field", "flood", "melting snow")
WAYS = (
    ("paper", "probability", 20, 20.0), ("top", "probability", 20, 20.0), ("forward", "probability", 12, 7.4),
    ("diverse", "probability", 20, 20.0), ("stacked", "probability", 9, 4.2), ("logistic", "logit", 14, 6.1),
    ("all_members", "probability", 90, 90.0),
)  # fmt: skip
PICTURES = ("curve.png", "performance.png", "sizes.png", "gallery-best-1.png", "gallery-worst-1.png")
REPRODUCE = "name: four-events\nband_sets: [S1, S2, S1+S2, all]\n\nlandslide train four-events.yaml --store store"


def scene(random, skill=1.0, side=200):
    """Truth and probability (y, x) of blobs of many sizes, the better told the larger they are."""
    y, x = np.mgrid[:side, :side]
    truth, signal = np.zeros((side, side), bool), np.zeros((side, side))
    for radius in random.pareto(1.3, 40).clip(0.3, 9) + 1.5:
        row, column = random.uniform(0, side, 2)
        inside = (y - row) ** 2 + (x - column) ** 2 <= radius**2
        truth |= inside
        signal[inside] = skill * (2 + radius)
    noise = ndimage.gaussian_filter(random.normal(size=(side, side)), 2)
    return truth, special.expit(0.7 * signal + 2.2 * noise / noise.std() - 5.6).astype("float32")


def around(value, wide):
    """A made-up interval."""
    return None if value is None else [max(value - wide, 0), min(value + 0.8 * wide, 1)]


def parts(counts, labels, random):
    """Counts shared out over slices."""
    shares = {name: random.dirichlet(np.ones(len(labels))) for name in ("tp", "fp", "fn", "tn")}
    return {
        label: Counts(**{name: int(getattr(counts, name) * share[i]) for name, share in shares.items()}).scores()
        for i, label in enumerate(labels)
    }


def sample(seed=0, skill=1.0, cases=("amber-ridge", "hokkaido-2018", "juniper-range", "kaikoura-2016")):
    """A band set's `metrics.json`, of made-up events."""
    return json.loads(made_up(seed, skill, cases))


@cache
def made_up(seed, skill, cases):
    random = np.random.default_rng(seed)
    scenes = {case: scene(random, skill * random.uniform(0.8, 1.2)) for case in cases}
    counts = {case: Counts.of(p > 0.41, truth, np.ones_like(truth)) for case, (truth, p) in scenes.items()}
    pooled = sum(counts.values(), Counts())
    objects = Objects.pooled([Objects.of(p > 0.41, t, np.ones_like(t), 100) for t, p in scenes.values()])
    told = sum(histogram(p, truth) for truth, p in scenes.values())
    several = len(cases) >= 3

    def intervals(scores):
        return {name: {"landslides": around(value, 0.03), "events": around(value, 0.11) if several else None}
                for name, value in scores.items() if isinstance(value, float)}  # fmt: skip

    def way(name, scale, members, effective):
        paper, near = name == "paper", around(pooled.f1, 0.03)
        gain = 0.0 if paper else float(random.normal(0.01, 0.015))
        return {
            "way": name, "scale": scale, "members": members, "effective": effective,
            "held_out_f1": 0.01 + pooled.f1 + gain, "threshold": 0.5 if paper else 0.41,
            "pooled": pooled.scores() | {"f1": pooled.f1 + gain - 0.01}, "cases": {}, "interval": near,
            "gain": gain, "gain_interval": [0.0, 0.0] if paper else [gain - 0.015, gain + 0.012],
            "events_won": 0 if paper else 3, "events": len(cases), "ece": float(random.uniform(0.004, 0.03)),
        }  # fmt: skip

    ways = [way(*row) for row in WAYS]
    curve = [{"k": k, "pooled": pooled.scores(), "cases": {}, "interval": None} for k in range(1, 91)]
    members = [{"rank": k, "name": f"Unet-dice-{k}", "validation_f1": 0.8 - k / 400, "f1": 0.7 - k / 500}
               for k in range(1, 31)]  # fmt: skip
    return json.dumps({
        "size": 12, "way": "forward", "scale": "probability", "threshold": 0.41,
        "calibration": Platt.fit(told).model_dump(),
        "pooled": pooled.scores(), "cases": {case: one.scores() for case, one in counts.items()},
        "intervals": intervals(pooled.scores()), "average_precision": pooled.f1 + 0.04,
        "objects": [object_scores(objects, share).model_dump() | {"intervals": intervals({"detection_rate": 0.8})}
                    for share in SHARES],
        "slices": {
            "slope": parts(pooled, ("< 10°", "10–20°", "20–30°", "30–40°", "≥ 40°"), random),
            "cover": parts(pooled, COVER, random),
            "looks of s2_post": parts(pooled, ("not seen", "1 look", "2 looks", "3–4 looks", "≥ 5 looks"), random),
        },
        "reliability": {"before": reliability(told).model_dump(),
                        "after": reliability(np.roll(told, 20, axis=1)).model_dump()},
        "confidence": [{"name": "high", "least": 0.83, "patches": 41, "real": 39},
                       {"name": "medium", "least": 0.61, "patches": 63, "real": 44},
                       {"name": "low", "least": 0.0, "patches": 58, "real": 19}],
        "ways": ways, "observed": {case: float(random.uniform(0.72, 1)) for case in cases},
        "median_member_f1": pooled.f1 - 0.05,
        "baseline_dndvi": {"threshold": -0.21, "f1": pooled.f1 - 0.22, "pooled": {}, "cases": {}},
        "curve": curve, "members": members,
    })  # fmt: skip


def plain_picture(path, size=(4, 3)):
    Figure(figsize=size).savefig(path)
    return path


def drawn(folder, document):
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {name: plain_picture(folder / name) for name in PICTURES}
    before, after = (Reliability(**document["reliability"][when]) for when in ("before", "after"))
    draw_reliability(before, after, "Reliability", folder / "reliability.png")
    return pictures | {"reliability.png": folder / "reliability.png"}


def text_of(tmp_path, documents, figures=None, title="Four events", reproduce=REPRODUCE):
    path = tmp_path / "report.html"
    html.write(path, title, documents, figures or {}, reproduce)
    return path.read_text()


@pytest.fixture(scope="module")
def documents():
    return {"S1": sample(1, 0.55), "S2": sample(2, 0.8), "S1+S2": sample(3, 1.0), "all": sample(4, 0.9)}


@pytest.fixture(scope="module")
def report(tmp_path_factory, documents):
    folder = tmp_path_factory.mktemp("page")
    figures = {name: drawn(folder / str(i), document) for i, (name, document) in enumerate(documents.items())}
    html.write(folder / "report.html", "Four events, four band sets", documents, figures, REPRODUCE)
    return folder / "report.html"


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
    """The page with every fold open, the addresses it asked for and the errors it logged."""
    shown = browser.new_page(viewport=VIEWPORTS[viewport])
    asked, errors = [], []
    shown.on("request", lambda request: asked.append(request.url))
    shown.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.goto(path.as_uri())
    shown.wait_for_load_state("networkidle")
    shown.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    return shown, [url for url in asked if not url.startswith("data:")], errors


@pytest.mark.parametrize("viewport", VIEWPORTS)
def test_it_opens_offline_without_an_error_and_fits_the_screen(browser, report, viewport):
    shown, asked, errors = opened(browser, report, viewport)
    assert asked == [report.as_uri()]
    assert errors == []
    assert shown.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    shown.close()


def test_a_picture_is_enlarged_by_a_click_and_the_page_still_fits(browser, report):
    shown, _, _ = opened(browser, report, "phone")
    image = shown.locator(".zoom img").first
    before = image.evaluate("image => image.clientWidth")
    image.click()
    assert image.evaluate("image => image.clientWidth") > 2 * before
    assert shown.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    shown.close()


def test_a_title_is_never_markup(browser, tmp_path, documents):
    evil = "<script>document.title='x'</script><img src=http://example.org/x.png>"
    text_of(tmp_path, {evil: documents["S1"]}, title=evil, reproduce=evil)
    shown, asked, _ = opened(browser, tmp_path / "report.html", "desk")
    assert len(asked) == 1
    assert shown.locator("h1").inner_text() == evil
    shown.close()


def test_the_headline_is_of_the_best_band_set_and_says_what_its_interval_is(tmp_path, documents):
    text = " ".join(text_of(tmp_path, documents).split())
    best = max(documents, key=lambda name: documents[name]["pooled"]["f1"])
    f1 = documents[best]["pooled"]["f1"]
    assert f"<b>Band set {best} maps best: pooled F1 {f1:.2f}</b>" in text
    low, high = documents[best]["intervals"]["f1"]["events"]
    assert f"95 % interval {low:.2f} to {high:.2f}, on 4 events" in text
    assert "of another event like these" in text
    assert "flatters it a little" in text


def test_the_board_is_ordered_and_keeps_what_was_not_evaluated_last():
    rows = html.ranked({"a": {"pooled": {"f1": 0.5}}, "b": {}, "c": {"pooled": {"f1": 0.6}}, "d": {"pooled": None}})
    assert [row["name"] for row in rows] == ["c", "a", "b", "d"]
    assert rows[2]["interval"] is None


def test_one_event_claims_nothing_of_others(tmp_path):
    text = text_of(tmp_path, {"all": sample(cases=("amber-ridge",))})
    assert "over the landslides of this event" in text
    assert "flatters" not in text
    assert "on 1 event held" in text


def test_it_tells_what_the_classes_mean_and_what_looks_like_a_landslide(tmp_path):
    text = " ".join(text_of(tmp_path, {"all": sample()}).split())
    assert "Of the landslides called <b>high</b>" in text
    assert "<b>39 of 41</b> were real on events held out" in text
    assert "clear-cut" in text
    assert '<span class="badge">delivered</span>' in text
    assert text.index("By slope") > text.index("False alarms by ground")


def test_false_alarms_are_an_area_for_each_square_kilometre_the_most_first():
    slices = {
        "forest": {"tp": 100, "fp": 100, "fn": 0, "tn": 9800},
        "clear-cut": {"tp": 0, "fp": 300, "fn": 0, "tn": 700},
        "unknown": {"tp": 0, "fp": 0, "fn": 0, "tn": 0},
    }
    rows = html.false_alarms(slices)
    assert [(row["label"], row["per_km2"], row["share"], row["height"]) for row in rows] == [
        ("clear-cut", 300_000, 0.75, 1), ("forest", 10_000, 0.25, pytest.approx(1 / 30)),
    ]  # fmt: skip
    assert html.false_alarms(None) == []


def test_the_share_seen_is_of_ground_not_of_events():
    cases = {"large": {"tp": 0, "fp": 0, "fn": 0, "tn": 900}, "small": {"tp": 10, "fp": 0, "fn": 0, "tn": 0}}
    assert html.seen_share(cases, {"large": 0.9, "small": 0.1}) == pytest.approx(910 / 1100)
    assert html.seen_share(cases, {"large": 0.9}) is None
    assert html.seen_share({}, {}) is None


@pytest.mark.parametrize("gone", sorted(sample()))
@pytest.mark.parametrize("how", ["absent", "none"])
def test_whatever_is_missing_is_left_out(tmp_path, gone, how):
    document = sample() | {gone: None}
    if how == "absent":
        del document[gone]
    text = text_of(tmp_path, {"all": document})
    assert ">None<" not in text
    assert "nan" not in text.split("<body>")[1].replace("dominan", "")


def test_none_within_parts_is_a_dash(tmp_path):
    document = sample()
    nothing = {name: None if isinstance(value, float) else value for name, value in document["pooled"].items()}
    document["cases"]["amber-ridge"] = nothing
    document["ways"][1] |= {"gain": None, "gain_interval": None, "interval": None, "held_out_f1": None, "ece": None}
    document["objects"] = [one | {"half_detected_m2": None, "detection_rate": None} for one in document["objects"]]
    document["confidence"][2] |= {"patches": 0, "real": 0}
    document["observed"]["kaikoura-2016"] = None
    document["baseline_dndvi"] = None
    text = " ".join(text_of(tmp_path, {"all": document}).split())
    assert "From which size on half are found cannot be told" in text
    assert "None was called <b>low</b>" in text
    assert "not recorded" in text
    assert ">None<" not in text
    assert ">nan<" not in text


def test_what_was_not_evaluated_is_called_so(tmp_path):
    for documents in ({}, {"all": {}}):
        text = text_of(tmp_path, documents, reproduce="")
        assert "No score." in text
        assert "how good the maps are is not known" in text
        assert "is not recorded" in text
        assert "was not recorded" in text


def test_a_document_of_an_ensemble_without_a_library_says_what_was_not_measured(tmp_path):
    kept = ("size", "pooled", "cases", "intervals", "objects", "observed", "threshold")
    text = text_of(tmp_path, {"all": {name: value for name, value in sample().items() if name in kept}})
    assert "Ways of choosing" not in text
    assert "False alarms by ground" not in text
    assert "How often was not measured here" in text
    assert "<dt>Calibrated</dt><dd>no</dd>" in text


def test_figures_that_are_not_there_are_left_out(tmp_path):
    figures = {"all": {"curve.png": tmp_path / "nowhere.png", "sizes.png": plain_picture(tmp_path / "sizes.png")}}
    text = text_of(tmp_path, {"all": sample()}, figures)
    assert text.count("data:image/png") == 1
    assert "How many members" not in text


def test_it_tells_what_was_not_observed(tmp_path):
    document = sample() | {"observed": dict.fromkeys(sample()["cases"], 0.75)}
    assert "25 % of the test ground did not count" in " ".join(text_of(tmp_path, {"all": document}).split())


def test_figures_in_words():
    assert html.figure(-0.004, 3) == "−0.004"
    assert html.figure(-0.0004, 3, "+") == "+0.000"
    assert html.figure(0.02, 2, "+") == "+0.02"
    assert html.figure(float("nan")) == html.figure(None) == "–"
    assert html.span([0.6, 0.82]) == "0.60 to 0.82"
    assert html.span(None) == "–"
    assert html.bounds([0.1, None]) is html.bounds(None) is html.bounds([float("nan"), 1]) is None
