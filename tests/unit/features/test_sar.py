"""Sentinel-1 bands: identities of composites, and the real series against plain loops."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landslide.features.sar import GROWTH, HALO, clean, sar_bands, to_linear

NINE = {f"{key}_{what}" for key in ("vv", "vh", "ratio") for what in ("pre", "post", "change")}


def scenes(vv: list[float], sides: list[str], orbits: list[str], vh: list[float] | None = None) -> xr.Dataset:
    """One pixel over time."""
    values = {"vv": vv} if vh is None else {"vv": vv, "vh": vh}
    cubes = {
        name: (("time", "y", "x"), np.array(series, "float32").reshape(-1, 1, 1)) for name, series in values.items()
    }
    return xr.Dataset(cubes, coords={"side": ("time", sides), "orbit": ("time", orbits)})


def plane(values: NDArray[np.float32]) -> xr.DataArray:
    return xr.DataArray(values.astype("float32"), dims=("y", "x"))


def test_to_linear_inverts_the_decibel_and_keeps_the_type() -> None:
    assert to_linear(np.array([0.0, -10.0, 3.0103])) == pytest.approx([1.0, 0.1, 2.0], rel=1e-5)
    linear = to_linear(xr.DataArray([np.nan, 10.0], dims="x"))
    assert np.isnan(linear.values[0])
    assert linear.values[1] == pytest.approx(10.0)
    assert linear.dims == ("x",)


def test_means_are_of_power_and_not_of_decibels() -> None:
    bands, _ = sar_bands(scenes([1.0, 0.01, 0.1], ["pre", "pre", "post"], ["a"] * 3))
    assert bands["vv_pre"][0, 0] == pytest.approx(10 * np.log10(0.505), abs=1e-5)
    assert bands["vv_change"][0, 0] == pytest.approx(-10 - 10 * np.log10(0.505), abs=1e-5)


def test_geometries_never_mix_inside_a_pair() -> None:
    """Two orbits 10 dB apart, unequally often on each side: a mixed pair would show a change, there is none."""
    bands, _ = sar_bands(scenes([1.0, 0.1, 0.1, 1.0, 1.0, 0.1], ["pre"] * 3 + ["post"] * 3, list("abbaab")))
    assert bands["vv_change"][0, 0] == pytest.approx(0, abs=1e-6)
    assert bands["vv_pre"][0, 0] == pytest.approx(-5, abs=1e-5)


def test_an_orbit_with_one_side_adds_nothing_but_is_counted_as_seen() -> None:
    bands, seen = sar_bands(scenes([0.1, 0.1, 1.0], ["pre", "post", "post"], ["a", "a", "b"]))
    assert bands["vv_post"][0, 0] == pytest.approx(-10, abs=1e-5)
    assert (seen["s1_pre"][0, 0], seen["s1_post"][0, 0]) == (1, 2)
    alone, seen = sar_bands(scenes([0.1, 1.0], ["pre", "post"], ["a", "b"]))
    assert np.isnan(alone["vv_change"][0, 0])
    assert (seen["s1_pre"][0, 0], seen["s1_post"][0, 0]) == (1, 1)


@pytest.mark.parametrize("count", [0, 1])
def test_a_missing_side_is_not_observed(count: int) -> None:
    bands, seen = sar_bands(scenes([0.1] * count, ["pre"] * count, ["a"] * count, [0.01] * count))
    assert set(bands) == NINE
    assert all(np.isnan(band).all() and band.dtype == np.float32 for band in bands.values())
    assert seen["s1_pre"].dtype == np.uint16
    assert (seen["s1_pre"][0, 0], seen["s1_post"][0, 0]) == (count, 0)


def test_without_vh_three_bands() -> None:
    assert set(sar_bands(scenes([0.1, 0.1], ["pre", "post"], ["a", "a"]))[0]) == {"vv_pre", "vv_post", "vv_change"}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.floats(0, 0.6))
def test_every_change_is_post_minus_pre_and_the_ratio_vh_minus_vv(seed: int, times: int, missing: float) -> None:
    random = np.random.default_rng(seed)
    cube = random.gamma(4.0, 0.02, (2, times, 3, 4)).astype("float32")
    cube[:, random.random((times, 3, 4)) < missing] = np.nan
    bands, _ = sar_bands(
        xr.Dataset(
            {"vv": (("time", "y", "x"), cube[0]), "vh": (("time", "y", "x"), cube[1])},
            coords={
                "side": ("time", random.choice(["pre", "post"], times)),
                "orbit": ("time", random.choice(["a", "b"], times)),
            },
        )
    )
    for key in ("vv", "vh", "ratio"):
        np.testing.assert_allclose(bands[f"{key}_change"], bands[f"{key}_post"] - bands[f"{key}_pre"], atol=1e-4)
    for what in ("pre", "post", "change"):
        np.testing.assert_allclose(bands[f"ratio_{what}"], bands[f"vh_{what}"] - bands[f"vv_{what}"], atol=1e-4)


def test_what_is_no_measurement_is_nan() -> None:
    values = plane(np.full((5, 5), 0.1))
    values[0, :4] = [0.0, -0.1, np.inf, np.nan]
    assert np.isnan(clean(values).values).sum() == 4


def test_a_strip_of_border_noise_goes_with_its_surroundings_and_one_dark_speckle_stays() -> None:
    values = np.full((40, 40), 0.1)
    values[:, :2] = 0.0
    values[:, 2:6] = 10 ** (-35 / 10)
    values[20, 30] = 10 ** (-35 / 10)
    kept = np.isfinite(clean(plane(values)).values)
    assert not kept[:, : 6 + GROWTH].any()
    assert kept[:, 6 + GROWTH :].all()
    assert np.isfinite(clean(plane(values), "vh").values[:, 2:]).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 24), st.integers(0, 24))
def test_cleaning_does_not_depend_on_the_block(seed: int, row: int, column: int) -> None:
    random = np.random.default_rng(seed)
    values = np.where(random.random((12, 12)).repeat(4, 0).repeat(4, 1) < 0.3, 1e-4, 0.1)
    values[random.random((48, 48)) < 0.1] = 0
    whole = np.pad(clean(plane(values)).values, HALO)
    block = clean(plane(values[row : row + 24, column : column + 24])).values
    inner = slice(HALO, -HALO)
    expected = whole[row + HALO : row + HALO + 24, column + HALO : column + HALO + 24]
    np.testing.assert_array_equal(block[inner, inner], expected[inner, inner])


@pytest.fixture(scope="module")
def burst(real_data: Path) -> xr.Dataset:
    """Burst T137-292319, 2021-11 to 2022-01 before and 2022-11 to 2023-01 after, as one orbit."""
    files = {pol: sorted(real_data.glob(f"opera-rtc-s1/*292319*_{pol}.tif"))[:12] for pol in ("VV", "VH")}
    assert all(len(found) == 12 for found in files.values())
    cubes = {pol.lower(): np.stack([rasterio.open(file).read(1) for file in found]) for pol, found in files.items()}
    days = [file.name.split("_")[4][:8] for file in files["VV"]]
    return xr.Dataset(
        {name: (("time", "y", "x"), cube) for name, cube in cubes.items()},
        coords={
            "side": ("time", ["pre" if day < "20220601" else "post" for day in days]),
            "orbit": ("time", ["137"] * 12),
        },
    )


def test_the_real_series_needs_no_cleaning(burst: xr.Dataset) -> None:
    for name in ("vv", "vh"):
        np.testing.assert_array_equal(clean(burst[name], name).values, burst[name].values)


def test_composites_and_change_of_the_real_series_equal_a_plain_loop(burst: xr.Dataset) -> None:
    bands, seen = sar_bands(burst)
    decibel = {}
    for name in ("vv", "vh"):
        for side in ("pre", "post"):
            total, count = np.zeros((100, 100)), 0
            for index, when in enumerate(burst["side"].values):
                if when == side:
                    total, count = total + burst[name].values[index], count + 1
            decibel[name, side] = 10 * np.log10(total / count)
            np.testing.assert_allclose(bands[f"{name}_{side}"], decibel[name, side], atol=1e-5)
            assert (seen[f"s1_{side}"] == count).all()
        change = decibel[name, "post"] - decibel[name, "pre"]
        np.testing.assert_allclose(bands[f"{name}_change"], change, atol=1e-5)
        assert abs(np.median(change)) < 1
    ratio = decibel["vh", "pre"] - decibel["vv", "pre"]
    np.testing.assert_allclose(bands["ratio_pre"], ratio, atol=1e-5)
    assert set(bands) == NINE
