from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from landslide.datasets.stack import COUNT_UNKNOWN as NO_COUNT
from landslide.features.terrain import terrain_bands
from landslide.geo.solar import sun_at
from landslide.metrics.pixel import Counts, total
from landslide.metrics.strata import (
    UNKNOWN,
    Slices,
    by_cover,
    by_distance,
    by_illumination,
    by_observations,
    by_radar_look,
    by_slope,
    by_value,
    counts_by_slice,
)

SHAPE = (5, 6)
bands = arrays("float32", SHAPE, elements=st.floats(-1, 1, width=32) | st.just(float("nan")))


def only(slices: Slices, row: int, column: int) -> str:
    """The one slice that a pixel is in."""
    (label,) = [label for label, mask in slices if mask[row, column]]
    return label


@given(bands, bands, bands, arrays(bool, (3, *SHAPE)), st.floats(0, 360), st.floats(0, 90))
def test_slices_part_the_scene_so_their_counts_add_up(
    steepness: np.ndarray, north: np.ndarray, east: np.ndarray, planes: np.ndarray, azimuth: float, elevation: float
) -> None:
    mapped, truth, valid = planes
    slope = np.abs(steepness) * 60
    for slices in (
        by_slope(slope), by_illumination(slope, north, east, azimuth, elevation),
        by_observations(np.arange(30, dtype="uint16").reshape(SHAPE), NO_COUNT),
        by_radar_look(slope, north, east, azimuth),
        by_distance(truth, 10.0, np.ones_like(valid)), by_distance(truth, 10.0, valid),
        by_cover(np.where(truth, 7, mapped).astype("uint8"), {1: "a", 3: "a"}, 0),
    ):  # fmt: skip
        assert (np.sum([mask for _, mask in slices], axis=0) == 1).all()
        counts = counts_by_slice(slices, mapped, truth, valid)
        assert len(counts) == len(slices)
        assert total(list(counts.values())) == Counts.of(mapped, truth, valid)


def test_a_slice_without_pixels_has_no_score() -> None:
    mapped = np.ones((1, 3), bool)
    counts = counts_by_slice(by_slope(np.array([[5.0, 15.0, np.nan]])), mapped, mapped, mapped)
    assert {label: count.f1 for label, count in counts.items()} == {
        "< 10°": 1, "10–20°": 1, "20–30°": None, "30–40°": None, "≥ 40°": None, UNKNOWN: 1,
    }  # fmt: skip


def test_a_value_on_an_edge_belongs_to_the_class_above() -> None:
    slices = by_value(np.array([[10.0, 9.99, 20.0]]), (10, 20), " m")
    assert [only(slices, 0, column) for column in range(3)] == ["10–20 m", "< 10 m", "≥ 20 m"]


@pytest.mark.parametrize(
    ("dip_towards", "expected"),
    [(None, "flat or turned to the sun"), (180, "flat or turned to the sun"), (90, "turned away from the sun"),
     (0, "in its own shadow")],
)  # fmt: skip
def test_the_sun_in_the_south_lights_what_dips_south(dip_towards: float | None, expected: str) -> None:
    y, x = np.mgrid[:5, :5] * 10.0
    towards = np.radians(dip_towards or 0)
    height = -np.tan(np.radians(45)) * (np.sin(towards) * x - np.cos(towards) * y)  # rows run south
    band = terrain_bands(np.zeros((5, 5)) if dip_towards is None else height, 10.0)
    slices = by_illumination(band["slope"], band["northness"], band["eastness"], azimuth=180, elevation=30)
    assert only(slices, 2, 2) == expected
    assert only(slices, 0, 0) == UNKNOWN  # no slope at the rim


@pytest.mark.parametrize(
    ("steepness", "dip_towards", "expected"),
    [
        (30, 260, "facing the radar"), (30, 80, "facing away from the radar"), (30, 350, "flat or across the look"),
        (30, 170, "flat or across the look"), (8, 260, "flat or across the look"), (0, 0, "flat or across the look"),
        (11, 260, "facing the radar"), (30, 260 + 65, "facing the radar"), (30, 260 + 75, "flat or across the look"),
    ],
)  # fmt: skip
def test_a_radar_that_looks_east_faces_what_dips_west(steepness: float, dip_towards: float, expected: str) -> None:
    y, x = np.mgrid[:5, :5] * 10.0
    towards = np.radians(dip_towards)
    height = -np.tan(np.radians(steepness)) * (np.sin(towards) * x - np.cos(towards) * y)  # rows run south
    band = terrain_bands(height, 10.0)
    slices = by_radar_look(band["slope"], band["northness"], band["eastness"], azimuth=80)
    assert only(slices, 2, 2) == expected
    assert only(slices, 0, 0) == UNKNOWN


@pytest.mark.parametrize(
    ("day", "declination"), [(date(2020, 3, 20), 0.0), (date(2020, 6, 21), 23.44), (date(2020, 12, 21), -23.44)]
)
@pytest.mark.parametrize("latitude", [-45.0, 0.0, 10.0, 45.0, 60.0])
def test_where_the_sun_stands_at_half_past_ten(day: date, declination: float, latitude: float) -> None:
    """Against vectors in the frame of the Earth's axis: the place on meridian 0, the sun 22.5° east of it."""
    phi, delta, east_of = np.radians([latitude, declination, 22.5])
    up = np.array([np.cos(phi), 0, np.sin(phi)])
    north, east = np.array([-np.sin(phi), 0, np.cos(phi)]), np.array([0, 1, 0])
    towards = np.array([np.cos(delta) * np.cos(east_of), np.cos(delta) * np.sin(east_of), np.sin(delta)])
    sun = sun_at(day, latitude)
    assert np.degrees(sun.elevation) == pytest.approx(np.degrees(np.arcsin(up @ towards)), abs=0.6)
    assert np.degrees(sun.azimuth) == pytest.approx(np.degrees(np.arctan2(east @ towards, north @ towards)), abs=1.5)


def test_cover_by_name_numbers_of_one_name_as_one() -> None:
    cover = np.array([[1, 2, 3, 9, 255]], "uint8")
    slices = by_cover(cover, {1: "forest", 2: "field", 3: "forest", 4: "bog"}, 255)
    assert [label for label, _ in slices] == ["forest", "field", "bog", "class 9", UNKNOWN]
    assert [only(slices, 0, column) for column in range(5)] == ["forest", "field", "forest", "class 9", UNKNOWN]


def test_distance_where_the_feature_is_not_known_is_unknown() -> None:
    river, known = np.zeros((1, 20), bool), np.ones((1, 20), bool)
    river[0, 0], known[0, 5:7] = True, False
    slices = by_distance(river, 10.0, known)
    assert [only(slices, 0, column) for column in (0, 4, 5, 6, 7)] == ["< 100 m"] * 2 + [UNKNOWN] * 2 + ["< 100 m"]


def test_distance_to_a_feature_in_metres() -> None:
    road = np.zeros((1, 60), bool)
    road[0, 0] = True
    slices = by_distance(road, 10.0, np.ones_like(road))
    assert only(slices, 0, 0) == only(slices, 0, 9) == "< 100 m"
    assert only(slices, 0, 10) == only(slices, 0, 29) == "100–300 m"
    assert only(slices, 0, 30) == "300–1000 m"
    nowhere = by_distance(np.zeros((2, 2), bool), 10.0, np.ones((2, 2), bool))
    assert nowhere[3][0] == "≥ 1000 m"
    assert nowhere[3][1].all()


def test_looks_by_name() -> None:
    slices = by_observations(np.array([[0, 1, 2, 3, 4, 5, 900, NO_COUNT]], "uint16"), NO_COUNT)
    assert [only(slices, 0, column) for column in range(8)] == [
        "not seen", "1 look", "2 looks", "3–4 looks", "3–4 looks", "≥ 5 looks", "≥ 5 looks", UNKNOWN,
    ]  # fmt: skip
