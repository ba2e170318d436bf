import numpy as np
import pytest

from landslide.plotting.blend import hillshade, over_grey, stripes
from landslide.plotting.style import HATCH


def test_a_slope_that_faces_the_sun_is_brighter():
    rise = np.array(0.3 / np.sqrt(2))
    towards = hillshade(np.full((4, 4), -rise), np.full((4, 4), rise))
    away = hillshade(np.full((4, 4), rise), np.full((4, 4), -rise))
    flat = hillshade(np.zeros((4, 4)), np.zeros((4, 4)))
    assert away.max() < flat.min() < towards.min()
    assert flat.mean() == pytest.approx(np.sqrt(0.5), rel=1e-5)


def test_gentle_relief_is_not_stretched_to_mountains():
    noise = np.random.default_rng(0).normal(0, 1e-3, (2, 30, 40))
    shade = hillshade(*noise)
    assert np.ptp(shade) < 0.05
    hills = hillshade(*(100 * noise))
    assert np.ptp(hills) > 10 * np.ptp(shade)


def test_the_shade_of_what_is_unknown_is_unknown():
    north, east = np.full((4, 5), 0.2), np.full((4, 5), -0.1)
    north[0, 0], east[2, 3] = np.nan, np.nan
    shade = hillshade(north, east)
    assert shade.dtype == np.float32
    assert np.argwhere(np.isnan(shade)).tolist() == [[0, 0], [2, 3]]
    assert np.isnan(hillshade(north * np.nan, east)).all()


def test_the_hatching_has_the_colours_of_the_style():
    grey = stripes((12, 12))
    assert [f"#{3 * format(round(255 * value), '02x')}" for value in np.unique(grey)] == list(HATCH)
    assert grey[0, 0] != grey[0, 6]


def test_probability_is_laid_over_light_grey():
    colours = over_grey(np.array([[0.0, 0.02, 0.9, np.nan]], "float32"))
    assert colours[0, [0, 1, 3]] == pytest.approx(225 / 255)
    assert colours[0, 2].min() < 0.6
