"""One definition, two sources: the stack by Earth Engine is the stack by STAC, band by band."""

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from landslide.cases.case import Case, load_case
from landslide.features.labels import read_inventory
from landslide.geo.grid import grid
from landslide.simulation.world import World
from landslide.sources.earthengine.export.pixels import Pixels
from landslide.sources.earthengine.expressions import inventory
from landslide.sources.earthengine.session import Session
from tests.helpers.parity import by_service, compared, whole

pytestmark = pytest.mark.slow
RADAR = [f"{key}_{what}" for key in ("vv", "vh", "ratio") for what in ("pre", "post", "change")]
OPTICAL = ["dndvi_median", "dndvi_greenest", "dgrvi", "rg_change", "brightness_change", "blue_post", "green_post"]
DECIBEL, INDEX = 2e-5, 2e-6  # float32 of numbers near 20 and near 1, through a handful of operations
# The gradient of four neighbours in degrees against Horn's eight on a metric lattice, bilinear against cubic before.
TERRAIN = {"elevation": (1.0, 5.0), "slope": (1.5, 6.0), "northness": (0.1, 1.0), "eastness": (0.1, 1.0)}


@pytest.fixture(params=[0, 1, 2])
def case(request: pytest.FixtureRequest, world: World) -> Case:
    return load_case(world.cases[request.param])


def test_radar_is_the_same_to_float_rounding(case: Case, connected: Session) -> None:
    for name, apart in compared(case, sentinel2=None, dem=None).items():
        assert apart.masks == 0, name
        assert apart.largest < DECIBEL, name


def test_optical_is_the_same_under_the_same_mask(case: Case, connected: Session) -> None:
    found = compared(case, sentinel1=None, dem=None, sentinel2={"cloud_mask": "scl"}, bands=OPTICAL)
    for name, apart in found.items():
        assert apart.masks == 0, name
        assert apart.largest < INDEX * (10 if name == "rg_change" else 1), name


@pytest.mark.parametrize("pixels", [0, 15])
def test_clouds_are_grown_as_far_in_both(case: Case, connected: Session, pixels: int) -> None:
    config = case.source.sentinel2.model_copy(update={"cloud_dilation": pixels})  # type: ignore[union-attr]
    grown = case.model_copy(update={"source": case.source.model_copy(update={"sentinel2": config})})
    mask = {"cloud_mask": "scl", "cloud_dilation": pixels}
    ours, theirs = whole(grown), whole(by_service(grown, sentinel1=None, dem=None, sentinel2=mask))
    for name, counts in theirs.seen.items():
        assert np.array_equal(counts, ours.seen[name]), name
    usual = whole(by_service(case, sentinel1=None, dem=None, sentinel2={"cloud_mask": "scl"}))
    more = sum(int(theirs.seen[name].sum()) - int(counts.sum()) for name, counts in usual.seen.items())
    assert (more > 0) == (pixels == 0)


def test_another_cloud_mask_changes_little(case: Case, connected: Session) -> None:
    """Cloud Score+ keeps more, as the classes are grown by 60 m; where both observe, the indices hardly move."""
    for name, apart in compared(case, sentinel1=None, dem=None).items():
        assert apart.median < 0.03, name
        assert apart.p99 < 0.3, name
        assert apart.masks < 0.15, name


def test_terrain_differs_as_its_methods_do(case: Case, connected: Session) -> None:
    for name, apart in compared(case, sentinel1=None, sentinel2=None).items():
        median, p99 = TERRAIN[name]
        assert apart.masks == 0, name
        assert apart.median < median, name
        assert apart.p99 < p99, name


def test_every_pixel_was_seen_as_often(case: Case, connected: Session) -> None:
    ours = whole(case).seen
    theirs = whole(by_service(case, sentinel2={"cloud_mask": "scl"}, bands=["vv_change", "dndvi_median"])).seen
    assert ours.keys() == theirs.keys()
    for name, counts in ours.items():
        assert np.array_equal(counts, theirs[name]), name


def test_outlines_painted_there_are_those_rasterised_here(case: Case, connected: Session) -> None:
    geobox: GeoBox = grid(case)
    shapes = read_inventory(case, geobox).on_grid(geobox)
    pixels = Pixels(inventory.painted(shapes, str(geobox.crs)).toFloat(), geobox, ("label",), "test", connected)
    painted = pixels.fetch((slice(0, geobox.shape.y), slice(0, geobox.shape.x)))[0]
    local = rasterize(list(shapes), out_shape=geobox.shape, transform=geobox.affine)
    assert local.any()
    assert (painted != local).mean() < 1e-4
