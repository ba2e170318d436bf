"""Whether Google's Earth Engine behaves as the expressions and the simulated service assume.

`make live-earthengine` runs it with the credentials of this machine; it takes some minutes, and an EECU-hour at most.
`CASE=path/case.yaml` takes another place than Atsuma, Hokkaido; `BUCKET=name` tries an export to Cloud Storage, too.
"""

import os
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from landslide.cases.case import Case, load_case
from landslide.errors import SourceError
from landslide.features.terrain import terrain_bands
from landslide.geo.grid import grid
from landslide.sources.base import LayerRequest
from landslide.sources.earthengine import session
from landslide.sources.earthengine.export.layer import to_block
from landslide.sources.earthengine.export.pixels import Pixels
from landslide.sources.earthengine.expressions import inventory, sentinel1, sentinel2, terrain, water
from landslide.sources.earthengine.image import NODATA, layer_image, names_of
from landslide.sources.earthengine.query import get_info, with_retries
from landslide.sources.earthengine.source import EarthEngine
from tests.helpers.parity import GAP, whole_layer

pytestmark = pytest.mark.live
ATSUMA = {
    "id": "live-atsuma",
    "event_date": "2018-09-06",
    "aoi": [141.93, 42.735, 141.955, 42.75],
    "source": "earthengine",
}
WHOLE = (slice(0, 128), slice(0, 128))


@pytest.fixture(scope="module")
def connected() -> session.Session:
    try:
        return session.connect()
    except SourceError as error:
        pytest.skip(f"no Earth Engine account here: {error}")


@pytest.fixture(scope="module")
def case() -> Case:
    return load_case(Path(os.environ["CASE"])) if os.environ.get("CASE") else Case.model_validate(ATSUMA)


@pytest.fixture(scope="module")
def box(case: Case) -> GeoBox:
    """128 × 128 pixels of the case's grid."""
    return grid(case)[WHOLE]


def ask(image: ee.Image, box: GeoBox, connected: session.Session, band: str = "value") -> NDArray[np.float32]:
    pixels = Pixels(image.rename(band).toFloat(), box, (band,), "landslide-live", connected)
    return with_retries(lambda: pixels.fetch((slice(0, box.shape.y), slice(0, box.shape.x))))[0]


def test_a_pixel_lies_where_our_grid_has_it(box: GeoBox, connected: session.Session) -> None:
    """Google's own coordinates of each pixel's centre are ours, to a centimetre."""
    place = ee.Image.pixelCoordinates(ee.Projection(str(box.crs)))
    x, y = (ask(place.select(axis), box, connected) for axis in ("x", "y"))
    assert np.abs(x - box.coordinates["x"].values[None, :]).max() < 1
    assert np.abs(y - box.coordinates["y"].values[:, None]).max() < 1


def test_painted_outlines_are_those_we_rasterise(box: GeoBox, connected: session.Session) -> None:
    centre = box.extent.geom.centroid
    shapes = [shapely.affinity.rotate(shapely.box(-180, -95, 170, 105), angle) for angle in (0, 33, 71)]
    shapes = [shapely.affinity.translate(shape, centre.x + 3, centre.y + 4) for shape in shapes]
    painted = ask(inventory.painted(np.array(shapes, object), str(box.crs)), box, connected)
    local = rasterize(shapes, out_shape=box.shape, transform=box.affine)
    assert (painted != local).sum() <= 3, "a shifted grid would differ along whole edges"


def test_masked_pixels_come_back_as_zero_unless_unmasked(box: GeoBox, connected: session.Session) -> None:
    hidden = ee.Image.constant(7).updateMask(0)
    assert (ask(hidden, box, connected) == 0).all()
    assert (ask(hidden.unmask(NODATA, False), box, connected) == NODATA).all()


def test_the_median_of_two_is_their_mean_and_the_last_lies_on_top(box: GeoBox, connected: session.Session) -> None:
    two = ee.ImageCollection([ee.Image.constant(1), ee.Image.constant(4)])
    assert (ask(two.median(), box, connected) == 2.5).all()
    assert (ask(two.mosaic(), box, connected) == 4).all()
    assert (ask(two.map(lambda image: image.updateMask(0)).count().unmask(0, False), box, connected) == 0).all()


def test_focal_operations_count_metres_on_our_grid(box: GeoBox, connected: session.Session) -> None:
    """A single pixel grown by 60 m is 13 pixels wide."""
    x, y = (float(axis.values[64]) for axis in (box.coordinates["x"], box.coordinates["y"]))
    place = ee.Image.pixelCoordinates(ee.Projection(str(box.crs)))
    dot = place.select("x").subtract(x).abs().lt(5).And(place.select("y").subtract(y).abs().lt(5))
    assert ask(dot, box, connected).sum() == 1
    assert ask(dot.focalMax(60, "square", "meters"), box, connected).sum() == 13 * 13


def test_slopes_are_those_of_neighbouring_cells(case: Case, box: GeoBox, connected: session.Session) -> None:
    """A slope over cells of a degree would be near 0. Ours, of the elevation on the 10 m grid, is close by."""
    bands = terrain.bands(grid(case), "glo30")
    height, slope = (ask(bands.select(name), box, connected) for name in ("elevation", "slope"))
    ours = terrain_bands(height, 10)["slope"]
    inner = (slice(4, -4), slice(4, -4))
    assert np.median(slope) > 1
    assert np.median(np.abs(slope - ours)[inner]) < 4


def test_the_collections_have_the_bands_and_properties_we_name(case: Case, connected: session.Session) -> None:
    found = EarthEngine(case, case.source).find_scenes()  # type: ignore[arg-type]
    radar, optical = found.layers["sentinel1"].scenes, found.layers["sentinel2"].scenes
    properties = radar[0].properties
    print("radar:", properties, "orbits", sentinel1.paired_orbits(radar))
    print("scenes with a cloud score:", f"{sentinel2.scored_share(optical):.0%}")
    assert properties["orbitProperties_pass"] in ("ASCENDING", "DESCENDING")
    for asset, names in ((sentinel2.SCORES, [sentinel2.SCORE]), (terrain.GLO30, ["DEM", "WBM"])):
        assert set(names) <= set(get_info(ee.ImageCollection(asset).first().bandNames())), asset
    assert "occurrence" in get_info(ee.Image(water.OCCURRENCE).bandNames())


def test_a_case_comes_whole_and_plausible(case: Case, connected: session.Session, tmp_path: Path) -> None:
    source = EarthEngine(case, case.source)  # type: ignore[arg-type]
    found = source.find_scenes()
    for layer, request in found.layers.items():
        whole = whole_layer(source, found, layer, tmp_path / layer)
        for name, plane in whole.values.items():
            assert not (plane == GAP).any(), f"tiles leave no gap in {name}"
        for name in RANGES.keys() & whole.values.keys():
            seen = whole.values[name][np.isfinite(whole.values[name])]
            print(f"{name}: {seen.size / whole.values[name].size:.0%} observed, {seen.min():.2f} … {seen.max():.2f}")
            low, high = RANGES[name]
            assert low <= np.median(seen) <= high, name
        part = (slice(10, 60), slice(20, 70))
        again = one_request(request, grid(case), part, connected)
        for name, plane in again.items():
            same = np.array_equal(plane, whole.values[name][part], equal_nan=True)
            assert same, f"{name} depends on the tile it is asked in"
        print(source.account())
    asked = {band for request in found.layers.values() for band in request.bands}
    assert asked >= RANGES.keys()


def one_request(
    request: LayerRequest, box: GeoBox, part: tuple[slice, slice], connected: session.Session
) -> dict[str, NDArray[np.float32]]:
    """A part of a layer's bands, asked for in one request."""
    pixels = Pixels(layer_image(request, box), box, names_of(request), "landslide-live", connected)
    return dict(to_block(with_retries(lambda: pixels.fetch(part)), request).values)


RANGES: dict[str, tuple[float, float]] = {
    "vv_pre": (-20, 0), "vh_pre": (-28, -5), "vv_change": (-3, 3), "ratio_pre": (-12, -2),
    "elevation": (-50, 5000), "slope": (0, 60), "northness": (-1, 1), "dndvi_median": (-0.6, 0.4),
}  # fmt: skip


def test_an_export_to_a_bucket_is_the_same(case: Case, connected: session.Session, tmp_path: Path) -> None:
    bucket = os.environ.get("BUCKET")
    if not bucket:
        pytest.skip("set BUCKET to a Cloud Storage bucket to try batch exports")
    config: Any = case.source
    small = config.model_copy(update={"sentinel1": None, "sentinel2": None})
    by_tiles = EarthEngine(case, small)
    settings = small.export.model_copy(update={"method": "bucket", "bucket": bucket})
    by_bucket = EarthEngine(case, small.model_copy(update={"export": settings}))
    found = by_tiles.find_scenes()
    tiles = whole_layer(by_tiles, found, "terrain", tmp_path / "tiles")
    files = whole_layer(by_bucket, found, "terrain", tmp_path / "files")
    account = by_bucket.account()
    assert account is not None
    print(account["charged"])
    for band, plane in tiles.values.items():
        assert total(plane) == pytest.approx(total(files.values[band]), nan_ok=True), band


def total(plane: NDArray[np.float32]) -> float:
    return float(np.nansum(plane, dtype="float64"))
