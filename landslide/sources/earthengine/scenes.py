"""Which images of Earth Engine's archive a case uses, looked up by name before any pixel is computed.

The expressions name every scene, so a scene list says what a layer was made of, whatever is added to the archive later.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import ee
from odc.geo.geobox import GeoBox

from landslide.cases.case import Case, format_spans
from landslide.cases.fields import WHENS, Span, When
from landslide.errors import EmptyWindowError, NoOverlapError, SourceError
from landslide.sources.base import Scene
from landslide.sources.earthengine.query import get_info

PROCESSOR = "earthengine"  # says in a request's settings who computes the layer
INDEX, START, VERSION = "system:index", "system:time_start", "system:version"
CLOUD_COVER = "CLOUDY_PIXEL_PERCENTAGE"
MAX_SCENES = 5000
NEAREST = 3
MARGIN = 1000.0  # metres around the grid, so that neighbours of its edge are found


@dataclass(frozen=True)
class Collection:
    """A collection and how it is searched.

    Args:
        name: Of the satellite, for messages.
        sensor: Of its scenes, as `Scene.sensor`.
        asset: Its name in the archive.
        images: Its images, filtered by what the case's settings say.
        properties: Which of the images' properties a scene keeps.
        orbit: The orbit of an image by its properties.
    """

    name: str
    sensor: str
    asset: str
    images: ee.ImageCollection
    properties: tuple[str, ...]
    orbit: Callable[[Mapping[str, Any]], str]


def region(geobox: GeoBox) -> ee.Geometry:
    """The grid with a margin, as a rectangle in degrees."""
    bounds = geobox.buffered(MARGIN).footprint("EPSG:4326").boundingbox
    return ee.Geometry.Rectangle([round(edge, 6) for edge in bounds], "EPSG:4326", False)


def search(case: Case, geobox: GeoBox, collection: Collection) -> list[Scene]:
    """The scenes of both windows, by time and index.

    Raises EmptyWindowError naming the window and the scenes nearest in time, or NoOverlapError.
    """
    found: list[Scene] = []
    for side in WHENS:
        within = [scene for span in case.spans(side) for scene in _list_scenes(collection, region(geobox), span, side)]
        if not within:
            raise _empty_window(case, geobox, collection, side)
        found += within
    return found


def acquisitions(scenes: Iterable[Scene]) -> list[list[Scene]]:
    """Scenes of one day and orbit, taken in one pass, in time order."""
    ordered = sorted(scenes, key=lambda scene: (str(scene.date), scene.orbit, scene.id))
    return [list(group) for _, group in groupby(ordered, key=lambda scene: (scene.date, scene.orbit))]


def select_scenes(images: ee.ImageCollection, scenes: Sequence[Scene]) -> ee.ImageCollection:
    """The images of a collection that the scenes name; sorted so that a mosaic shows the first by name on top."""
    selected = images.filter(ee.Filter.inList(INDEX, [scene.id for scene in scenes]))
    return selected.sort(INDEX, False) if len(scenes) > 1 else selected


def listing(images: ee.ImageCollection, area: ee.Geometry, span: Span, keys: Sequence[str]) -> ee.List:
    """A list, for every image over an area on the days of a span, both included, of its values under the keys."""
    first, last = span
    within = images.filterBounds(area).filterDate(first.isoformat(), (last + timedelta(days=1)).isoformat())
    return within.toList(MAX_SCENES).map(lambda image: ee.List([ee.Image(image).get(key) for key in keys]))


def _list_scenes(collection: Collection, area: ee.Geometry, span: Span, side: When) -> list[Scene]:
    """The scenes of a span, by time and index."""
    keys = (INDEX, START, VERSION, *collection.properties)
    rows = get_info(listing(collection.images, area, span, keys))
    if len(rows) == MAX_SCENES:
        raise SourceError(
            f"{collection.asset} lists {MAX_SCENES} scenes or more from {span[0]} to {span[1]}, and not all can be "
            "listed at once. Shorten the windows, or split the area"
        )
    listed = [dict(zip(keys, row, strict=True)) for row in rows]
    return [_scene(collection, values, side) for values in sorted(listed, key=lambda one: (one[START], one[INDEX]))]


def _scene(collection: Collection, values: Mapping[str, Any], side: When) -> Scene:
    return Scene(
        id=str(values[INDEX]),
        sensor=collection.sensor,
        side=side,
        time=datetime.fromtimestamp(values[START] / 1000, UTC),
        orbit=collection.orbit(values),
        cloud_cover=values.get(CLOUD_COVER),
        version="" if values[VERSION] is None else f"{values[VERSION]:.0f}",
        properties={name: values[name] for name in collection.properties if name != CLOUD_COVER},
    )


def _empty_window(
    case: Case, geobox: GeoBox, collection: Collection, side: When
) -> EmptyWindowError | NoOverlapError:  # fmt: skip
    spans = case.spans(side)
    year = timedelta(days=365)
    around = (spans[0][0] - year, spans[-1][1] + year)
    near = _list_scenes(collection, region(geobox), around, side)
    if not near:
        edges = [round(edge, 4) for edge in geobox.footprint("EPSG:4326").boundingbox]
        return NoOverlapError(
            f"case {case.id}: {collection.asset} has no {collection.name} scene over {edges} (west, south, east, "
            f"north) from {around[0]} to {around[1]}. Correct `aoi` or `event_date`, or set the sensor to null"
        )
    near.sort(key=lambda scene: min(abs(_day(scene) - edge) for span in spans for edge in span))
    nearest = ", ".join(f"{scene.id} of {scene.date}" for scene in near[:NEAREST])
    return EmptyWindowError(
        f"case {case.id}: {collection.asset} has no {collection.name} scene in the {side} window "
        f"{format_spans(spans)}; nearest in time it has {nearest}. Widen the window, or set the sensor to null"
    )


def _day(scene: Scene) -> date:
    return date.fromisoformat(str(scene.date))
