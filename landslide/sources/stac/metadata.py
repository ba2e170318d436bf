"""What the metadata of STAC items say about their numbers; where they do not, ESA's specification or an error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pystac

from landslide.errors import SourceError

QUANTIFICATION = 1e-4
BOA_OFFSET = -1000 * QUANTIFICATION
LINEAR = {"linear", "linear power", "power", "1"}
DECIBEL = {"db", "decibel", "decibels"}


@dataclass(frozen=True)
class Scaling:
    """value = number in the file × scale + offset; `nodata` None takes the file's."""

    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None


def scaling(item: pystac.Item, asset: str) -> Scaling:
    """As the asset states it; nothing stated means the numbers are the values."""
    stated = _raster(item.assets[asset])
    nodata = stated.get("nodata")
    return Scaling(
        float(stated.get("scale", 1.0)), float(stated.get("offset", 0.0)), None if nodata is None else float(nodata)
    )


def reflectance(item: pystac.Item, asset: str) -> Scaling:
    """Scaling of a Sentinel-2 L2A band to surface reflectance; 0 is nodata (ESA, Products Specification Document).

    The offset is 0 where the catalogue has applied it already (`earthsearch:boa_offset_applied`: Earth Search goes on
    stating -0.1 beside it); else as the asset states it; else -1000 numbers from processing baseline 04.00 on and 0
    before. SourceError where neither is stated.
    """
    stated = _raster(item.assets[asset])
    scale = float(stated.get("scale", QUANTIFICATION))
    nodata = float(stated.get("nodata") or 0)
    if any(item.properties.get(f"{catalogue}:boa_offset_applied") for catalogue in ("earthsearch", "sentinel")):
        return Scaling(scale, 0.0, nodata)
    if "offset" in stated:
        return Scaling(scale, float(stated["offset"]), nodata)
    return Scaling(scale, BOA_OFFSET if baseline(item) >= 4 else 0.0, nodata)


def baseline(item: pystac.Item) -> float:
    """Sentinel-2 processing baseline; SourceError where the item states none."""
    for key in ("s2:processing_baseline", "processing:version", "sentinel:processing_baseline"):
        stated = str(item.properties.get(key, ""))
        if stated.replace(".", "", 1).isdigit():
            return float(stated)
    raise SourceError(
        f"item {item.id} states neither an offset (raster:bands) nor its processing baseline (s2:processing_baseline), "
        "so its reflectance is unknown. Use a catalogue that does"
    )


def unit(item: pystac.Item, asset: str, configured: str | None) -> str:
    """`linear` or `dB`: as the asset or the item states it, else as the case does.

    SourceError where neither does, where the word is unknown, or where item and case disagree.
    """
    stated = _raster(item.assets[asset]).get("unit", item.properties.get("unit"))
    found = None if stated is None else _power_unit(str(stated), item)
    if found is None and configured is None:
        raise SourceError(
            f"item {item.id} does not say whether {asset} is linear power or dB, and it is not guessed. Set "
            "`unit: linear` or `unit: dB` under sentinel1"
        )
    if found is not None and configured is not None and found != configured:
        raise SourceError(f"item {item.id} states {asset} in {found}, the case says {configured}. Drop `unit`")
    return found or str(configured)


def direction(item: pystac.Item) -> str:
    """`ascending` or `descending`, in lower case; SourceError naming the item where it states neither."""
    stated = item.properties.get("sat:orbit_state")
    if stated is None:
        raise SourceError(
            f"item {item.id} states no sat:orbit_state, so whether it is of the requested direction is unknown. "
            "Drop `direction`, or use a catalogue that does"
        )
    return str(stated).lower()


def orbit(item: pystac.Item) -> str:
    """Direction and relative orbit, such as `ascending-44`; SourceError naming the item where either is missing."""
    direction, number = (item.properties.get(f"sat:{key}") for key in ("orbit_state", "relative_orbit"))
    if direction is None or number is None:
        raise SourceError(
            f"item {item.id} states no sat:orbit_state or no sat:relative_orbit, so its viewing geometry is unknown. "
            "Use a catalogue that does"
        )
    return f"{direction}-{number}"


def interferometric_wide(item: pystac.Item) -> bool:
    """Whether Sentinel-1 looked in its land mode; an item that does not state its mode counts."""
    return str(item.properties.get("sar:instrument_mode", "IW")) == "IW"


def _raster(asset: pystac.Asset) -> Mapping[str, Any]:
    """scale, offset, nodata and unit, from STAC 1.1 `bands`, from `raster:bands`, or from the asset itself."""
    fields = asset.extra_fields
    bands = [*fields.get("raster:bands", ())[:1], *fields.get("bands", ())[:1]]
    found: dict[str, Any] = {}
    for source in (*bands, fields):
        for key in ("scale", "offset", "nodata", "unit"):
            for name in (key, f"raster:{key}"):
                if source.get(name) is not None:
                    found.setdefault(key, source[name])
    return found


def _power_unit(word: str, item: pystac.Item) -> str:
    lowered = word.strip().lower()
    if lowered in LINEAR:
        return "linear"
    if lowered in DECIBEL:
        return "dB"
    raise SourceError(f"item {item.id} states the unit {word!r}; known are {sorted(LINEAR | DECIBEL)}. Correct it")
