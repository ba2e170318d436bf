"""Sentinel-2 bands: identities of masks, indices and composites, and a real cloud-masked series against numpy."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide.features.optical import EDGE, MAX_RATIO, clear, optical_bands

COLOURS = ("blue", "green", "red", "nir")


def pixel(sides: list[str], **colours: list[float]) -> xr.Dataset:
    """One pixel over time."""
    cubes = {
        name: (("time", "y", "x"), np.array(series, "float32").reshape(-1, 1, 1)) for name, series in colours.items()
    }
    return xr.Dataset(cubes, coords={"side": ("time", sides)})


def classes(values: object) -> xr.DataArray:
    return xr.DataArray(np.asarray(values, "uint8"), dims=("y", "x"))


def test_classes_that_show_the_ground() -> None:
    assert clear(classes([[4, 5, 6, 7]]), EDGE).values.all()
    assert not clear(classes([[0, 1, 2, 11]]), EDGE).values.any()
    for spreading in (3, 8, 9, 10):
        assert not clear(classes([[4, spreading]]), EDGE).values.any()


@pytest.mark.parametrize("dilation", [0, 1, EDGE, 12])
@pytest.mark.parametrize("spreading", [3, 8, 9, 10])
def test_clouds_and_shadows_grow_by_the_dilation(spreading: int, dilation: int) -> None:
    values = np.full((31, 31), 4)
    values[15, 15] = spreading
    usable = clear(classes(values), dilation).values
    assert (~usable).sum() == (2 * dilation + 1) ** 2
    assert usable[15, 15 + dilation + 1]


def test_snow_and_nodata_do_not_grow() -> None:
    values = np.full((9, 9), 5)
    values[4, 4], values[0, 0] = 11, 0
    assert (~clear(classes(values), EDGE).values).sum() == 2


def test_times_do_not_touch_each_other() -> None:
    values = np.full((3, 5, 5), 4, "uint8")
    values[1] = 9
    usable = clear(xr.DataArray(values, dims=("time", "y", "x")), EDGE).values
    assert usable.all((1, 2)).tolist() == [True, False, True]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 20), st.integers(0, 20))
def test_the_mask_does_not_depend_on_the_block(seed: int, row: int, column: int) -> None:
    values = np.random.default_rng(seed).choice([4, 5, 9, 3, 11], (50, 50), p=[0.5, 0.478, 0.01, 0.002, 0.01])
    block = (slice(row, row + 30), slice(column, column + 30))
    inner = (slice(EDGE, -EDGE), slice(EDGE, -EDGE))
    np.testing.assert_array_equal(
        clear(classes(values[block]), EDGE).values[inner], clear(classes(values), EDGE).values[block][inner]
    )


def test_lost_vegetation_is_negative() -> None:
    scenes = pixel(["pre", "post"], blue=[0.03, 0.1], green=[0.06, 0.12], red=[0.04, 0.2], nir=[0.36, 0.24])
    bands, seen = optical_bands(scenes)
    assert bands["dndvi_median"][0, 0] == pytest.approx(0.04 / 0.44 - 0.8, abs=1e-6)
    assert bands["dndvi_greenest"][0, 0] == bands["dndvi_median"][0, 0]
    assert bands["dgrvi"][0, 0] == pytest.approx(-0.25 - 0.2, abs=1e-6)
    assert bands["rg_change"][0, 0] == pytest.approx(0.2 / 0.12 - 0.04 / 0.06, abs=1e-6)
    assert bands["brightness_change"][0, 0] == pytest.approx((0.42 - 0.13) / 3, abs=1e-6)
    assert [bands[f"{name}_post"][0, 0] for name in COLOURS[:3]] == pytest.approx([0.1, 0.12, 0.2])
    assert (seen["s2_pre"][0, 0], seen["s2_post"][0, 0]) == (1, 1)
    assert all(band.dtype == np.float32 for band in bands.values())


@pytest.mark.parametrize(
    ("colours", "bands"),
    [
        (("red", "nir"), {"dndvi_median", "dndvi_greenest", "red_post"}),
        (("green", "red"), {"dgrvi", "rg_change", "green_post", "red_post"}),
        (("blue",), {"blue_post"}),
        (COLOURS[:3], {"dgrvi", "rg_change", "blue_post", "green_post", "red_post", "brightness_change"}),
    ],
)
def test_what_the_colours_allow_is_delivered(colours: tuple[str, ...], bands: set[str]) -> None:
    assert set(optical_bands(pixel(["pre", "post"], **{name: [0.1, 0.1] for name in colours}))[0]) == bands


def test_indices_are_taken_per_date_before_the_composite() -> None:
    """The median of NDVI is not the NDVI of medians."""
    scenes = pixel(["pre"] * 3 + ["post"], red=[0.1, 0.3, 0.2, 0.1], nir=[0.9, 0.3, 0.1, 0.1])
    bands, _ = optical_bands(scenes)
    assert bands["dndvi_median"][0, 0] == pytest.approx(0.0, abs=1e-6)
    assert bands["dndvi_greenest"][0, 0] == pytest.approx(-0.8, abs=1e-6)


def test_a_denominator_that_is_not_positive_is_not_observed() -> None:
    bands, _ = optical_bands(pixel(["pre", "post"], green=[0.1, 0.0], red=[0.1, -0.01], nir=[0.1, 0.01]))
    assert np.isnan([bands[name][0, 0] for name in ("dndvi_median", "dgrvi", "rg_change")]).all()
    bands, _ = optical_bands(pixel(["pre", "post"], green=[0.1, 1e-4], red=[0.1, 0.2], nir=[0.1, -0.1]))
    assert bands["rg_change"][0, 0] == pytest.approx(MAX_RATIO - 1)
    assert bands["dndvi_median"][0, 0] == -1


@pytest.mark.parametrize("sides", [[], ["pre"], ["post"]])
def test_a_missing_side_is_not_observed(sides: list[str]) -> None:
    bands, seen = optical_bands(pixel(sides, **{name: [0.1] * len(sides) for name in COLOURS}))
    changes = [name for name in bands if not name.endswith("_post")]
    assert len(changes) == 5
    assert np.isnan([bands[name] for name in changes]).all()
    assert np.isnan(bands["red_post"]).all() == (sides != ["post"])
    assert seen["s2_pre"][0, 0] == sides.count("pre")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.floats(0, 1))
def test_the_median_is_that_of_the_values_that_are_there(seed: int, dates: int, missing: float) -> None:
    random = np.random.default_rng(seed)
    cube = random.random((dates, 4, 5), dtype="float32")
    cube[random.random(cube.shape) < missing] = np.nan
    scenes = xr.Dataset({"red": (("time", "y", "x"), cube)}, coords={"side": ("time", ["post"] * dates)})
    bands, seen = optical_bands(scenes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        np.testing.assert_allclose(bands["red_post"], np.nanmedian(cube, 0), rtol=1e-6)
    np.testing.assert_array_equal(seen["s2_post"], np.isfinite(cube).sum(0))


def test_a_real_cloud_masked_series_equals_plain_numpy(real_data: Path) -> None:
    """Two summers of Slovenia; its NDVI is split into red and near infrared of the same NDVI, clouds into class 9."""
    folder = real_data / "ndvi-series"
    ndvi, cloud = (np.load(folder / f"{name}.npy")[..., 0] for name in ("NDVI", "CLM"))
    days = [stamp[:10] for stamp in json.loads((folder / "timestamps.json").read_text())]
    summers = {"pre": "2016", "post": "2017"}
    chosen = {
        side: [i for i, day in enumerate(days) if f"{year}-06" <= day < f"{year}-09"] for side, year in summers.items()
    }
    order = chosen["pre"] + chosen["post"]
    scl = xr.DataArray(np.where(cloud[order] == 1, 9, 4).astype("uint8"), dims=("time", "y", "x"))
    usable = clear(scl, EDGE).values
    red, nir = (np.where(usable, (1 + sign * ndvi[order]) / 2, np.nan).astype("float32") for sign in (-1, 1))
    dims = ("time", "y", "x")
    sides = ["pre"] * len(chosen["pre"]) + ["post"] * len(chosen["post"])
    bands, seen = optical_bands(xr.Dataset({"red": (dims, red), "nir": (dims, nir)}, coords={"side": ("time", sides)}))

    masked = np.where(usable, ndvi[order], np.nan)
    half = len(chosen["pre"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        median = np.nanmedian(masked[half:], 0) - np.nanmedian(masked[:half], 0)
        greenest = np.nanmax(masked[half:], 0) - np.nanmax(masked[:half], 0)
    np.testing.assert_allclose(bands["dndvi_median"], median, atol=1e-6)
    np.testing.assert_allclose(bands["dndvi_greenest"], greenest, atol=1e-6)
    np.testing.assert_array_equal(seen["s2_pre"], usable[:half].sum(0))
    assert 0 < usable.mean() < 1 - cloud[order].mean()
    assert abs(np.nanmedian(median)) < 0.1
