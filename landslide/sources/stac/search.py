"""Which items of a catalogue a case uses: by collection, area and window, with all assets and usable metadata."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pystac
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from landslide.artifacts.stage import digest, file_digest
from landslide.cases.case import Case, format_spans
from landslide.cases.fields import WHENS, Direction, Span, When
from landslide.cases.sources import DemCollection, Sentinel1Collection, Sentinel2Collection
from landslide.errors import EmptyWindowError, NoOverlapError, SourceError
from landslide.sources.base import Asset, LayerRequest, Scene
from landslide.sources.compose import COLOURS, TERRAIN, optical_bands, radar_bands
from landslide.sources.scene_reader import finite_nodata
from landslide.sources.stac.catalog import Catalogue, day, time
from landslide.sources.stac.metadata import Scaling, direction, interferometric_wide, orbit, reflectance, scaling, unit

SHOWN = 3  # items that a message names
RIM = 1000.0  # metres around the grid
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Search:
    """What a catalogue has for a case, on its grid; each method asks the catalogue and makes the request of a layer.

    Methods raise SourceError (unknown collection or asset, metadata that leave a unit, an orbit or a reflectance open,
    a local file that is missing), EmptyWindowError, or NoOverlapError where the collection's items lie elsewhere.
    """

    case: Case
    catalogue: Catalogue
    geobox: GeoBox

    def radar(self, config: Sentinel1Collection) -> LayerRequest:
        """Sentinel-1 in both windows, in linear power or dB as the items or the case state."""
        assets = {"vv": config.vv, "vh": config.vh}
        scenes = [
            Scene(
                id=item.id,
                sensor="sentinel-1",
                side=side,
                time=time(item),
                orbit=orbit(item),
                unit=_one_unit(item, assets, config.unit),
                version=_version(item),
                assets={name: _asset(item, key, scaling(item, key)) for name, key in assets.items()},
                properties={"acquisition": f"{day(item)} {orbit(item)}"},
            )
            for side, item in self._windows("Sentinel-1", config.collection, assets, config.direction)
        ]
        return LayerRequest(layer="sentinel1", bands=radar_bands({"vv", "vh"}), scenes=_mosaic_order(scenes))

    def optical(self, config: Sentinel2Collection) -> LayerRequest:
        """Sentinel-2 L2A in both windows."""
        assets = {name: getattr(config, name) for name in (*COLOURS, "scl")}
        scenes = [
            Scene(
                id=item.id,
                sensor="sentinel-2",
                side=side,
                time=time(item),
                cloud_cover=item.properties.get("eo:cloud_cover"),
                version=_version(item),
                assets={
                    name: _asset(item, key, Scaling(nodata=0) if name == "scl" else reflectance(item, key))
                    for name, key in assets.items()
                },
                properties={
                    "acquisition": str(day(item)),
                    "baseline": str(item.properties.get("s2:processing_baseline", "")),
                },
            )
            for side, item in self._windows("Sentinel-2", config.collection, assets)
        ]
        return LayerRequest(
            layer="sentinel2", bands=optical_bands(set(COLOURS)), scenes=_mosaic_order(scenes),
            settings={"cloud_dilation": config.cloud_dilation},
        )  # fmt: skip

    def dem(self, config: DemCollection) -> LayerRequest:
        """The tiles of a terrain model, of any time."""
        items = self.catalogue.items(config.collection, self._region, None)
        usable, dropped = _usable(items, {"elevation": config.elevation})
        if not items:
            raise self._elsewhere("DEM", config.collection)
        if not usable:
            raise SourceError(f"case {self.case.id}: no DEM item of {config.collection} is usable: {dropped}")
        scenes = [
            Scene(
                id=item.id,
                sensor="dem",
                version=_version(item),
                assets={"elevation": _asset(item, config.elevation, scaling(item, config.elevation))},
            )
            for item in usable
        ]
        return LayerRequest(layer="terrain", bands=TERRAIN, scenes=tuple(scenes))

    @property
    def _region(self) -> Geometry:
        """The grid with a rim, so that the tiles beside it are found from which slopes at its edge are computed."""
        return self.geobox.buffered(RIM).footprint("EPSG:4326")

    def _windows(
        self, sensor: str, collection: str, assets: Mapping[str, str], only: Direction | None = None
    ) -> list[tuple[When, pystac.Item]]:
        """The usable items of both windows."""
        found: list[tuple[When, pystac.Item]] = []
        for side in WHENS:
            spans = self.case.spans(side)
            items = [item for span in spans for item in self.catalogue.items(collection, self._region, span)]
            usable, dropped = _usable(_of_direction(items, only), assets)
            if dropped:
                log.warning("case %s: %s items of %s left out: %s", self.case.id, sensor, collection, dropped)
            if not usable:
                raise self._empty(sensor, collection, side, dropped, only)
            self._warn_of_blank(_kind(sensor, only), spans, usable)
            found += [(side, item) for item in usable]
        return found

    def _warn_of_blank(self, sensor: str, spans: Sequence[Span], items: Sequence[pystac.Item]) -> None:
        """A window of several years is served if one of them is; a warning names the years without a scene."""
        blank = [span for span in spans if not any(span[0] <= day(item) <= span[1] for item in items)]
        if blank:
            log.warning(
                "case %s: no usable %s scene in %s; other years are used", self.case.id, sensor, format_spans(blank)
            )

    def _empty(self, sensor: str, collection: str, side: When, dropped: str, only: Direction | None) -> SourceError:
        spans = self.case.spans(side)
        near = self.catalogue.nearest(collection, self._region, spans)
        if not near:
            return self._elsewhere(sensor, collection)
        alike = [item for item in near if only in (None, str(item.properties.get("sat:orbit_state")).lower())][:SHOWN]
        nearest = ", ".join(f"{item.id} of {day(item)}" for item in alike) or f"scenes that are not {only}"
        return EmptyWindowError(
            f"case {self.case.id}: no usable {_kind(sensor, only)} scene of {collection} in the {side} window "
            f"{format_spans(spans)}{f' (left out: {dropped})' if dropped else ''}; nearest in time it has {nearest}. "
            f"Widen the window, or leave {'`direction` or ' if only else ''}the sensor out of the source"
        )

    def _elsewhere(self, sensor: str, collection: str) -> NoOverlapError:
        edges = [round(edge, 4) for edge in self._region.boundingbox]
        return NoOverlapError(
            f"case {self.case.id}: no {sensor} item of {collection} in {self.catalogue.place} overlaps the area of "
            f"interest {edges} (west, south, east, north). Correct `aoi`, or use another collection"
        )


def _mosaic_order(scenes: Iterable[Scene]) -> tuple[Scene, ...]:
    """By acquisition in time order; of a tile that is there twice, the later processing baseline goes first."""
    ordered = sorted(scenes, key=lambda scene: scene.id)
    ordered.sort(key=lambda scene: str(scene.properties.get("baseline", "")), reverse=True)
    ordered.sort(key=lambda scene: (scene.date, scene.orbit))
    return tuple(ordered)


def _kind(sensor: str, only: Direction | None) -> str:
    """Scenes of a sensor for a message: `Sentinel-1`, `ascending Sentinel-1`."""
    return f"{only} {sensor}" if only else sensor


def _of_direction(items: Iterable[pystac.Item], only: Direction | None) -> list[pystac.Item]:
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
            _check_files(item, assets)
    more = f" and {len(dropped) - SHOWN} more" if len(dropped) > SHOWN else ""
    return kept, "; ".join(dropped[:SHOWN]) + more


def _check_files(item: pystac.Item, assets: Mapping[str, str]) -> None:
    for key in assets.values():
        href = _href(item, key)
        if _local(href) and not Path(href).is_file():
            raise SourceError(f"item {item.id}: its file {href} is missing. Restore it, or take the item out")


def _one_unit(item: pystac.Item, assets: Mapping[str, str], configured: str | None) -> str:
    vv, vh = (unit(item, assets[name], configured) for name in ("vv", "vh"))
    if vv != vh:
        raise SourceError(f"item {item.id} states {vv} for vv and {vh} for vh. Correct the catalogue")
    return vv


def _version(item: pystac.Item) -> str:
    """A digest of all properties that the catalogue lists of an item."""
    return digest(item.to_dict(include_self_link=False, transform_hrefs=False)["properties"])


def _asset(item: pystac.Item, key: str, how: Scaling) -> Asset:
    """An asset of an item: on disk by its content, elsewhere by its address without a signature and what is listed."""
    href = _href(item, key)
    if _local(href):
        content = file_digest(Path(href))
    else:
        content = digest({**item.assets[key].to_dict(), "href": href.split("?")[0]})
    return Asset(href=href, content=content, nodata=finite_nodata(how.nodata), scale=how.scale, offset=how.offset)


def _href(item: pystac.Item, key: str) -> str:
    return (item.assets[key].get_absolute_href() or item.assets[key].href).removeprefix("file://")


def _local(href: str) -> bool:
    return "://" not in href and not href.startswith("/vsi")
