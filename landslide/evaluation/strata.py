"""The slices that a map of a case is scored by: slope, land cover, sunlight, radar geometry, number of observations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np

from landslide.cases.case import Case
from landslide.datasets.stack import COUNT_UNKNOWN, SEEN, Stack, StackReader
from landslide.geo.grid import PIXEL, area
from landslide.geo.solar import sun_at
from landslide.metrics.strata import (
    Slices,
    by_cover,
    by_distance,
    by_illumination,
    by_observations,
    by_radar_look,
    by_slope,
)
from landslide.sources.base import Scene
from landslide.sources.land_cover import COVER_UNKNOWN

SLOPE_AND_ASPECT = ("slope", "northness", "eastness")
LOOK_AZIMUTH = {"ascending": 80.0, "descending": 280.0}
"""Where a right-looking radar looks from each orbit direction, degrees clockwise from north."""

WATER = "water"


def slices_of(stack: Stack, part: str, reader: StackReader) -> dict[str, Slices]:
    """Slices of a part by what it is sliced by, each of masks (y, x); `reader` is open on the part's bands.

    Always the number of looks of each sensor before and after the event. `slope` where the stack has that band;
    `cover`, and `distance to water` where a class has that name, where the case has a land cover. With slope, northness
    and eastness: `sun`, at 10:30 local solar time in the middle of the post window, where the case has a date and a
    place; `radar ascending` and `radar descending`, of the directions with scenes on both sides of the event.
    """
    slope = {"slope": by_slope(reader.read(["slope"])[0])} if "slope" in reader.bands else {}
    return slope | dict(_cover(stack, part)) | dict(_sun_and_radar(stack, reader)) | dict(_looks(stack, part))


def _looks(stack: Stack, part: str) -> Iterator[tuple[str, Slices]]:
    with stack.seen(part) as seen:
        for name in SEEN:
            yield f"looks of {name}", by_observations(seen.read([name])[0], COUNT_UNKNOWN)


def _cover(stack: Stack, part: str) -> Iterator[tuple[str, Slices]]:
    cover, names = stack.cover(part), stack.cover_names
    if cover is None:
        return
    yield "cover", by_cover(cover, names, COVER_UNKNOWN)
    water = [number for number, name in names.items() if name.lower() == WATER]
    if water:
        yield "distance to water", by_distance(np.isin(cover, water), PIXEL, cover != COVER_UNKNOWN)


def _sun_and_radar(stack: Stack, reader: StackReader) -> Iterator[tuple[str, Slices]]:
    """By sunlight and by radar geometry, which need slope and aspect."""
    if not set(SLOPE_AND_ASPECT) <= set(reader.bands):
        return
    sun, directions = _sun(stack.info.case), _directions(stack.info.scenes)
    if sun is None and not directions:
        return
    slope, northness, eastness = reader.read(SLOPE_AND_ASPECT)
    if sun is not None:
        yield "sun", by_illumination(slope, northness, eastness, *sun)
    for direction in directions:
        yield f"radar {direction}", by_radar_look(slope, northness, eastness, LOOK_AZIMUTH[direction])


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


def _directions(scenes: Sequence[Scene]) -> list[str]:
    """The orbit directions with one orbit, such as `ascending-44`, on both sides of the event."""
    sides: dict[str, set[str | None]] = {}
    for scene in scenes:
        if scene.sensor == "sentinel-1" and scene.orbit:
            sides.setdefault(scene.orbit.lower(), set()).add(scene.side)
    paired = {orbit.split("-")[0] for orbit, seen in sides.items() if len(seen) == 2}
    return [direction for direction in LOOK_AZIMUTH if direction in paired]
