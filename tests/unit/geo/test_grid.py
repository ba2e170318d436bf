import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide.cases.case import Case
from landslide.errors import GridError
from landslide.geo.grid import blocks, grid, utm_crs


def case(aoi: object) -> Case:
    source = {"kind": "stac", "catalog": "c.json", "dem": {"collection": "dem"}}
    return Case.model_validate({"id": "c", "event_date": "2020-01-01", "aoi": aoi, "source": source})


@settings(max_examples=40, deadline=None)
@given(st.floats(-179, 178), st.floats(-85, 86), st.floats(0.001, 0.2))
def test_origin_on_multiples_of_the_pixel_and_the_area_inside(west: float, south: float, size: float) -> None:
    geobox = grid(case([west, south, west + size, south + size]))
    left, top = geobox.affine.c, geobox.affine.f
    assert left % 10 == top % 10 == 0
    assert (geobox.affine.a, geobox.affine.e) == (10, -10)
    inside = geobox.geographic_extent.boundingbox
    assert inside.left <= west + 1e-6
    assert inside.top >= south + size - 1e-6


@pytest.mark.parametrize(
    ("place", "code"),
    [((10, 45), 32632), ((-71, -33), 32719), ((179.9, 0), 32660), ((0, 85), 32661), ((0, -81), 32761)],
)
def test_zones(place: tuple[float, float], code: int) -> None:
    assert utm_crs(*place) == f"EPSG:{code}"


@pytest.mark.parametrize("aoi", [[179.9, -17, -179.9, -16.9], [0, 0, 0, 1]])
def test_unusable_boxes_are_refused(aoi: list[float]) -> None:
    with pytest.raises(GridError, match=r"antimeridian|is empty"):
        grid(case(aoi))


def test_a_polygon_over_the_antimeridian_is_refused() -> None:
    ring = [[-179.9, -17], [179.9, -17], [179.9, -16.9], [-179.9, -17]]
    with pytest.raises(GridError, match="antimeridian"):
        grid(case({"type": "Polygon", "coordinates": [ring]}))


def test_a_continent_is_refused() -> None:
    with pytest.raises(GridError, match="Split the area"):
        grid(case([0, 40, 10, 50]))


@pytest.mark.slow
@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 130))
def test_blocks_cover_each_pixel_once(height: int, width: int, size: int) -> None:
    parts = blocks((height, width), size)
    assert sum((r.stop - r.start) * (c.stop - c.start) for r, c in parts) == height * width
    assert len(parts) == math.ceil(height / size) * math.ceil(width / size)
