import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from landslide.evaluation.evaluate import EvaluatedScene, SceneImage
from landslide.evaluation.report import gallery
from landslide.evaluation.report.figures import draw_reliability
from landslide.evaluation.report.gallery import best_and_worst, draw_scene
from landslide.metrics.reliability import histogram, reliability
from landslide.plotting.style import FALSE_ALARM, FOUND, MISSED


def share(picture, colour):
    """Of a picture's pixels, those of a colour."""
    return float((np.abs(picture[..., :3] - to_rgb(colour)) < 0.01).all(-1).mean())


def drawn(path, side=64, unseen=(), **changes):
    """A scene with something found, missed and mapped in error, a fifth of the side each."""
    fifth = side // 5
    truth, probability = np.zeros((side, side), bool), np.full((side, side), 0.1, "float32")
    truth[:fifth] = truth[-fifth:] = True
    probability[:fifth] = probability[2 * fifth : 3 * fifth] = 0.9
    valid = np.ones((side, side), bool)
    for place in unseen:
        valid[place] = False
    values = np.where(valid, np.linspace(-1, 1, side, dtype="float32"), np.float32("nan"))
    image = SceneImage(values, **({"name": "change of NDVI", "unit": "1"} | changes))
    draw_scene(scene(image, np.where(valid, probability, np.nan).astype("float32"), truth, valid), 0.5, "x", path)
    return imread(path)


def scene(image, probability, truth, valid):
    """A scene as it is drawn."""
    return EvaluatedScene("case", "part", truth, valid, None, probability, image)


@pytest.mark.parametrize("side", [64, 300, 1500])
def test_a_picture_shows_every_outcome_and_has_a_bounded_size(tmp_path, side):
    picture = drawn(tmp_path / "a.png", side)
    for colour in (FOUND, MISSED, FALSE_ALARM):
        assert share(picture, colour) > 0.03
    assert picture.shape[1] <= 3 * gallery.PANEL_SIDE + 200
    assert picture.shape[1] >= 3 * gallery.MIN_COLUMN


@pytest.mark.parametrize("row", [600, 601, 602])
def test_one_pixel_that_was_not_observed_is_never_hidden(tmp_path, row):
    whole = drawn(tmp_path / "a.png", 1405)
    one = drawn(tmp_path / "b.png", 1405, [np.s_[row : row + 1, 602:603]])
    outcome = whole.shape[1] * 7 // 10
    assert (one != whole)[:, outcome:].any()


def test_what_does_not_count_has_no_outcome(tmp_path):
    picture = drawn(tmp_path / "a.png", 64, [np.s_[:]])
    whole = drawn(tmp_path / "b.png", 64)
    assert share(picture, MISSED) < 0.2 * share(whole, MISSED)


def test_relief_is_grey_and_one_value_is_drawn(tmp_path):
    drawn(tmp_path / "a.png", name="relief", diverging=False)
    flat = np.zeros((40, 30), "float32")
    nothing = np.zeros(flat.shape, bool)
    one_value = scene(SceneImage(flat, "change", "dB"), flat, nothing, ~nothing)
    unseen = scene(SceneImage(flat * np.nan, "change"), flat * np.nan, nothing, nothing)
    draw_scene(one_value, 0.5, "flat", tmp_path / "b.png")
    draw_scene(unseen, 0.5, "nothing seen", tmp_path / "c.png")
    assert all((tmp_path / f"{name}.png").stat().st_size for name in "abc")


def test_a_picture_is_the_same_each_time(tmp_path):
    drawn(tmp_path / "a.png")
    drawn(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_squares_keep_the_mean_of_what_is_known_and_any_gap():
    values = np.array([[1, np.nan, 5], [3, 2, 7]], "float32")
    assert gallery._mean(values, 2).tolist() == [[2, 6]]
    assert np.isnan(gallery._mean(np.full((2, 2), np.nan, "float32"), 2)).all()
    assert gallery._any(np.isnan(values), 2).tolist() == [[True, False]]
    assert gallery._nearest(np.arange(7)[None], 3).tolist() == [[1, 4, 6]]


def test_the_best_and_the_worst_are_chosen():
    cases = {"a": 0.5, "b": 0.9, "c": None, "d": 0.1, "e": 0.9, "f": float("nan"), "g": 0.3}
    assert best_and_worst(cases, 2) == (["b", "e"], ["d", "g"])
    assert best_and_worst(cases, 3) == (["b", "e", "a"], ["d", "g"])
    assert best_and_worst({"only": 0.4}, 2) == (["only"], [])
    assert best_and_worst({}, 2) == ([], [])


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_reliability_diagram_is_drawn(tmp_path, calibrated):
    random = np.random.default_rng(0)
    probability = random.uniform(0, 1, 20_000)
    counted = histogram(probability, random.uniform(0, 1, 20_000) < probability**2)
    before, after = reliability(counted), reliability(counted[:, ::-1].copy())
    draw_reliability(before if calibrated else None, after, "One event", tmp_path / "reliability.png")
    height, width, _ = imread(tmp_path / "reliability.png").shape
    assert (width, height) == (750, 810)
