"""Labels: what becomes of each outline of an inventory, and its pixels on the grid."""

import zipfile
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry import LineString, MultiPolygon, Point, Polygon, box

from landslide.cases.case import Case
from landslide.errors import InventoryError
from landslide.features.labels import Outlines, read_inventory
from landslide.geo.grid import grid

CRS = "EPSG:32654"
WEST, SOUTH, SIDE = 500_000, 4_700_000, 40
BOW_TIE = [(200, 200), (280, 280), (280, 200), (200, 280)]


@pytest.fixture(scope="module")
def geobox() -> GeoBox:
    """40 × 40 pixels of 10 m."""
    return GeoBox.from_bbox((WEST, SOUTH, WEST + 10 * SIDE, SOUTH + 10 * SIDE), CRS, resolution=10)


def case(path: Path, **inventory: Any) -> Case:
    return Case.model_validate(
        {
            "id": "event", "event_date": "2018-09-06", "aoi": [141.0, 42.4, 141.01, 42.41],
            "source": {"kind": "stac", "catalog": "catalog.json"}, "inventory": {"path": str(path), **inventory},
        }
    )  # fmt: skip


def metres(left: float, low: float, right: float, high: float) -> Polygon:
    """A rectangle in metres from the grid's south-west corner."""
    return box(WEST + left, SOUTH + low, WEST + right, SOUTH + high)


def write(folder: Path, shapes: list[Any], crs: str | None = CRS, **columns: list[Any]) -> Path:
    path = folder / "inventory.gpkg"
    geopandas.GeoDataFrame(columns, geometry=shapes, crs=crs).to_file(path, layer="slides")
    return path


def whole(outlines: Outlines, geobox: GeoBox) -> NDArray[np.uint8]:
    return outlines.burn((slice(0, geobox.shape.y), slice(0, geobox.shape.x)))


def test_a_rectangle_is_its_pixels_north_up(tmp_path: Path, geobox: GeoBox) -> None:
    outlines = read_inventory(case(write(tmp_path, [metres(100, 0, 130, 20)])), geobox)
    label = whole(outlines, geobox)
    assert label.dtype == np.uint8
    assert np.argwhere(label == 1).tolist() == [[r, c] for r in (38, 39) for c in (10, 11, 12)]
    assert outlines.counts == {
        "polygons": 1, "empty": 0, "outside_area": 0, "repaired": 0, "ambiguous": 0, "used": 1, "tiny": 0
    }  # fmt: skip


def test_a_pixel_belongs_to_the_outline_that_holds_its_centre(tmp_path: Path, geobox: GeoBox) -> None:
    outlines = read_inventory(case(write(tmp_path, [metres(104, 104, 116, 116)])), geobox)
    assert (whole(outlines, geobox) == 1).sum() == 4
    outlines = read_inventory(case(write(tmp_path, [metres(106, 106, 114, 114), metres(300, 300, 310, 310)])), geobox)
    assert (whole(outlines, geobox) == 1).sum() == 2


def test_any_crs_gives_the_same_label(tmp_path: Path, geobox: GeoBox) -> None:
    shape = metres(103, 57, 251, 183)
    expected = whole(read_inventory(case(write(tmp_path, [shape])), geobox), geobox)
    degrees = geopandas.GeoSeries([shape], crs=CRS).to_crs("EPSG:4326").tolist()
    assert np.array_equal(whole(read_inventory(case(write(tmp_path, degrees, "EPSG:4326")), geobox), geobox), expected)


def test_an_outline_smaller_than_a_pixel_does_not_vanish(tmp_path: Path, geobox: GeoBox) -> None:
    shapes = [metres(121, 81, 124, 83), metres(200.5, 200, 203, 320), metres(300, 300, 330, 330)]
    outlines = read_inventory(case(write(tmp_path, shapes)), geobox)
    label = whole(outlines, geobox)
    assert outlines.counts["tiny"] == 2
    assert label[31, 12] == 1
    assert (label[:, 20] == 1).sum() == 1
    assert (label == 1).sum() == 1 + 1 + 9


def test_the_ring_lies_outside_and_landslides_win(tmp_path: Path, geobox: GeoBox) -> None:
    path = write(tmp_path, [metres(100, 100, 200, 200), metres(210, 100, 300, 200)])
    label = whole(read_inventory(case(path, ring=20), geobox), geobox)
    plain = whole(read_inventory(case(path), geobox), geobox)
    assert np.array_equal(label == 1, plain == 1)
    assert (label[25, 8:10] == 255).all()
    assert label[25, 7] == 0
    assert label[25, 20] == 255
    assert set(np.unique(plain)) == {0, 1}


def test_a_broken_outline_is_repaired_and_counted(tmp_path: Path, geobox: GeoBox) -> None:
    bow_tie = Polygon([(WEST + x, SOUTH + y) for x, y in BOW_TIE])
    outlines = read_inventory(case(write(tmp_path, [bow_tie, metres(0, 0, 50, 50)])), geobox)
    assert outlines.counts["repaired"] == 1
    assert shapely.is_valid(outlines.landslides).all()
    area = shapely.area(outlines.landslides).sum() * 100
    assert area == pytest.approx(2 * 80 * 40 / 2 + 50 * 50, rel=1e-6)


def test_holes_stay_open(tmp_path: Path, geobox: GeoBox) -> None:
    holed = metres(100, 100, 200, 200).difference(metres(140, 140, 160, 160))
    label = whole(read_inventory(case(write(tmp_path, [holed])), geobox), geobox)
    assert (label == 1).sum() == 100 - 4


DATES = ["2018-09-06", "2018-08-01", "2018-01-01", "2018-10-30T10:00:00", "2019-06-01", "unknown", None]


def test_dates_say_what_is_of_the_event(tmp_path: Path, geobox: GeoBox) -> None:
    shapes = [metres(50 * i, 100, 50 * i + 20, 120) for i in range(7)]
    outlines = read_inventory(case(write(tmp_path, shapes, day=DATES), date_field="day"), geobox)
    label = whole(outlines, geobox)
    assert [int(label[29, 5 * i]) for i in range(7)] == [1, 255, 0, 1, 0, 1, 1]
    counts = outlines.counts
    assert (counts["used"], counts["ambiguous"], counts["other_date"], counts["undated"]) == (4, 1, 2, 2)
    assert counts["polygons"] == counts["used"] + counts["ambiguous"] + counts["other_date"]


def test_all_days_from_the_first_earlier_year_to_the_event_are_ambiguous(tmp_path: Path, geobox: GeoBox) -> None:
    days = ["2016-09-06", "2016-09-07", "2017-03-01", "2018-09-05", "2018-09-06", "2018-11-05", "2018-11-06"]
    path = write(tmp_path, [metres(50 * i, 100, 50 * i + 20, 120) for i in range(7)], day=days)
    seasonal = Case.model_validate(case(path, date_field="day").model_dump() | {"pre": {"years": 2}})
    label = whole(read_inventory(seasonal, geobox), geobox)
    assert [int(label[29, 5 * i]) for i in range(7)] == [0, 255, 255, 255, 1, 1, 0]


@pytest.mark.parametrize("day", [20180906, 20180906.0, "20180906", "2018/09/06", np.datetime64("2018-09-06", "ms")])
def test_dates_are_read_as_people_write_them(tmp_path: Path, geobox: GeoBox, day: Any) -> None:
    path = write(tmp_path, [metres(0, 0, 50, 50)], day=[day])
    assert read_inventory(case(path, date_field="day"), geobox).counts["undated"] == 0


@pytest.mark.parametrize("day", ["2018", "06/09/2018", ""])
def test_what_is_no_clear_day_is_undated(tmp_path: Path, geobox: GeoBox, day: str) -> None:
    path = write(tmp_path, [metres(0, 0, 50, 50)], day=[day])
    counts = read_inventory(case(path, date_field="day"), geobox).counts
    assert (counts["undated"], counts["used"]) == (1, 1)


def test_outlines_outside_and_without_shape_are_counted(tmp_path: Path, geobox: GeoBox) -> None:
    shapes = [metres(0, 0, 50, 50), metres(-100, 0, -50, 50), None, MultiPolygon()]
    counts = read_inventory(case(write(tmp_path, shapes)), geobox).counts
    assert (counts["polygons"], counts["used"], counts["outside_area"], counts["empty"]) == (4, 1, 1, 2)


def refused(path: Path, geobox: GeoBox, *words: str, **inventory: Any) -> None:
    with pytest.raises(InventoryError) as caught:
        read_inventory(case(path, **inventory), geobox)
    for word in (path.name, *words):
        assert word in str(caught.value)


@pytest.mark.filterwarnings("ignore:.*crs.*:UserWarning")
def test_what_cannot_be_used_is_refused_with_its_reason(tmp_path: Path, geobox: GeoBox) -> None:
    square = metres(0, 0, 50, 50)
    refused(tmp_path / "nowhere.gpkg", geobox, "Check the path")
    refused(write(tmp_path, [Point(WEST, SOUTH)]), geobox, "Buffer them first")
    refused(write(tmp_path, [LineString([(WEST, SOUTH), (WEST + 5, SOUTH)]), square]), geobox, "1 points or lines")
    refused(
        write(tmp_path, [metres(9000, 0, 9050, 50)]), geobox, "none of its 1 polygons", "Check the file and the area"
    )
    refused(write(tmp_path, [square]), geobox, "slides", layer="scars")
    refused(write(tmp_path, [square], day=["2018-09-06"]), geobox, "day", "Correct `date_field`", date_field="date")
    refused(write(tmp_path, [square], day=["2001-01-01"]), geobox, "no polygon has a date", date_field="day")
    (tmp_path / "inventory.gpkg").unlink()
    refused(write(tmp_path, [square], None), geobox, "no CRS")


def test_an_empty_or_damaged_inventory_is_refused(tmp_path: Path, geobox: GeoBox) -> None:
    refused(write(tmp_path, []), geobox, "has no polygon")
    path = tmp_path / "damaged.gpkg"
    path.write_bytes(b"no geopackage")
    refused(path, geobox, "cannot read the inventory")
    path = tmp_path / "damaged.zip"
    path.write_bytes(b"no zip")
    refused(path, geobox, "cannot read the zip")


def test_a_zip_stands_for_the_file_in_it(tmp_path: Path, geobox: GeoBox) -> None:
    inner = write(tmp_path, [metres(0, 0, 50, 50)])
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.write(inner, "folder/inventory.gpkg")
    assert (whole(read_inventory(case(tmp_path / "packed.zip"), geobox), geobox) == 1).sum() == 25


def blots(seed: int) -> list[Polygon]:
    """Discs of any size, and rectangles whose sides run through pixels' centres."""
    random = np.random.default_rng(seed)
    centres, sizes = random.random((12, 2)) * 400, random.gamma(1.0, 15.0, 12) + 0.5
    round_ones = [Point(WEST + x, SOUTH + y).buffer(size) for (x, y), size in zip(centres, sizes, strict=True)]
    corners = random.integers(0, 70, (6, 2)) * 5
    return round_ones + [metres(x, y, x + 45, y + 25) for x, y in corners]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 39), st.integers(1, 39), st.sampled_from([0.0, 25.0]))
def test_blocks_agree_with_the_whole(
    tmp_path_factory: pytest.TempPathFactory, geobox: GeoBox, seed: int, row: int, column: int, ring: float
) -> None:
    outlines = read_inventory(case(write(tmp_path_factory.mktemp("blots"), blots(seed)), ring=ring), geobox)
    label = whole(outlines, geobox)
    for rows in (slice(0, row), slice(row, SIDE)):
        for columns in (slice(0, column), slice(column, SIDE)):
            np.testing.assert_array_equal(outlines.burn((rows, columns)), label[rows, columns])


@pytest.fixture(scope="module")
def maria(real_data: Path) -> Case:
    """Hurricane Maria, Puerto Rico: buffers of 100 m around 890 landslides, in a zipped file geodatabase."""
    return Case.model_validate(
        {
            "id": "maria", "event_date": "2017-09-20", "aoi": [-67.2, 18.1, -66.7, 18.45],
            "source": {"kind": "stac", "catalog": "catalog.json"},
            "inventory": str(real_data / "maria-2017" / "PR_Maria_LS.zip"),
        }
    )  # fmt: skip


def test_the_buffers_of_puerto_rico(maria: Case) -> None:
    """The burnt area is that of the outlines' union, and each landslide's own pixel is one."""
    geobox = grid(maria)
    outlines = read_inventory(maria, geobox)
    assert outlines.counts["polygons"] == outlines.counts["used"] == 890
    label = whole(outlines, geobox)
    union = shapely.union_all(outlines.landslides).area
    assert (label == 1).sum() == pytest.approx(union, rel=2e-3)
    centres = shapely.get_coordinates(shapely.centroid(outlines.landslides)).astype(int)
    assert (label[centres[:, 1], centres[:, 0]] == 1).all()


def test_the_points_of_puerto_rico_are_refused(maria: Case) -> None:
    assert maria.inventory is not None
    points = maria.model_copy(update={"inventory": maria.inventory.model_copy(update={"layer": "PR_Maria_LSv1"})})
    with pytest.raises(InventoryError, match="890 points or lines"):
        read_inventory(points, grid(maria))
