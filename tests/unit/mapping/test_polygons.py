import geopandas as gpd
import numpy as np
import pytest
import shapely
from pyproj import Geod, Transformer
from rasterio.features import rasterize

from landslide.geo.raster import cog
from landslide.mapping.polygons import landslides, valid
from tests.helpers.mapping_case import CRS, grid, hills, write_stack

RANDOM = np.random.default_rng(5)


@pytest.fixture
def found(tmp_path):
    """Landslides of a hand-made probability; `terrain` bands go into the stack."""

    def run(probability, threshold=0.5, minimum=0.0, spread=0.1, **terrain):
        probability = np.asarray(probability, "float32")
        stack = write_stack(tmp_path / "stack", {"dndvi_median": np.zeros_like(probability), **terrain})
        values = np.stack([probability, np.where(np.isfinite(probability), np.float32(spread), np.float32("nan"))])
        whole = tuple(slice(0, n) for n in probability.shape)
        box = grid(*probability.shape)
        with cog(tmp_path / "p.tif", box, ("probability", "spread"), "float32", float("nan")) as writer:
            writer.write(values, whole)
        return landslides(stack, tmp_path / "p.tif", threshold, minimum)

    return run


def burned(frame, shape):
    """The landslides as pixels again."""
    if frame.empty:
        return np.zeros(shape, bool)
    return rasterize(frame.geometry, shape, transform=grid(*shape).affine).astype(bool)


@pytest.mark.parametrize("density", [0.05, 0.4, 0.9])
def test_outlines_cover_the_pixels_above_the_threshold_and_no_others(found, density):
    mask = RANDOM.random((60, 70)) < density
    frame = found(np.where(mask, 0.9, 0.1))
    np.testing.assert_array_equal(burned(frame, mask.shape), mask)
    assert frame.geometry.is_valid.all()
    assert set(frame.geom_type) == {"MultiPolygon"}
    assert frame.geometry.area.sum() == pytest.approx(100 * mask.sum())


def test_holes_are_kept(found):
    mask = np.zeros((20, 20), bool)
    mask[3:12, 3:12] = True
    mask[6:9, 6:9] = False
    frame = found(mask)
    assert len(frame) == 1
    assert frame.geometry[0].area == pytest.approx((81 - 9) * 100)
    assert len(frame.geometry[0].geoms[0].interiors) == 1


def test_pixels_that_touch_at_a_corner_are_one_valid_landslide(found):
    frame = found(np.eye(6))
    assert len(frame) == 1
    assert frame.geometry[0].is_valid
    assert len(frame.geometry[0].geoms) == 6
    assert frame.geometry[0].area == pytest.approx(600)


def test_a_ring_of_corners_encloses_nothing(found):
    mask = np.zeros((7, 7), bool)
    for row, column in [(1, 3), (2, 2), (2, 4), (3, 1), (3, 5), (4, 2), (4, 4), (5, 3)]:
        mask[row, column] = True
    frame = found(mask)
    assert len(frame) == 1
    assert frame.geometry[0].area == pytest.approx(800)
    np.testing.assert_array_equal(burned(frame, mask.shape), mask)


def test_a_slide_across_blocks_is_one(found):
    mask = np.zeros((600, 1100), bool)
    mask[500:530, 100:1050] = True
    frame = found(mask)
    assert len(frame) == 1
    assert frame.geometry[0].area == pytest.approx(30 * 950 * 100)
    assert len(frame.geometry[0].geoms[0].exterior.coords) <= 6


def test_areas_are_geodesic(found):
    mask = np.zeros((100, 100), bool)
    mask[10:90, 20:80] = True
    frame = found(mask)
    x, y = np.array(frame.geometry[0].geoms[0].exterior.coords).T
    degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True).transform(x, y)
    expected = abs(Geod(ellps="WGS84").polygon_area_perimeter(*degrees)[0])
    assert frame.area_m2[0] == pytest.approx(expected, rel=1e-9)
    assert frame.area_m2[0] == pytest.approx(80 * 60 * 100, rel=1e-3)
    assert frame.area_m2[0] != pytest.approx(80 * 60 * 100, rel=1e-5)


def test_the_minimum_mapping_unit_leaves_small_ones_out(found):
    mask = np.zeros((20, 20), bool)
    mask[2, 2:5] = True
    mask[10:13, 10:13] = True
    assert len(found(mask)) == 2
    assert [round(area / 100) for area in found(mask, minimum=400).area_m2] == [9]


def test_largest_first_and_numbered(found):
    mask = np.zeros((40, 40), bool)
    for start, side in ((1, 2), (8, 7), (20, 4)):
        mask[start : start + side, start : start + side] = True
    frame = found(mask)
    assert frame.id.tolist() == [1, 2, 3]
    assert [round(area / 100) for area in frame.area_m2] == [49, 16, 4]


def test_not_observed_is_never_landslide(found):
    probability = np.full((30, 30), np.nan)
    assert found(probability).empty
    probability[:10] = 0.9
    np.testing.assert_array_equal(burned(found(probability), (30, 30)), np.isfinite(probability))


def test_figures_are_means_over_the_pixels(found):
    probability = RANDOM.random((530, 540)).astype("float32") * 0.4
    elevation, slope = hills(530, 540), RANDOM.random((530, 540)).astype("float32")
    one, two = np.s_[505:520, 500:530], np.s_[3:6, 4:9]
    probability[one] += 0.55
    probability[two] += 0.55
    slope[3, 4:9] = np.nan
    frame = found(probability, 0.5, 0.0, elevation=elevation, slope=slope)
    for row, where in zip(frame.itertuples(), (one, two), strict=True):
        assert row.probability_mean == pytest.approx(probability[where].mean(), rel=1e-5)
        assert row.probability_max == pytest.approx(probability[where].max(), rel=1e-6)
        assert row.elevation_mean_m == pytest.approx(elevation[where].mean(), rel=1e-5)
        assert row.slope_mean_deg == pytest.approx(np.nanmean(slope[where]), rel=1e-5)
        assert row.spread_mean == pytest.approx(0.1, rel=1e-5)


def test_without_terrain_its_figures_are_unknown(found):
    frame = found(np.eye(3))
    assert np.isnan(frame.slope_mean_deg[0])
    assert np.isnan(frame.elevation_mean_m[0])


def test_no_landslide_has_the_same_columns(found):
    empty, full = found(np.zeros((9, 9))), found(np.ones((9, 9)))
    assert list(empty.columns) == list(full.columns)
    assert empty.crs == full.crs
    assert isinstance(empty, gpd.GeoDataFrame)


def test_a_bow_tie_becomes_its_two_halves():
    repaired = valid(shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2), (0, 0)]))
    assert repaired.is_valid
    assert repaired.area == pytest.approx(2)
