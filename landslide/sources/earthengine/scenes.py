"""Which scenes of Earth Engine's archive a case uses, looked up by name before any pixel is computed.

The expressions name every scene, so what a stack was made of is known, and stays so when the archive grows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import ee
from odc.geo.geobox import GeoBox

from landslide.cases.case import Case, spelled
from landslide.cases.fields import WHENS, Span, When
from landslide.errors import EmptyWindowError, NoOverlapError, SourceError
from landslide.sources.base import SceneInfo
from landslide.sources.earthengine.query import answer

INDEX, START, VERSION = "system:index", "system:time_start", "system:version"
MAX_SCENES = 5000
NEAREST = 3
RIM = 1000.0  # metres around the grid, so that neighbours of its edge are found


@dataclass(frozen=True)
class Scene:
    """One image of a collection: its index there, when, on which side of the event, and in which orbit."""

    id: str
    sensor: str
    time: datetime
    side: When
    orbit: str = ""
    version: str = ""
    properties: Mapping[str, Any] | None = None

    @property
    def day(self) -> date:
        """The day (UTC) of the acquisition."""
        return self.time.date()

    def info(self) -> SceneInfo:
        """What the report says of it."""
        cloud = (self.properties or {}).get("CLOUDY_PIXEL_PERCENTAGE")
        return SceneInfo(self.sensor, self.side, self.id, self.day.isoformat(), self.orbit or None, cloud)


@dataclass(frozen=True)
class Collection:
    """A collection as a case looks into it: `name` for messages, `properties` that a scene must carry along."""

    name: str
    sensor: str
    asset: str
    collection: ee.ImageCollection
    properties: tuple[str, ...]
    orbit: Callable[[Mapping[str, Any]], str]


def region(geobox: GeoBox) -> ee.Geometry:
    """The grid with a rim, as a rectangle in degrees."""
    bounds = geobox.buffered(RIM).footprint("EPSG:4326").boundingbox
    return ee.Geometry.Rectangle([round(edge, 6) for edge in bounds], "EPSG:4326", False)


def search(case: Case, geobox: GeoBox, archive: Collection) -> list[Scene]:
    """The scenes of both windows, by time and index.

    Raises EmptyWindowError naming the window and the scenes nearest in time, or NoOverlapError.
    """
    found: list[Scene] = []
    for side in WHENS:
        within = [scene for span in case.spans(side) for scene in _listed(archive, region(geobox), span, side)]
        if not within:
            raise _empty(case, geobox, archive, side)
        found += within
    return sorted(found, key=lambda scene: (scene.time, scene.id))


def acquisitions(scenes: Iterable[Scene]) -> list[list[Scene]]:
    """Scenes of one day and orbit, taken in one pass, in time order."""
    ordered = sorted(scenes, key=lambda scene: (scene.day, scene.orbit, scene.id))
    return [list(group) for _, group in groupby(ordered, key=lambda scene: (scene.day, scene.orbit))]


def named(collection: ee.ImageCollection, scenes: Sequence[Scene]) -> ee.ImageCollection:
    """The scenes of a collection by name; the first by name last, so that it lies on top of a mosaic."""
    chosen = collection.filter(ee.Filter.inList(INDEX, [scene.id for scene in scenes]))
    return chosen.sort(INDEX, False) if len(scenes) > 1 else chosen


def _listed(archive: Collection, area: ee.Geometry, span: Span, side: When) -> list[Scene]:
    keys = (INDEX, START, VERSION, *archive.properties)
    rows = answer(listing(archive.collection, area, span, keys))
    if len(rows) == MAX_SCENES:
        raise SourceError(
            f"{archive.asset} lists {MAX_SCENES} scenes or more from {span[0]} to {span[1]}, and no more are told at once. "
            "Shorten the windows, or split the area"
        )
    return [_scene(archive, dict(zip(keys, row, strict=True)), side) for row in rows]


def listing(collection: ee.ImageCollection, area: ee.Geometry, span: Span, keys: Sequence[str]) -> ee.List:
    """The images over an area on the days of a span, both included: a list of each one's values under the keys."""
    first, last = span
    within = collection.filterBounds(area).filterDate(first.isoformat(), (last + timedelta(days=1)).isoformat())
    return within.toList(MAX_SCENES).map(lambda image: ee.List([ee.Image(image).get(key) for key in keys]))


def _scene(archive: Collection, stated: Mapping[str, Any], side: When) -> Scene:
    return Scene(
        id=str(stated[INDEX]),
        sensor=archive.sensor,
        time=datetime.fromtimestamp(stated[START] / 1000, UTC),
        side=side,
        orbit=archive.orbit(stated),
        version="" if stated[VERSION] is None else f"{stated[VERSION]:.0f}",
        properties={name: stated[name] for name in archive.properties},
    )


def _empty(case: Case, geobox: GeoBox, archive: Collection, side: When) -> EmptyWindowError | NoOverlapError:
    spans = case.spans(side)
    year = timedelta(days=365)
    around = (spans[0][0] - year, spans[-1][1] + year)
    near = _listed(archive, region(geobox), around, side)
    if not near:
        edges = [round(edge, 4) for edge in geobox.footprint("EPSG:4326").boundingbox]
        return NoOverlapError(
            f"case {case.id}: {archive.asset} has no {archive.name} scene over {edges} (west, south, east, north) from "
            f"{around[0]} to {around[1]}. Correct `aoi` or `event_date`, or set the sensor to null"
        )
    near.sort(key=lambda scene: min(abs(scene.day - edge) for span in spans for edge in span))
    had = ", ".join(f"{scene.id} of {scene.day}" for scene in near[:NEAREST])
    return EmptyWindowError(
        f"case {case.id}: {archive.asset} has no {archive.name} scene in the {side} window {spelled(spans)}; nearest "
        f"in time it has {had}. Widen the window, or set the sensor to null"
    )
