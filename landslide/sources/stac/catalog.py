"""Finding items: in a static STAC catalogue on disk or on the web, or through a STAC API."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pystac
from odc.geo.geom import Geometry, box
from pystac_client import Client
from pystac_client.exceptions import APIError
from requests import RequestException

from landslide.cases.fields import Span
from landslide.errors import SourceError

LISTED = 12
TIMEOUT = 60
# pystac looks for its extensions when it first needs them, into a dictionary that another thread may be reading. Scenes
# are searched in threads; importing this module, which Python does in one thread, fills the dictionary before.
pystac.EXTENSION_HOOKS.get_extended_object_links(pystac.Catalog("any", "any"))


class Catalogue:
    """Items of a catalogue, by collection, area and days.

    SourceError names the place where it cannot be read or does not answer, and the collections it has where one that is
    asked for is not among them.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        with _reading(place):
            self._root = (
                Client.open(place, timeout=TIMEOUT) if "://" in place else pystac.Catalog.from_file(_file(place))
            )

    def items(self, collection: str, area: Geometry, span: Span | None, most: int | None = None) -> list[pystac.Item]:
        """Items whose footprint meets the area, taken on the days of the span (None: any), by time and id.

        `most` bounds how many an API is asked for.
        """
        with _reading(self.place):
            found = self._search(collection, area, span, most)
            kept = [item for item in found if _meets(item, area) and (span is None or span[0] <= day(item) <= span[1])]
        return sorted(kept, key=lambda item: (time(item), item.id))

    def nearest(self, collection: str, area: Geometry, spans: Sequence[Span]) -> list[pystac.Item]:
        """Items over the area within a year of the spans, nearest to any first; if there is none, some of any time.

        The spans, at least one, are in time order.
        """
        year = timedelta(days=365)
        near = self.items(collection, area, (spans[0][0] - year, spans[-1][1] + year))
        near = near or self.items(collection, area, None, most=LISTED)
        return sorted(near, key=lambda item: min(max(first - day(item), day(item) - last) for first, last in spans))

    def _search(self, collection: str, area: Geometry, span: Span | None, most: int | None) -> Iterator[pystac.Item]:
        found = self._collection(collection)
        if not isinstance(self._root, Client) or not self._root.conforms_to("ITEM_SEARCH"):
            return found.get_items(recursive=True)
        days = None if span is None else f"{span[0]}T00:00:00Z/{span[1] + timedelta(days=1)}T00:00:00Z"
        search = self._root.search(
            collections=[collection], bbox=tuple(area.boundingbox), datetime=days, max_items=most
        )
        return search.items()

    def _collection(self, name: str) -> pystac.Catalog:
        root = self._root
        children = [root.get_collection(name)] if isinstance(root, Client) else self._collections()
        found = next((child for child in children if child is not None and child.id == name), None)
        if found is None:
            names = sorted(child.id for child in self._collections())
            more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
            raise SourceError(
                f"{self.place} has no collection {name!r}; it has {', '.join(names[:LISTED]) or 'none'}{more}. "
                "Correct `collection`"
            )
        return found

    def _collections(self) -> Iterator[pystac.Catalog]:
        if isinstance(self._root, Client):
            yield from self._root.get_collections()
            return
        for folder, _, _ in self._root.walk():
            if isinstance(folder, pystac.Collection):
                yield folder


def time(item: pystac.Item) -> datetime:
    """The time (UTC) of an acquisition, or of its start; SourceError where an item states none."""
    stated = item.datetime or item.common_metadata.start_datetime
    if stated is None:
        raise SourceError(f"item {item.id} of {item.collection_id} states no time. Correct the catalogue")
    return stated.replace(tzinfo=UTC) if stated.tzinfo is None else stated.astimezone(UTC)


def day(item: pystac.Item) -> date:
    """The day (UTC) of an acquisition."""
    return time(item).date()


def signer(sign: str | None) -> Callable[[str], str]:
    """What turns an asset's address into one that may be read."""
    if sign is None:
        return str
    try:
        signed: Callable[[str], str] = importlib.import_module("planetary_computer").sign
    except ImportError as error:
        raise SourceError(
            "`sign: planetary-computer` needs a package that is not installed: pip install planetary-computer"
        ) from error
    return signed


def _file(place: str) -> str:
    path = Path(place)
    return str(path / "catalog.json" if path.is_dir() else path)


@contextmanager
def _reading(place: str) -> Iterator[None]:
    try:
        yield
    except (APIError, RequestException) as error:
        raise SourceError(f"{place} does not answer: {error}. Check the address and the network") from error
    except (OSError, ValueError, KeyError, pystac.STACError) as error:
        if isinstance(error.__cause__, RuntimeError):  # wrapped by pystac, and not the catalogue's fault
            raise error.__cause__ from None
        why = f" ({error.__cause__})" if error.__cause__ is not None else ""  # pystac names the link alone
        raise SourceError(f"cannot read the STAC catalogue {place}: {error}{why}. Check `catalog`") from error


def _meets(item: pystac.Item, area: Geometry) -> bool:
    if item.geometry is not None:
        return bool(Geometry(item.geometry, "EPSG:4326").intersects(area))
    if item.bbox is None:
        return True
    west, south, east, north = [*item.bbox[:2], *item.bbox[-3:-1]] if len(item.bbox) == 6 else item.bbox
    return bool(box(west, south, east, north, "EPSG:4326").intersects(area))
