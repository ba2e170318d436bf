"""What a prepared case knows of its ground, and under what view: the slices that a map of it is scored by."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landslide.cases.case import Case
from landslide.datasets.stack import COUNT_UNKNOWN, Stack
from landslide.geo.grid import PIXEL, area
from landslide.geo.raster import Reader
from landslide.geo.solar import sun_at
from landslide.metrics.strata import Slices, by_cover, by_distance, by_illumination, by_look, by_looks, by_slope
from landslide.sources.base import SEEN
from landslide.sources.land_cover import COVER_UNKNOWN as NO_COVER

FALL = ("slope", "northness", "eastness")
LOOKS_TOWARDS = {"ascending": 80.0, "descending": 280.0}
WATER = "water"


def slices_of(stack: Stack, part: str, reader: Reader) -> dict[str, Slices]:
    """Slices of a part by what it is a slice of, each of masks (y, x); `reader` is open on the part's bands.

    Always the looks of each sensor and side. `slope` where the stack has that band; `cover`, and `distance to water`
    where a class has that name, where the case knows its land cover; with slope, northness and eastness `sun`, at 10:30
    local solar time in the middle of the post window where the case has a date and a place, and `radar ascending`,
    `radar descending` of the directions whose orbits passed on both sides of the event.
    """
    slope = {"slope": by_slope(reader.read(["slope"])[0])} if "slope" in reader.bands else {}
    return slope | dict(_cover(stack, part)) | dict(_lit(stack, reader)) | dict(_looks(stack, part))


def _looks(stack: Stack, part: str) -> Iterator[tuple[str, Slices]]:
    with stack.seen(part) as seen:
        for name in SEEN:
            yield f"looks of {name}", by_looks(seen.read([name])[0], COUNT_UNKNOWN)


def _cover(stack: Stack, part: str) -> Iterator[tuple[str, Slices]]:
    cover, names = stack.cover(part), stack.cover_names
    if cover is None:
        return
    yield "cover", by_cover(cover, names, NO_COVER)
    water = [number for number, name in names.items() if name.lower() == WATER]
    if water:
        yield "distance to water", by_distance(np.isin(cover, water), PIXEL, known=cover != NO_COVER)


def _lit(stack: Stack, reader: Reader) -> Iterator[tuple[str, Slices]]:
    """By the sun and by the radar, which both need to know how the ground falls."""
    if not set(FALL) <= set(reader.bands):
        return
    sun, directions = _sun(stack.info.case), _directions(stack.info.scenes)
    if sun is None and not directions:
        return
    fall: NDArray[np.float32] = reader.read(FALL)
    slope, northness, eastness = fall
    if sun is not None:
        yield "sun", by_illumination(slope, northness, eastness, *sun)
    for direction in directions:
        yield f"radar {direction}", by_look(slope, northness, eastness, LOOKS_TOWARDS[direction])


def _sun(case: Case) -> tuple[float, float] | None:
    """Azimuth and elevation in degrees; None where the case has no date or no place."""
    window = case.window("post")
    if window is None or case.aoi is None:
        return None
    _, latitude = area(case).centroid.coords[0]
    sun = sun_at(_middle(*window), latitude)
    return float(np.degrees(sun.azimuth)), float(np.degrees(sun.elevation))


def _middle(first: date, last: date) -> date:
    return first + (last - first) // 2


def _directions(scenes: list[dict[str, Any]]) -> list[str]:
    """The directions in use, as far as the record tells: of orbits named such as `ascending-44`, with both sides."""
    sides: dict[str, set[str]] = {}
    for scene in scenes:
        if scene["sensor"] == "sentinel-1" and scene["orbit"]:
            sides.setdefault(scene["orbit"].lower(), set()).add(scene["when"])
    paired = {orbit.split("-")[0] for orbit, seen in sides.items() if len(seen) == 2}
    return [direction for direction in LOOKS_TOWARDS if direction in paired]
