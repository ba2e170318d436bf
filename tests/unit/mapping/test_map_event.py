import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyogrio
import pystac
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from pydantic import ValidationError

from landslide.artifacts.stage import Artifact
from landslide.datasets.stack import StackPart
from landslide.ensembles.calibration import Platt
from landslide.ensembles.ensemble import Ensemble
from landslide.errors import BandError, InputError
from landslide.mapping.map_event import MapCase, map_event
from landslide.mapping.probability import RunningMoments, entropy
from landslide.mapping.report.layers import picture_shape
from landslide.mapping.report.quicklook import round_below
from landslide.mapping.summary import SUMMARY, MapOptions, MapSummary
from landslide.progress import reporting
from tests.helpers.mapping_case import Echo, case, hills, write_ensemble, write_stack

SHAPE = (96, 130)
OPTIONS = MapOptions(window=64, overlap=16)
NAMES = {"probability.tif", "landslides.gpkg", "item.json", "quicklook.png", "report.html", "summary.json"}


def bands(missing=0):
    """A logit with one landslide of 20 x 30 pixels, and elevation; the first `missing` columns are not observed."""
    logit = np.full(SHAPE, -3.0, "float32")
    logit[40:60, 70:100] = 3
    logit[:, :missing] = np.nan
    return {"dndvi_median": logit, "elevation": hills(*SHAPE)}


@pytest.fixture
def echoes(monkeypatch):
    """Members whose logit is the first band, the second one half as sure."""

    def load(self, voter, device="cpu"):
        return Echo(1.0 if voter.file.startswith("1") else 0.5).eval()

    monkeypatch.setattr(Ensemble, "load", load)


def mapped(folder, values=None, weights=(1.0, 1.0), options=OPTIONS, **stack):
    prepared = write_stack(folder / "stack", bands() if values is None else values, **stack)
    ensemble = write_ensemble(folder / "ensemble", ["dndvi_median"], weights)
    (folder / "map").mkdir(exist_ok=True)
    return map_event(prepared, ensemble, folder / "map", options), folder / "map"


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_a_map_has_all_products_and_leaves_no_scratch(tmp_path, echoes):
    summary, folder = mapped(tmp_path)
    assert {path.name for path in folder.iterdir()} == NAMES
    assert MapSummary.model_validate_json((folder / SUMMARY).read_text()) == summary
    assert (summary.landslides, summary.members, summary.windows) == (1, 2, 6)
    assert summary.area_m2["total"] == pytest.approx(60_000, rel=2e-3)
    assert summary.share_landslide == pytest.approx(600 / (96 * 130), rel=1e-3)


def test_probability_and_spread_are_the_members_mean_and_deviation(tmp_path, echoes):
    values = bands(missing=30)
    _, folder = mapped(tmp_path, values, weights=(3.0, 1.0))
    logit = values["dndvi_median"]
    each = np.stack([sigmoid(logit), sigmoid(logit / 2)])
    mean = np.average(each, axis=0, weights=(3, 1))
    spread = np.sqrt(np.average((each - mean) ** 2, axis=0, weights=(3, 1)))
    with rasterio.open(folder / "probability.tif") as raster:
        assert raster.descriptions == ("probability", "spread", "mutual_information")
        assert raster.units == ("1", "1", "bit")
        assert raster.dtypes == ("float32",) * 3
        assert np.isnan(raster.nodata)
        assert raster.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        np.testing.assert_array_equal(np.isnan(raster.read(1)), np.isnan(logit))
        seen = np.isfinite(logit)
        np.testing.assert_allclose(raster.read(1)[seen], mean[seen], rtol=1e-4)
        np.testing.assert_allclose(raster.read(2)[seen], spread[seen], rtol=1e-3, atol=1e-6)
        told = (entropy(mean) - np.average(entropy(each), axis=0, weights=(3, 1)))[seen]
        np.testing.assert_allclose(raster.read(3)[seen], told, rtol=1e-2, atol=1e-5)


def test_a_map_votes_calibrates_and_cuts_as_its_ensemble_says(tmp_path, echoes):
    values = bands(missing=30)
    stack = write_stack(tmp_path / "stack", values)
    platt = Platt(slope=1.5, bias=-0.5)
    ensemble = write_ensemble(
        tmp_path / "ensemble", ["dndvi_median"], (3.0, 1.0), scale="logit", calibration=platt, threshold=0.8,
        confidence={"medium": 0.5, "high": 0.999},
    )  # fmt: skip
    (tmp_path / "map").mkdir()
    map_event(stack, ensemble, tmp_path / "map", OPTIONS)
    logit = values["dndvi_median"]
    expected = sigmoid(1.5 * (0.75 * np.clip(logit, -8, 8) + 0.25 * logit / 2) - 0.5)
    with rasterio.open(tmp_path / "map" / "probability.tif") as raster:
        probability = raster.read(1)
    np.testing.assert_allclose(probability, expected, rtol=1e-3, atol=1e-5)
    row = pyogrio.read_dataframe(tmp_path / "map" / "landslides.gpkg").iloc[0]
    assert row.confidence == ("high" if row.probability_mean >= 0.999 else "medium")
    assert "Confidence" in (tmp_path / "map" / "report.html").read_text()
    summary = MapSummary.model_validate_json((tmp_path / "map" / SUMMARY).read_text())
    assert summary.confidence == {"high": 0, "medium": 0, "low": 0} | {row.confidence: 1}


def test_a_large_map_has_overviews(tmp_path, echoes):
    logit = np.full((600, 700), -2.0, "float32")
    _, folder = mapped(tmp_path, {"dndvi_median": logit}, options=MapOptions(window=512, overlap=64))
    with rasterio.open(folder / "probability.tif") as raster:
        assert raster.overviews(1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=12), st.integers(0, 2**31))
def test_running_moments_are_numpys(weights, seed):
    values = np.random.default_rng(seed).random((len(weights), 11, 7)).astype("float32")
    with tempfile.TemporaryDirectory() as folder, RunningMoments(Path(folder), (11, 7)) as moments:
        for index, weight in enumerate(weights):
            for rows in (slice(0, 4), slice(4, 11)):
                moments.update(rows, values[index, rows], weight, sum(weights[:index]))
        result = moments.result(slice(0, 11), sum(weights))
    mean = np.average(values.astype("float64"), axis=0, weights=weights)
    spread = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    np.testing.assert_allclose(result[0], mean, rtol=1e-5)
    np.testing.assert_allclose(result[1], spread, rtol=1e-3, atol=2e-4)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from((0.0, 1.0)), st.floats(1e-6, 1)), min_size=1, max_size=12),
    st.sampled_from(("probability", "logit")),
)
def test_running_means_of_members_at_0_and_1_stay_probabilities(members, scale):
    with tempfile.TemporaryDirectory() as folder, RunningMoments(Path(folder), (2, 3), scale) as moments:
        before = 0.0
        for value, weight in members:
            moments.update(slice(0, 2), np.full((2, 3), value, "float32"), weight, before)
            before += weight
        probability, spread, information = moments.result(slice(0, 2), before)
    assert np.isfinite([probability, spread, information]).all()
    assert probability.min() >= 0
    assert probability.max() <= 1


@pytest.mark.slow
def test_geopackage_has_its_schema_with_and_without_landslides(tmp_path, echoes):
    _, folder = mapped(tmp_path)
    some = pyogrio.read_info(folder / "landslides.gpkg", layer="landslides")
    _, folder = mapped(tmp_path, {"dndvi_median": np.full(SHAPE, -3.0, "float32")})
    none = pyogrio.read_info(folder / "landslides.gpkg", layer="landslides")
    assert (some["features"], none["features"]) == (1, 0)
    for info in (some, none):
        assert info["fields"].tolist() == [
            "id", "area_m2", "probability_mean", "probability_max", "spread_mean", "slope_mean_deg",
            "elevation_mean_m", "pre_start", "pre_end", "post_start", "post_end", "confidence", "ensemble",
        ]  # fmt: skip
        assert info["geometry_type"] == "MultiPolygon"
        assert info["crs"] == "EPSG:32654"
        assert info["ogr_types"].count("OFTDate") == 4


def test_geopackage_holds_the_windows_and_null_where_unknown(tmp_path, echoes):
    _, folder = mapped(tmp_path)
    row = pyogrio.read_dataframe(folder / "landslides.gpkg", layer="landslides").iloc[0]
    days = [str(row[name])[:10] for name in ("pre_start", "pre_end", "post_start", "post_end")]
    assert days == ["2018-07-08", "2018-09-05", "2018-09-07", "2018-11-05"]
    assert row.ensemble == "tiny"
    assert row.slope_mean_deg is None or np.isnan(row.slope_mean_deg)
    assert row.elevation_mean_m == pytest.approx(hills(*SHAPE)[40:60, 70:100].mean(), rel=1e-4)


def test_item_is_valid_and_links_the_products(tmp_path, echoes):
    _, folder = mapped(tmp_path)
    data = json.loads((folder / "item.json").read_text())
    core = pystac.Item.from_dict(data | {"stac_extensions": []})
    assert pystac.validation.validate_dict(core.to_dict(include_self_link=False))
    assert data["stac_version"] == "1.1.0"
    for asset in data["assets"].values():
        path = folder / asset["href"]
        assert asset["href"].startswith("./")
        assert asset["file:size"] == path.stat().st_size
    assert set(data["assets"]) == {"probability", "landslides", "quicklook", "report"}
    properties = data["properties"]
    assert properties["datetime"] is None
    assert (properties["start_datetime"], properties["end_datetime"]) == (
        "2018-07-08T00:00:00Z", "2018-11-05T23:59:59Z",
    )  # fmt: skip
    assert properties["proj:code"] == "EPSG:32654"
    assert properties["proj:shape"] == list(SHAPE)
    west, south, east, north = data["bbox"]
    assert 141 < west < east < 143
    assert 42 < south < north < 43


def test_undated_events_are_mapped_without_dates(tmp_path, echoes):
    undated = case(event_date=None, aoi=None, source={"kind": "archive", "format": "paper", "folder": "."})
    _, folder = mapped(tmp_path, of=undated)
    assert json.loads((folder / "item.json").read_text())["properties"]["datetime"]
    assert pyogrio.read_dataframe(folder / "landslides.gpkg").pre_start.isna().all()


def test_a_blank_scene_is_not_a_confident_empty_map(tmp_path, echoes):
    summary, folder = mapped(tmp_path, bands(missing=SHAPE[1]), seen=0)
    assert summary.nothing_observed
    assert (summary.share_observed, summary.share_landslide, summary.landslides) == (0, None, 0)
    assert "Nothing was observed" in (folder / "report.html").read_text()
    with rasterio.open(folder / "probability.tif") as raster:
        assert np.isnan(raster.read()).all()


@pytest.mark.slow
def test_shares_are_of_the_area_of_interest(tmp_path, echoes):
    _, folder = mapped(tmp_path)
    west, south, east, north = json.loads((folder / "item.json").read_text())["bbox"]
    middle = (west + east) / 2
    half = {"type": "Polygon", "coordinates": [
        [[west, south], [middle, south], [middle, north], [west, north], [west, south]]
    ]}  # fmt: skip
    values = bands()
    values["dndvi_median"][:, 66:] = np.nan
    summary, _ = mapped(tmp_path, values, of=case(aoi=half))
    assert summary.share_observed == pytest.approx(1, abs=0.03)
    summary, _ = mapped(tmp_path, bands(missing=33), of=case(aoi=half))
    assert summary.share_observed == pytest.approx(0.5, abs=0.03)


@pytest.mark.slow
def test_unknown_counts_are_not_zero(tmp_path, echoes):
    assert set(mapped(tmp_path, seen=65535)[0].seen.values()) == {None}
    assert set(mapped(tmp_path, seen=0)[0].seen.values()) == {0.0}
    assert set(mapped(tmp_path, seen=2)[0].seen.values()) == {1.0}


def test_chips_missing_bands_and_nowhere_are_refused(tmp_path):
    with pytest.raises(InputError, match="landslide evaluate"):
        mapped(
            tmp_path, parts=[StackPart(name=name, height=8, width=8, observed={}) for name in ("image_1", "image_2")]
        )
    with pytest.raises(InputError, match="no georeference"):
        mapped(tmp_path, georeferenced=False)
    with pytest.raises(BandError, match="dndvi_median"):
        mapped(tmp_path, {"elevation": hills(*SHAPE)})


def test_a_real_network_maps_a_scene_smaller_than_its_stride(tmp_path):
    noise = np.random.default_rng(0).normal(size=(5, 7)).astype("float32")
    summary, folder = mapped(tmp_path, {"dndvi_median": noise}, options=MapOptions())
    with rasterio.open(folder / "probability.tif") as raster:
        probability, spread, information = raster.read()
    assert probability.shape == (5, 7)
    assert ((probability > 0) & (probability < 1)).all()
    assert (spread > 0).all()
    assert ((information >= 0) & (information < 1)).all()
    assert summary.windows == 1


def test_one_pixel_is_a_map(tmp_path, echoes):
    summary, folder = mapped(tmp_path, {"dndvi_median": np.full((1, 1), 5.0), "elevation": np.full((1, 1), 5.0)})
    assert (summary.landslides, summary.share_observed) == (0, 1)  # 100 m² is below the minimum mapping unit
    assert imread(folder / "quicklook.png").size


def test_progress_is_told_row_by_row(tmp_path, echoes):
    told = []

    @contextmanager
    def reporter(description, total):
        yield lambda done, note: told.append((description, done, total))

    with reporting(reporter):
        mapped(tmp_path)
    assert told == [("Mapping", done, 4) for done in range(1, 5)]  # 2 members, 2 rows of windows


def test_the_key_holds_what_a_map_depends_on():
    base = MapCase(
        stack=Artifact(stage="stack", key="s"), fingerprint="e", case_title="t", options=MapOptions(),
        case=case(), ensemble=Path("ensemble"),
    )  # fmt: skip
    changes = (
        {"stack": Artifact(stage="stack", key="x")}, {"fingerprint": "x"}, {"case_title": "x"},
        {"options": MapOptions(window=256)},
    )  # fmt: skip
    assert len({base.key, *(base.model_copy(update=change).key for change in changes)}) == 5
    assert base.model_copy(update={"ensemble": Path("moved"), "device": "cuda"}).key == base.key


@pytest.mark.parametrize("wrong", [{"window": 8}, {"overlap": 300}, {"threshold": 1.0}, {"windw": 512}])
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        MapOptions(**wrong)


def test_importing_the_package_is_light():
    heavy = "torch,matplotlib,geopandas,rasterio,pystac,jinja2"
    code = f"import sys, landslide.mapping; print([m for m in '{heavy}'.split(',') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("shape", [(1, 1), (96, 130), (800, 900), (2000, 10_980), (10_980, 10_980), (1, 3000)])
def test_pictures_have_a_bounded_size(shape):
    picture = picture_shape(shape)
    assert min(picture) >= 2
    assert 600 <= max(picture) <= 1600


@given(st.floats(1e-6, 1e6))
def test_scale_bars_are_round(value):
    step = round_below(value)
    assert value / 2.5001 <= step <= value * 1.0001
