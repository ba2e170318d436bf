"""The table of bands: name, unit, sensor, how each is computed, and how it transforms under a flip or rotation.

To add a band, add a row to `BANDS`; a band set is a list of band names. No other code refers to a band by its index.
Every change band is post minus pre, so vegetation loss is a negative dNDVI.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from landslide.errors import BandError

Symmetry = Literal["scalar", "north", "east"]


@dataclass(frozen=True)
class Band:
    """A band. `symmetry` is `scalar`, or which component of a direction it is; components change under flips."""

    name: str
    unit: str
    sensor: str
    method: str
    symmetry: Symmetry = "scalar"


def _table(*rows: Band) -> dict[str, Band]:
    return {row.name: row for row in rows}


def _sar() -> list[Band]:
    rows = []
    for key, name in (("vv", "VV"), ("vh", "VH"), ("ratio", "VH − VV")):
        rows += [
            Band(f"{key}_pre", "dB", "s1", f"{name}, mean of linear power before the event, per orbit"),
            Band(f"{key}_post", "dB", "s1", f"{name}, mean of linear power after the event, per orbit"),
            Band(f"{key}_change", "dB", "s1", f"{name}, post minus pre per orbit, averaged over orbits"),
        ]
    return rows


def _landslide4sense() -> list[Band]:
    """The 14 channels of Landslide4Sense. Each was divided by a constant, so none has a physical unit."""
    optical = [Band(f"l4s_b{i}", "1", "s2", f"Sentinel-2 band {i} in the dataset's numbering") for i in range(1, 13)]
    return [*optical, Band("l4s_slope", "1", "dem", "slope"), Band("l4s_elevation", "1", "dem", "elevation")]


BANDS: dict[str, Band] = _table(
    *_sar(),
    Band("elevation", "m", "dem", "elevation above the DEM's datum"),
    Band("slope", "°", "dem", "Horn (1981), on the DEM's metric grid"),
    Band("northness", "1", "dem", "cosine of the downslope direction, clockwise from north; 0 where flat", "north"),
    Band("eastness", "1", "dem", "sine of the downslope direction, clockwise from north; 0 where flat", "east"),
    Band("dndvi_median", "1", "s2", "median NDVI, post minus pre"),
    Band("dndvi_greenest", "1", "s2", "maximum NDVI, post minus pre"),
    Band("plan_curvature", "1/m", "dem", "Zevenbergen and Thorne (1987)"),
    Band("profile_curvature", "1/m", "dem", "Zevenbergen and Thorne (1987)"),
    Band("dgrvi", "1", "s2", "median (green − red)/(green + red), post minus pre"),
    Band("blue_post", "1", "s2", "median reflectance after the event"),
    Band("green_post", "1", "s2", "median reflectance after the event"),
    Band("red_post", "1", "s2", "median reflectance after the event"),
    Band("rg_change", "1", "s2", "red / green, post minus pre"),
    Band("brightness_change", "1", "s2", "mean visible reflectance, post minus pre"),
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
    # Only changes: absolute reflectance differs more between processing levels than between forest and debris.
    "visible": ("dgrvi", "rg_change", "brightness_change", "slope", "northness", "eastness"),
    "dndvi": ("dndvi_median",),
    "landslide4sense": tuple(band.name for band in _landslide4sense()),
}


def check_bands(names: Iterable[str]) -> tuple[str, ...]:
    """The names as a tuple. Raises BandError if a name is not in `BANDS` or is repeated."""
    bands = tuple(names)
    unknown = [name for name in bands if name not in BANDS]
    if unknown:
        raise BandError(
            f"unknown band(s) {unknown}; known are {', '.join(BANDS)}. Correct the name or add it to bands.py"
        )
    if len(set(bands)) != len(bands):
        raise BandError(f"a band is repeated in {list(bands)}; name each band once")
    return bands


def band_indices(requested: Sequence[str], available: Sequence[str], where: str) -> list[int]:
    """Index of each requested band in the available ones. Raises BandError, naming `where`, if one is missing."""
    missing = [name for name in requested if name not in available]
    if missing:
        raise BandError(f"{where} has no band {missing}; it has {list(available)}. Choose another band set or source")
    return [list(available).index(name) for name in requested]


def direction_pairs(bands: Sequence[str]) -> list[tuple[int, int]]:
    """Indices of the (northward, eastward) components of each direction. Raises BandError if one is missing."""
    north, east = ([i for i, band in enumerate(bands) if BANDS[band].symmetry == side] for side in ("north", "east"))
    if len(north) != len(east):
        raise BandError(
            f"band set {list(bands)} has one component of a direction without the other. Add the missing component"
        )
    return list(zip(north, east, strict=True))
