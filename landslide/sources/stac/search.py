"""Which items of a catalogue a case uses: by collection, area and window, with all assets and a usable metadata."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pystac
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from landslide.cases.case import Case, spelled
from landslide.cases.fields import WHENS, Direction, Span, When
from landslide.cases.sources import DemCollection, Sentinel1Collection, Sentinel2Collection
from landslide.errors import EmptyWindowError, NoOverlapError, SourceError
from landslide.sources.compose import COLOURS
from landslide.sources.stac.catalog import Catalogue, day
from landslide.sources.stac.metadata import Scaling, direction, interferometric_wide, orbit, reflectance, scaling, unit

NEAREST = 3
RIM = 1000.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scene:
    """One item in use: the asset of each variable, how its numbers are to be read, and what it is part of."""

    item: pystac.Item
    sensor: str
    side: When
    assets: Mapping[str, str]
    scaling: Mapping[str, Scaling]
    orbit: str = ""
    unit: str = ""

    @property
    def acquisition(self) -> tuple[date, str]:
        """Scenes with the same are one acquisition."""
        return day(self.item), self.orbit


@dataclass(frozen=True)
class Search:
    """What a catalogue has for a case, on its grid."""

    case: Case
    catalogue: Catalogue
    geobox: GeoBox

    def radar(self, config: Sentinel1Collection) -> list[Scene]:
        assets = {"vv": config.vv, "vh": config.vh}
        found = self._windows("Sentinel-1", config.collection, assets, config.direction)
        return [
            Scene(
                item, "sentinel-1", side, assets, {name: scaling(item, key) for name, key in assets.items()},
                orbit(item), _one_unit(item, assets, config.unit),
            )
            for side, item in found
        ]  # fmt: skip

    def optical(self, config: Sentinel2Collection) -> list[Scene]:
        assets = {name: getattr(config, name) for name in (*COLOURS, "scl")}
        found = self._windows("Sentinel-2", config.collection, assets)
        return [
            Scene(
                item, "sentinel-2", side, assets,
                {name: reflectance(item, key) if name != "scl" else Scaling(nodata=0) for name, key in assets.items()},
            )
            for side, item in found
        ]  # fmt: skip

    def dem(self, config: DemCollection) -> list[Scene]:
        items = self.catalogue.items(config.collection, self._region, None)
        assets = {"elevation": config.elevation}
        usable, dropped = _usable(items, assets)
        if not items:
            raise self._elsewhere("DEM", config.collection)
        if not usable:
            raise SourceError(f"case {self.case.id}: no DEM item of {config.collection} is usable: {dropped}")
        return [Scene(item, "dem", "pre", assets, {"elevation": scaling(item, config.elevation)}) for item in usable]

    @property
    def _region(self) -> Geometry:
        """The grid with a rim, so that the tiles beside it are found from which slopes at its edge are computed."""
        return self.geobox.buffered(RIM).footprint("EPSG:4326")

    def _windows(
        self, sensor: str, collection: str, assets: Mapping[str, str], only: Direction | None = None
    ) -> list[tuple[When, pystac.Item]]:
        found: list[tuple[When, pystac.Item]] = []
        for side in WHENS:
            spans = self.case.spans(side)
            items = [item for span in spans for item in self.catalogue.items(collection, self._region, span)]
            usable, dropped = _usable(_flown(items, only), assets)
            if dropped:
                log.warning("case %s: %s items of %s left out: %s", self.case.id, sensor, collection, dropped)
            if not usable:
                raise self._empty(sensor, collection, side, dropped, only)
            self._warn_of_blank(_kind(sensor, only), spans, usable)
            found += [(side, item) for item in usable]
        return found

    def _warn_of_blank(self, sensor: str, spans: Sequence[Span], items: Sequence[pystac.Item]) -> None:
        """A window of several years is served if one of them is, but nobody should take it for all of them."""
        blank = [span for span in spans if not any(span[0] <= day(item) <= span[1] for item in items)]
        if blank:
            log.warning("case %s: no usable %s scene in %s; other years serve", self.case.id, sensor, spelled(blank))

    def _empty(self, sensor: str, collection: str, side: When, dropped: str, only: Direction | None) -> SourceError:
        spans = self.case.spans(side)
        near = self.catalogue.nearest(collection, self._region, spans)
        if not near:
            return self._elsewhere(sensor, collection)
        alike = [item for item in near if only in (None, str(item.properties.get("sat:orbit_state")).lower())][:NEAREST]
        had = ", ".join(f"{item.id} of {day(item)}" for item in alike) or f"scenes that are not {only}"
        return EmptyWindowError(
            f"case {self.case.id}: no usable {_kind(sensor, only)} scene of {collection} in the {side} window "
            f"{spelled(spans)}{f' (left out: {dropped})' if dropped else ''}; nearest in time it has {had}. Widen the "
            f"window, or leave {'`direction` or ' if only else ''}the sensor out of the source"
        )

    def _elsewhere(self, sensor: str, collection: str) -> NoOverlapError:
        edges = [round(edge, 4) for edge in self._region.boundingbox]
        return NoOverlapError(
            f"case {self.case.id}: no {sensor} item of {collection} in {self.catalogue.place} overlaps the area of "
            f"interest {edges} (west, south, east, north). Correct `aoi`, or use another collection"
        )


def _kind(sensor: str, only: Direction | None) -> str:
    """Scenes of a sensor for a message: `Sentinel-1`, `ascending Sentinel-1`."""
    return f"{only} {sensor}" if only else sensor


def _flown(items: Iterable[pystac.Item], only: Direction | None) -> list[pystac.Item]:
    """The items of a direction, or all; SourceError naming the first that states none where one is asked for."""
    return [item for item in items if only is None or direction(item) == only]


def _usable(items: Iterable[pystac.Item], assets: Mapping[str, str]) -> tuple[list[pystac.Item], str]:
    """The items that have all assets, and why the others are left out, in words."""
    kept, dropped = [], []
    for item in items:
        missing = [key for key in assets.values() if key not in item.assets]
        if missing:
            dropped.append(f"{item.id} has no asset {missing}, only {list(item.assets)}")
        elif not interferometric_wide(item):
            dropped.append(f"{item.id} was taken in {item.properties['sar:instrument_mode']} mode, not IW")
        else:
            kept.append(item)
            _present(item, assets)
    more = f" and {len(dropped) - NEAREST} more" if len(dropped) > NEAREST else ""
    return kept, "; ".join(dropped[:NEAREST]) + more


def _present(item: pystac.Item, assets: Mapping[str, str]) -> None:
    for key in assets.values():
        uri = uri_of(item, key)
        if local(uri) and not Path(uri).is_file():
            raise SourceError(f"item {item.id}: its file {uri} is missing. Restore it, or take the item out")


def _one_unit(item: pystac.Item, assets: Mapping[str, str], configured: str | None) -> str:
    vv, vh = (unit(item, assets[name], configured) for name in ("vv", "vh"))
    if vv != vh:
        raise SourceError(f"item {item.id} states {vv} for vv and {vh} for vh. Correct the catalogue")
    return vv


def uri_of(item: pystac.Item, key: str) -> str:
    return (item.assets[key].get_absolute_href() or item.assets[key].href).removeprefix("file://")


def local(uri: str) -> bool:
    return "://" not in uri and not uri.startswith("/vsi")
