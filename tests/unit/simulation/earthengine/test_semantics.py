"""How the loopback computes: lattices, masks, names, types, composites, neighbourhoods, features, seams."""

import io

import ee
import numpy as np
import pyproj
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image as Pictures

from landslide.simulation.earthengine import Loopback
from tests.helpers.loopback import CRS, LEFT, TOP, UTM, grid, pixels, sign_in, values

DEM = "COPERNICUS/DEM/GLO30_2024_1"


@pytest.fixture(autouse=True)
def client(service: Loopback) -> None:
    sign_in(service.url)


def lattice() -> "ee.Projection":
    return ee.Projection(CRS, UTM)


def coordinate(name: str) -> "ee.Image":
    """Column (x) or row (y) coordinates of the test lattice, from 0.5; it is the default projection."""
    return ee.Image.pixelCoordinates(lattice()).select(name)


def whole_number(name: str) -> "ee.Image":
    return coordinate(name).toInt32()


def stack(*numbers: float | None) -> "ee.ImageCollection":
    """Constant images, masked where None."""
    images = [ee.Image(0).updateMask(0) if n is None else ee.Image.constant(n) for n in numbers]
    return ee.ImageCollection([image.rename("v").toFloat() for image in images])


def single(image: "ee.Image", missing: float = -1.0) -> float:
    return float(values(image, grid(1, 1), missing)[0, 0])


def names(image: "ee.Image") -> list[str]:
    found: list[str] = image.bandNames().getInfo()
    return found


# Projections and lattices


def test_slope_of_a_plane_is_exact():
    ground = coordinate("x").multiply(3).add(coordinate("y").multiply(4))  # metres a pixel of 10 m
    assert_allclose(values(ee.Terrain.slope(ground)), np.degrees(np.arctan(0.5)), rtol=1e-6)
    # It rises to the east and to the south, so it falls to the north-west.
    assert_allclose(values(ee.Terrain.aspect(ground)), 360 - np.degrees(np.arctan2(3, 4)), rtol=1e-6)


def test_slope_on_degrees_counts_metres():
    north = ee.Image.pixelCoordinates(ee.Projection("EPSG:4326")).select("y").multiply(111_319.49079327357 * 0.5)
    ground = north.setDefaultProjection("EPSG:4326", [1 / 3600, 0, -180, 0, -1 / 3600, 90])
    assert_allclose(values(ee.Terrain.slope(ground)), np.degrees(np.arctan(0.5)), rtol=1e-5)
    assert_allclose(values(ee.Terrain.aspect(ground)), 180, atol=1e-6)


def test_slope_of_a_mosaic_needs_its_projection_back():
    tiles = ee.ImageCollection(DEM).select("DEM")
    first = tiles.first()
    info = first.getInfo()["bands"][0]
    inside = grid(20, 20, tuple(info["crs_transform"]), info["crs"], 5, 5)
    lost = ee.Terrain.slope(tiles.mosaic())
    assert lost.projection().getInfo()["transform"] == [1, 0, 0, 0, 1, 0]
    assert (values(lost, inside) == -1).all()
    kept = ee.Terrain.slope(tiles.mosaic().setDefaultProjection(first.projection()))
    assert_array_equal(values(kept, inside), values(ee.Terrain.slope(first), inside))
    assert (values(kept, inside) >= 0).all()
    beyond = grid(20, 20, tuple(info["crs_transform"]), info["crs"], 0, 0)
    assert (values(kept, beyond)[0] == -1).all()


def test_pixels_are_those_that_contain_the_centre():
    shifted = grid(4, 1, (10.0, 0.0, LEFT + 4, 0.0, -10.0, TOP))
    pinned = whole_number("x").reproject(lattice())
    assert values(pinned, shifted)[0].tolist() == [0, 1, 2, 3]
    shifted = grid(4, 1, (10.0, 0.0, LEFT + 6, 0.0, -10.0, TOP))
    assert values(pinned, shifted)[0].tolist() == [1, 2, 3, 4]
    fine = grid(6, 1, (5.0, 0.0, LEFT, 0.0, -5.0, TOP))
    assert values(pinned, fine)[0].tolist() == [0, 0, 1, 1, 2, 2]


def test_pixels_are_not_reprojected_by_default():
    fine = grid(4, 1, (5.0, 0.0, LEFT, 0.0, -5.0, TOP))
    assert values(coordinate("x"), fine)[0].tolist() == [0.25, 0.75, 1.25, 1.75]
    assert values(coordinate("x").reproject(lattice()), fine)[0].tolist() == [0.5, 0.5, 1.5, 1.5]


def test_resampling_changes_nothing_on_the_own_grid():
    image = ee.ImageCollection("COPERNICUS/S1_GRD_FLOAT").first().select("VV")
    info = image.getInfo()["bands"][0]
    own = grid(40, 40, tuple(info["crs_transform"]), info["crs"], 3, 5)
    assert_array_equal(pixels(image.resample(), own)["VV"], pixels(image, own)["VV"])


def test_resampling_is_exact_on_planes_between_pixels():
    plane = coordinate("x").multiply(2).add(coordinate("y"))
    between = grid(5, 5, (10.0, 0.0, LEFT + 52.5, 0.0, -10.0, TOP - 47.5))
    pinned = plane.reproject(lattice())
    assert_allclose(values(pinned.resample(), between), values(plane, between), atol=1e-9)
    assert (np.abs(values(pinned, between) - values(plane, between)) > 0.1).all()


def test_a_masked_neighbour_masks_what_it_has_a_weight_in():
    pinned = coordinate("x").updateMask(whole_number("x").neq(3)).reproject(lattice()).resample("bilinear")
    aligned = values(pinned, grid(6, 1))[0]
    assert aligned.tolist() == [0.5, 1.5, 2.5, -1, 4.5, 5.5]
    half = values(pinned, grid(6, 1, (10.0, 0.0, LEFT + 5, 0.0, -10.0, TOP)))[0]
    assert half.tolist() == [1, 2, -1, -1, 5, 6]
    only_down = values(pinned, grid(6, 1, (10.0, 0.0, LEFT, 0.0, -10.0, TOP - 5)))[0]
    assert only_down.tolist() == [0.5, 1.5, 2.5, -1, 4.5, 5.5]


def test_projections_are_kept_lost_and_described():
    image = ee.ImageCollection("COPERNICUS/S2_SR_HARMONIZED").first()
    ten = image.select("B4").projection()
    assert ten.getInfo()["transform"][0] == 10
    assert image.select("SCL").projection().getInfo()["transform"][0] == 20
    assert image.select("B4").add(1).log10().projection().getInfo() == ten.getInfo()
    with pytest.raises(ee.EEException, match="different projections"):
        image.projection().getInfo()
    for composite in ("mosaic", "median", "mean", "max", "count"):
        made = getattr(ee.ImageCollection([image.select("B4")]), composite)()
        assert made.projection().getInfo() == {
            "type": "Projection", "crs": "EPSG:4326", "transform": [1, 0, 0, 0, 1, 0]
        }  # fmt: skip


def test_reprojecting_too_much_is_refused():
    coarse = grid(200, 200, (5000.0, 0.0, LEFT, 0.0, -5000.0, TOP))
    with pytest.raises(ee.EEException, match="Reprojection output too large"):
        pixels(coordinate("x").reproject(lattice()), coarse)


# Masks


def test_operations_are_masked_where_an_operand_is():
    one, two = ee.Image(1).updateMask(whole_number("x").gt(0)), ee.Image(2).updateMask(whole_number("x").lt(3))
    assert values(one.add(two), grid(4, 1))[0].tolist() == [-1, 3, 3, -1]
    assert values(one.And(two), grid(4, 1))[0].tolist() == [-1, 1, 1, -1]


def test_update_mask_never_unmasks():
    image = ee.Image(1).updateMask(whole_number("x").gt(0)).updateMask(ee.Image(1))
    assert values(image, grid(3, 1))[0].tolist() == [-1, 1, 1]
    masked_mask = ee.Image(1).updateMask(ee.Image(1).updateMask(whole_number("x").lt(2)))
    assert values(masked_mask, grid(3, 1))[0].tolist() == [1, 1, -1]
    assert values(image.mask(), grid(3, 1))[0].tolist() == [0, 1, 1]


def test_unmask_stays_within_the_footprint_by_default():
    image = ee.ImageCollection(DEM).first().select("DEM").updateMask(0)
    info = image.getInfo()["bands"][0]
    width, height = info["dimensions"]
    over = grid(width + 20, height, tuple(info["crs_transform"]), info["crs"], -10, 0)
    filled = image.unmask(7)
    found = pixels(filled.addBands(filled.mask().rename("seen")).toFloat(), over)
    assert (found["seen"][:, :10] == 0).all()
    assert (found["seen"][:, -10:] == 0).all()
    assert (found["seen"][:, 10:-10] == 1).all()
    assert (found["DEM"][:, 10:-10] == 7).all()
    assert (pixels(image.unmask(7, False), over)["DEM"] == 7).all()


def test_where_keeps_the_input_where_anything_is_masked():
    x = whole_number("x")
    test = ee.Image(1).updateMask(x.neq(1))
    value = ee.Image(9).updateMask(x.neq(2))
    found = values(ee.Image(5).updateMask(x.neq(3)).where(test, value), grid(5, 1))[0]
    assert found.tolist() == [9, 5, 5, -1, 9]


def test_normalized_difference_masks_negatives():
    image = ee.Image.cat(coordinate("x").subtract(2).rename("a"), ee.Image(1.5).rename("b"))
    found = image.normalizedDifference(["a", "b"])
    assert names(found) == ["nd"]
    assert values(found, grid(4, 1), missing=-9)[0].tolist() == [-9, -9, -0.5, 0]


def test_an_unmatched_link_is_fully_masked():
    first = ee.Image(1).rename("a").set("system:index", "one")
    second = ee.Image(1).rename("a").set("system:index", "two")
    other = ee.ImageCollection([ee.Image(5).rename("score").set("system:index", "one")])
    linked = ee.ImageCollection([first, second]).linkCollection(other, ["score"])
    for index, score in (("one", 5), ("two", -1)):
        assert single(linked.filter(ee.Filter.eq("system:index", index)).first().select("score")) == score
    none = first.linkCollection(other.filter(ee.Filter.eq("system:index", "three")), ["score"])
    assert names(none) == ["a", "score"]
    assert single(none.select("score")) == -1


def test_remap_masks_other_values_or_sets_the_default():
    x = whole_number("x")
    assert values(x.remap([1, 2], [10, 20]), grid(4, 1))[0].tolist() == [-1, 10, 20, -1]
    assert values(x.remap([1, 2], [10, 20], 7), grid(4, 1))[0].tolist() == [7, 10, 20, 7]
    assert names(x.remap([1], [2])) == ["remapped"]


# Bands and types


def test_bands_are_named_as_google_names_them():
    a, b, two = ee.Image(1).rename("a"), ee.Image(2).rename("b"), ee.Image([1, 2]).rename("p", "q")
    assert names(a.add(b)) == ["a"]
    assert names(a.add(two)) == ["p", "q"]
    assert names(two.add(a)) == ["p", "q"]
    assert names(a.addBands(a).addBands(a)) == ["a", "a_1", "a_2"]
    assert names(a.addBands(b, None, True)) == ["a", "b"]
    assert single(a.addBands(b.rename("a"), None, True)) == 2
    assert names(ee.Image([1, 2, 3])) == ["constant", "constant_1", "constant_2"]
    assert names(ee.ImageCollection([two]).median()) == ["p", "q"]
    assert names(two.select(["q", "p"], ["x", "y"])) == ["x", "y"]


def test_bands_that_do_not_match_are_refused():
    with pytest.raises(ee.EEException, match="Got 2 and 3"):
        ee.Image([1, 2]).add(ee.Image([1, 2, 3])).getInfo()
    with pytest.raises(ee.EEException, match="If one image has no bands"):
        ee.ImageCollection([]).mosaic().subtract(ee.Image(1)).getInfo()


def test_equal_names_are_matched_in_any_order():
    first, second = ee.Image([1, 2]).rename("a", "b"), ee.Image([10, 20]).rename("b", "a")
    found = pixels(first.add(second), grid(1, 1))[0, 0]
    assert (found["a"], found["b"]) == (21, 12)


def test_numbers_are_computed_in_double_precision_and_cast_explicitly():
    third = ee.Image(1).divide(3)
    assert single(third) == pytest.approx(1 / 3, abs=1e-15)
    assert single(third.toFloat()) == float(np.float32(1 / 3))
    assert single(ee.Image(7).divide(2)) == 3.5
    assert single(ee.Image(1).divide(0)) == 0
    assert pixels(ee.Image(200).toByte().add(ee.Image(100).toByte()))["constant"][0, 0] == 300
    assert single(ee.Image(300.7).toByte()) == 255
    assert single(ee.Image(-1.7).toInt32(), missing=9) == -1
    assert single(ee.Image(-5).toByte()) == 0
    assert single(ee.Image(5).clamp(0, 3)) == 3


def test_properties_survive_selection_and_not_arithmetic():
    image = ee.ImageCollection("COPERNICUS/S1_GRD_FLOAT").first()
    assert image.select("VV").resample().updateMask(1).get("system:time_start").getInfo() > 0
    assert image.add(1).get("system:time_start").getInfo() is None


# Collections


def test_an_empty_collection_fails_only_when_a_band_is_selected():
    empty = ee.ImageCollection("COPERNICUS/S1_GRD_FLOAT").filterDate("1990-01-01", "1990-02-01")
    assert empty.size().getInfo() == 0
    assert empty.first().getInfo() is None
    assert names(empty.median()) == []
    with pytest.raises(ee.EEException, match=r"'VV' did not match any bands. Available bands: \[\]"):
        pixels(empty.median().select("VV"))
    with pytest.raises(ee.EEException, match="no bands"):
        pixels(empty.mosaic())


def test_reducers_ignore_masked_pixels():
    collection = stack(1, None, 5, 3)
    expected = {"mean": 3, "median": 3, "max": 5, "count": 3, "mosaic": 3}
    assert {name: single(getattr(collection, name)()) for name in expected} == expected
    assert single(stack(None, None).median()) == -1
    assert single(stack(1, 2, 10, 4).median()) == 3


def test_counts_are_zero_where_images_are_masked_and_masked_where_none_lies():
    image = ee.ImageCollection("COPERNICUS/S1_GRD_FLOAT").first().select("VV")
    info = image.getInfo()["bands"][0]
    over = grid(30, 20, tuple(info["crs_transform"]), info["crs"], -15, 20)
    seen = ee.ImageCollection([image.updateMask(0)]).count()
    found = values(seen, over)
    assert (found[:, :13] == -1).all()
    assert (found[:, 17:] == 0).all()


def test_the_last_image_lies_on_top():
    first, last = ee.Image(1), ee.Image(2).updateMask(whole_number("x").gt(1))
    assert values(ee.ImageCollection([first, last]).mosaic(), grid(4, 1))[0].tolist() == [1, 1, 2, 2]


def test_collections_are_filtered_sorted_and_counted():
    images = [
        ee.Image(n).set("n", n).set("kind", kind).set("tags", [kind, "t"]) for n, kind in ((3, "a"), (1, "b"), (2, "a"))
    ]
    collection = ee.ImageCollection(images)
    assert collection.filter(ee.Filter.eq("kind", "a")).aggregate_array("n").getInfo() == [3, 2]
    assert collection.filter(ee.Filter.inList("n", [1, 2])).size().getInfo() == 2
    assert collection.filter(ee.Filter.listContains("tags", "b")).size().getInfo() == 1
    assert collection.filter(ee.Filter.lt("n", 2)).size().getInfo() == 1
    assert collection.filter(ee.Filter.eq("missing", 1)).size().getInfo() == 0
    assert collection.sort("n", False).aggregate_array("n").getInfo() == [3, 2, 1]
    assert collection.limit(2).size().getInfo() == 2
    assert collection.merge(collection).aggregate_array("system:index").getInfo()[:2] == ["1_0", "1_1"]
    total = collection.iterate(lambda image, sum_: ee.Number(sum_).subtract(ee.Image(image).get("n")), 0)
    assert ee.Number(total).getInfo() == -6
    to_lists = ee.Reducer.toList().repeat(2)
    assert collection.reduceColumns(to_lists, ["n", "kind"]).getInfo() == {"list": [[3, 1, 2], ["a", "b", "a"]]}


def test_dates_start_and_do_not_end():
    day = 86_400_000
    images = [ee.Image(0).set("system:time_start", n * day) for n in range(5)]
    found = ee.ImageCollection(images).filterDate("1970-01-02", "1970-01-04")
    assert found.aggregate_array("system:time_start").getInfo() == [day, 2 * day]


def test_bounds_and_joins():
    collection = ee.ImageCollection("COPERNICUS/S2_SR_HARMONIZED")
    west, south = collection.first().get("system:footprint").getInfo()["coordinates"][0][0]
    near = collection.filterBounds(ee.Geometry.Rectangle([west - 1e-4, south - 1e-4, west + 1e-4, south + 1e-4]))
    assert 0 < near.size().getInfo() < collection.size().getInfo()
    scores = ee.ImageCollection("GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED")
    same = ee.Filter.equals(leftField="system:index", rightField="system:index")
    joined = ee.Join.saveFirst("score").apply(collection, scores, same)
    assert joined.size().getInfo() == scores.size().getInfo() < collection.size().getInfo()
    assert ee.Image(ee.Image(joined.first()).get("score")).bandNames().getInfo() == ["cs", "cs_cdf"]


# Neighbourhoods and features


def test_focal_operations_take_metres_of_the_requested_grid():
    point = whole_number("x").eq(10).And(whole_number("y").eq(10))
    square = values(point.focalMax(20, "square", "meters"), grid(21, 21))
    assert square.sum() == 25
    assert square[8:13, 8:13].all()
    fine = values(point.focalMax(20, "square", "meters"), grid(42, 42, (5.0, 0.0, LEFT, 0.0, -5.0, TOP)))
    assert fine.sum() == 100
    assert values(point.Not().focalMin(1, "square"), grid(21, 21)).sum() == 441 - 9
    with pytest.raises(ee.EEException, match="'circle' is not imitated"):
        point.focalMax(1).getInfo()


def test_focal_operations_fill_from_what_is_not_masked():
    image = whole_number("x").updateMask(whole_number("x").neq(2))
    assert values(image.focalMax(1, "square"), grid(5, 1))[0].tolist() == [1, 1, 3, 4, 5]
    assert values(image.focalMin(1, "square"), grid(5, 1), missing=9)[0].tolist() == [0, 0, 1, 3, 3]


def test_painting_goes_by_pixel_centres():
    polygon = ee.Geometry.Polygon(
        [[[LEFT + 14, TOP], [LEFT + 36, TOP], [LEFT + 36, TOP - 26], [LEFT + 14, TOP - 26]]], CRS, False
    )
    features = ee.FeatureCollection([ee.Feature(polygon, {"label": 4})])
    found = values(ee.Image(0).paint(features, 1), grid(5, 4))
    assert found.tolist() == [[0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]
    assert values(ee.Image(0).toByte().paint(features, "label"), grid(5, 4)).max() == 4
    raster = features.reduceToImage(["label"], ee.Reducer.first())
    assert_array_equal(values(raster, grid(5, 4), missing=0) / 4, found)


def square_in_metres() -> "ee.FeatureCollection":
    """From 100 m to 300 m east and south of the corner, with straight edges in UTM."""
    corners = [[LEFT + 100, TOP - 100], [LEFT + 300, TOP - 100], [LEFT + 300, TOP - 300], [LEFT + 100, TOP - 300]]
    return ee.FeatureCollection([ee.Feature(ee.Geometry.Polygon([corners], CRS, False))])


def test_outlines_are_painted_on_an_empty_image_centred_on_the_edge():
    def painted(requested: dict, **width: int) -> np.ndarray:
        return values(ee.Image().byte().paint(featureCollection=square_in_metres(), color=1, **width), requested)

    y, x = np.mgrid[0:40, 0:40]
    inside = (x >= 10) & (x < 30) & (y >= 10) & (y < 30)
    assert_array_equal(painted(grid(40, 40)), np.where(inside, 1, -1))
    edge = painted(grid(40, 40), width=2)
    assert_array_equal(edge[20], np.where(np.isin(np.arange(40), [9, 10, 29, 30]), 1, -1))
    assert_array_equal(edge, edge.T)
    fine = painted(grid(80, 80, (5.0, 0.0, LEFT, 0.0, -5.0, TOP)), width=4)
    assert_array_equal(np.flatnonzero(fine[40] == 1), [18, 19, 20, 21, 58, 59, 60, 61])


def test_outlines_are_drawn_on_tiles_of_maps():
    shown = ee.Image().byte().paint(featureCollection=square_in_metres(), color=1, width=2).visualize(palette=["#f00"])
    fetcher = shown.getMapId()["tile_fetcher"]
    side = 40_075_016.68557849 / 2**15
    x, y = pyproj.Transformer.from_crs(CRS, "EPSG:3857").transform(LEFT + 200, TOP - 200)
    column, row = int(x / side + 2**14), int(2**14 - y / side)
    around = [fetcher.fetch_tile(column + right, row + down, 15) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    colours = np.concatenate([np.asarray(Pictures.open(io.BytesIO(png))).reshape(-1, 4) for png in around])
    drawn = colours[colours[:, 3] > 0]
    length = 4 * 200 / np.cos(np.radians(42.45)) / (side / 256)  # in pixels of web Mercator
    assert len(drawn) == pytest.approx(2 * length, rel=0.05)
    assert (drawn == (255, 0, 0, 255)).all()


def involved() -> "ee.Image":
    """An image of all operations that could show seams between tiles."""
    scene = ee.ImageCollection("COPERNICUS/S1_GRD_FLOAT").first().select("VV")
    dem = ee.ImageCollection(DEM).select("DEM")
    ground = dem.mosaic().setDefaultProjection(dem.first().projection())
    return ee.Image.cat(
        scene.focalMin(35, "square", "meters").unmask(-9, False),
        scene.gt(0.1).focalMax(50, "square", "meters").unmask(-9, False),
        scene.resample().unmask(-9, False),
        ee.Terrain.slope(ground).resample().unmask(-9, False),
    ).toFloat()


@settings(max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.integers(11, 40), st.integers(11, 40), st.booleans())
def test_tiles_of_any_size_make_the_whole(width: int, height: int, slanted: bool):
    scene = ee.ImageCollection("COPERNICUS/S1_GRD_FLOAT").first().select("VV")
    info = scene.getInfo()["bands"][0]
    left, top = info["crs_transform"][2], info["crs_transform"][5]
    transform = (
        (9.25, 0.0, left - 40, 0.0, -11.25, top + 30) if slanted else (10.0, 0.0, left - 50, 0.0, -10.0, top + 50)
    )
    image, side = involved(), 56
    whole = pixels(image, grid(side, side, transform, info["crs"]))
    assembled = np.zeros_like(whole)
    for y in range(0, side, height):
        for x in range(0, side, width):
            size = min(width, side - x), min(height, side - y)
            part = pixels(image, grid(*size, transform, info["crs"], x, y))
            assembled[y : y + size[1], x : x + size[0]] = part
    for name in whole.dtype.names:
        assert_array_equal(assembled[name], whole[name])


def test_large_requests_are_computed_in_blocks_without_seams():
    columns, rows = list(range(0, 620, 97)), list(range(0, 540, 89))
    on_columns, on_rows = (whole_number(axis).remap(at, [1] * len(at), 0) for axis, at in (("x", columns), ("y", rows)))
    found = values(on_columns.And(on_rows).focalMax(4, "square"), grid(600, 520))
    y, x = np.mgrid[0:520, 0:600]
    near_x, near_y = (np.minimum(n % step, step - n % step) for n, step in ((x, 97), (y, 89)))
    assert_array_equal(found, (near_x <= 4) & (near_y <= 4))
