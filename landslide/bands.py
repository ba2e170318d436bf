"""The bands of a stack, as data: name, unit, sensor, and how each behaves when a tile is flipped or turned.

A new band is one row in `BANDS`; a band set is a list of names. Nothing else in the code knows a band by its index.
Every change is post minus pre: vegetation loss is a negative dNDVI.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from landslide.errors import BandError

Symmetry = Literal["scalar", "north", "east"]


@dataclass(frozen=True)
class Band:
    """One band. `symmetry` is scalar, or the component of a direction that turns with the picture."""

    name: str
    unit: str
    sensor: str
    how: str
    symmetry: Symmetry = "scalar"


def _table(*rows: Band) -> dict[str, Band]:
    return {row.name: row for row in rows}


def _sar() -> list[Band]:
    rows = []
    for key, what in (("vv", "VV"), ("vh", "VH"), ("ratio", "VH − VV")):
        rows += [
            Band(f"{key}_pre", "dB", "s1", f"{what}, mean of linear power before the event, per orbit"),
            Band(f"{key}_post", "dB", "s1", f"{what}, the same after the event"),
            Band(f"{key}_change", "dB", "s1", f"{what}, after minus before within each orbit, then averaged"),
        ]
    return rows


def _landslide4sense() -> list[Band]:
    """The 14 channels of Landslide4Sense, each divided by a constant of the set, so without a physical unit."""
    optical = [Band(f"l4s_b{i}", "1", "l4s", f"Sentinel-2 band {i} as the set numbers them") for i in range(1, 13)]
    return [*optical, Band("l4s_slope", "1", "l4s", "slope"), Band("l4s_elevation", "1", "l4s", "elevation")]


BANDS: dict[str, Band] = _table(
    *_sar(),
    Band("elevation", "m", "dem", "elevation above the DEM's datum"),
    Band("slope", "°", "dem", "Horn (1981), on the DEM's metric grid"),
    Band("northness", "1", "dem", "cosine of the downslope direction, clockwise from north; 0 where flat", "north"),
    Band("eastness", "1", "dem", "sine of the downslope direction, clockwise from north; 0 where flat", "east"),
    Band("dndvi_median", "1", "s2", "median NDVI after minus median NDVI before"),
    Band("dndvi_greenest", "1", "s2", "greatest NDVI after minus greatest NDVI before"),
    Band("plan_curvature", "1/m", "dem", "Zevenbergen and Thorne (1987)"),
    Band("profile_curvature", "1/m", "dem", "Zevenbergen and Thorne (1987)"),
    Band("dgrvi", "1", "s2", "median (green − red)/(green + red) after minus before"),
    Band("blue_post", "1", "s2", "median reflectance after the event"),
    Band("green_post", "1", "s2", "median reflectance after the event"),
    Band("red_post", "1", "s2", "median reflectance after the event"),
    Band("rg_change", "1", "s2", "red over green, after minus before"),
    Band("brightness_change", "1", "s2", "mean visible reflectance, after minus before"),
    Band("water", "1", "water", "1 on permanent water, 0 elsewhere"),
    *_landslide4sense(),
)

_S1 = tuple(f"{key}_{when}" for key in ("vv", "vh", "ratio") for when in ("pre", "post", "change"))
_TERRAIN = ("elevation", "slope", "northness", "eastness")
_S2 = ("dndvi_median", "dndvi_greenest")

BAND_SETS: dict[str, tuple[str, ...]] = {
    "s1": _S1,
    "s2": _S2,
    "s1s2": _S1 + _S2,
    "all": _S1 + _TERRAIN + _S2,
    # Changes alone: reflectance as such differs between levels of processing by more than between forest and debris.
    "visible": ("dgrvi", "rg_change", "brightness_change", "slope", "northness", "eastness"),
    "dndvi": ("dndvi_median",),
    "landslide4sense": tuple(band.name for band in _landslide4sense()),
}


def known(names: Iterable[str]) -> tuple[str, ...]:
    """The names as a tuple; BandError if one is not in `BANDS` or stands twice."""
    found = tuple(names)
    unknown = [name for name in found if name not in BANDS]
    if unknown:
        raise BandError(
            f"unknown band(s) {unknown}; known are {', '.join(BANDS)}. Correct the name or add it to bands.py"
        )
    if len(set(found)) != len(found):
        raise BandError(f"a band stands twice in {list(found)}; name each once")
    return found


def positions(wanted: Sequence[str], present: Sequence[str], where: str) -> list[int]:
    """Index of each wanted band among those present; BandError naming `where` if one is missing."""
    missing = [name for name in wanted if name not in present]
    if missing:
        raise BandError(f"{where} has no band {missing}; it has {list(present)}. Choose another band set or source")
    return [list(present).index(name) for name in wanted]


def directions(bands: Sequence[str]) -> list[tuple[int, int]]:
    """Where the northward and eastward components of directions are; BandError for one without the other."""
    north, east = ([i for i, band in enumerate(bands) if BANDS[band].symmetry == side] for side in ("north", "east"))
    if len(north) != len(east):
        raise BandError(f"band set {list(bands)} holds one component of a direction without the other. Add it")
    return list(zip(north, east, strict=True))
