"""Expressions for Sentinel-1: power per acquisition, composites and change per orbit, as `features/sar.py` has them.

Two collections: ground-range detected scenes in linear power (sigma naught, calibrated and geocoded by Google), and
OPERA's radiometrically terrain-corrected bursts (gamma naught, 30 m).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import ee
from odc.geo.geobox import GeoBox

from landslide.cases.case import Case
from landslide.cases.fields import WHENS, When
from landslide.cases.sources import Sentinel1Archive
from landslide.errors import EmptyWindowError, SourceError
from landslide.features.sar import BORDER_NOISE_DB, GROWTH
from landslide.geo.grid import PIXEL
from landslide.sources.earthengine.expressions import slope_correction
from landslide.sources.earthengine.scenes import INDEX, Collection, Scene, acquisitions, named, search

GRD, OPERA = "COPERNICUS/S1_GRD_FLOAT", "OPERA/RTC/L2_V1/S1"
POLARISATIONS = ("VV", "VH")
KEYS = ("vv", "vh", "ratio")
CLEAN_SINCE = date(2018, 3, 13)  # from processor 2.90 on, products come without border noise (Ali et al. 2018)
VALID = 0  # OPERA's mask: neither layover nor shadow


def archive(config: Sentinel1Archive) -> Collection:
    """The collection that a case names, of both polarisations in the land mode."""
    if config.collection == "opera":
        return _opera(config)
    collection = ee.ImageCollection(GRD).filter(ee.Filter.eq("instrumentMode", "IW"))
    for polarisation in POLARISATIONS:
        collection = collection.filter(ee.Filter.listContains("transmitterReceiverPolarisation", polarisation))
    collection = collection.filter(ee.Filter.eq("resolution_meters", PIXEL))
    if config.direction:
        collection = collection.filter(ee.Filter.eq("orbitProperties_pass", config.direction.upper()))
    properties = ("orbitProperties_pass", "relativeOrbitNumber_start", "platform_number", slope_correction.HEADING)
    return Collection("Sentinel-1", "sentinel-1", GRD, collection, properties, _orbit(*properties[:2]))


def _opera(config: Sentinel1Archive) -> Collection:
    collection = ee.ImageCollection(OPERA)
    for polarisation in POLARISATIONS:
        collection = collection.filter(ee.Filter.listContains("system:band_names", polarisation))
    if config.direction:
        names = [config.direction, config.direction.upper(), config.direction.capitalize()]
        collection = collection.filter(ee.Filter.inList("ORBIT_PASS_DIRECTION", names))
    properties = ("ORBIT_PASS_DIRECTION", "TRACK_NUMBER")
    return Collection("Sentinel-1", "sentinel-1", OPERA, collection, properties, _orbit(*properties))


def _orbit(direction: str, number: str) -> Callable[[Mapping[str, Any]], str]:
    """How a scene's orbit is told from its properties: `ascending-44`; SourceError where it states none."""

    def told(stated: Mapping[str, Any]) -> str:
        if stated[direction] is None or stated[number] is None:
            raise SourceError(
                f"scene {stated[INDEX]} states no {direction} or no {number}, so its viewing geometry is unknown. "
                "Use the other `collection` under sentinel1"
            )
        return f"{str(stated[direction]).lower()}-{int(stated[number])}"

    return told


@dataclass(frozen=True)
class Radar:
    """Scenes in use; `descent` is `terrain.descent` where they are to be corrected for slopes."""

    scenes: Sequence[Scene]
    config: Sentinel1Archive
    descent: ee.Image | None = None

    def only(self, side: When | None = None, orbit: str | None = None) -> "Radar":
        """The scenes of a side, of an orbit, or both."""
        kept = [scene for scene in self.scenes if side in (None, scene.side) and orbit in (None, scene.orbit)]
        return replace(self, scenes=kept)


def find(case: Case, geobox: GeoBox, config: Sentinel1Archive, descent: ee.Image | None) -> Radar:
    """The scenes of both windows; EmptyWindowError also where no single orbit has scenes on both sides."""
    found = search(case, geobox, archive(config))
    if not paired(found):
        had = {side: sorted({scene.orbit for scene in found if scene.side == side}) for side in WHENS}
        raise EmptyWindowError(
            f"case {case.id}: no Sentinel-1 orbit passed both before and after the event (before {had['pre']}, after "
            f"{had['post']}), and geometries do not mix. Widen the windows, or set sentinel1 to null"
        )
    if config.slope_correction:
        _refuse_without_heading(case, found)
    return Radar(found, config, descent)


def paired(scenes: Iterable[Scene]) -> list[str]:
    """The orbits that passed on both sides of the event."""
    sides: dict[str, set[str]] = {}
    for scene in scenes:
        sides.setdefault(scene.orbit, set()).add(scene.side)
    return sorted(orbit for orbit, seen in sides.items() if len(seen) == len(WHENS))


def bands(radar: Radar) -> ee.Image:
    """`vv_pre` … `ratio_change` in dB, masked where no single orbit saw both sides; see `features.sar.sar_bands`."""
    mean = ee.ImageCollection([_pair(radar.only(orbit=orbit)) for orbit in paired(radar.scenes)]).mean()
    changes = [mean.select(f"{key}_post").subtract(mean.select(f"{key}_pre")).rename(f"{key}_change") for key in KEYS]
    return mean.addBands(changes)


def seen(radar: Radar) -> ee.Image:
    """`s1_pre` and `s1_post`: acquisitions with a VV, of any orbit."""
    return ee.Image.cat(*(_powers(radar.only(side)).select("vv").count().rename(f"s1_{side}") for side in WHENS))


def _pair(radar: Radar) -> ee.Image:
    """Mean power of one orbit before and after, in dB: `vv_pre`, `vv_post`, …, each masked where one side is."""
    before, after = (_powers(radar.only(side)).mean().log10().multiply(10) for side in WHENS)
    planes = []
    for key in KEYS:
        pre, post = _plane(before, key), _plane(after, key)
        both = pre.mask().And(post.mask())
        planes += [pre.updateMask(both).rename(f"{key}_pre"), post.updateMask(both).rename(f"{key}_post")]
    return ee.Image.cat(*planes)


def _plane(decibel: ee.Image, key: str) -> ee.Image:
    return decibel.select("vh").subtract(decibel.select("vv")) if key == "ratio" else decibel.select(key)


def _powers(radar: Radar) -> ee.ImageCollection:
    """Linear power `vv`, `vh` of each acquisition: the slices of one pass put together."""
    return ee.ImageCollection([_power(radar, group).mosaic() for group in acquisitions(radar.scenes)])


def _power(radar: Radar, scenes: Sequence[Scene]) -> ee.ImageCollection:
    """Linear power of each scene of an acquisition."""
    if radar.config.collection == "opera":
        return named(ee.ImageCollection(OPERA), scenes).map(_flat)
    chosen = named(ee.ImageCollection(GRD), scenes)
    if radar.descent is None:
        power = chosen.map(_measured)
    else:
        power = chosen.map(lambda image: slope_correction.volume(image, _measured(image), radar.descent))
    return power.map(without_border_noise) if scenes[0].day < CLEAN_SINCE else power


def _measured(image: ee.Image) -> ee.Image:
    """Linear power on any grid, without what is no measurement."""
    power = image.select(list(POLARISATIONS), ["vv", "vh"]).resample("bilinear")
    return power.updateMask(power.gt(0))


def _flat(image: ee.Image) -> ee.Image:
    """OPERA's gamma naught where neither layover nor shadow spoils it."""
    return _measured(image).updateMask(image.select("mask").eq(VALID))


def without_border_noise(power: ee.Image) -> ee.Image:
    """Linear power without strips of values under the noise floor; see `features.sar.clean`, which this repeats."""
    floors = ee.Image.constant([10 ** (BORDER_NOISE_DB[name] / 10) for name in ("vv", "vh")])
    low = power.lt(floors)
    like = low.unmask(1, False)  # what was not measured counts with the noise, so that a strip may touch the edge
    opened = like.focalMin(PIXEL, "square", "meters").focalMax(PIXEL, "square", "meters")
    strips = opened.And(low).unmask(0, False).focalMax(GROWTH * PIXEL, "square", "meters")
    return power.updateMask(strips.Not())


def _refuse_without_heading(case: Case, scenes: Sequence[Scene]) -> None:
    lacking = [scene.id for scene in scenes if not _stated(scene.properties, slope_correction.HEADING)]
    if lacking:
        raise SourceError(
            f"case {case.id}: slope_correction needs the flight direction, and {len(lacking)} of {len(scenes)} scenes "
            f"state no {slope_correction.HEADING}, first {lacking[0]}. Leave slope_correction out, or use `collection: opera`"
        )


def _stated(properties: Mapping[str, Any] | None, name: str) -> bool:
    return (properties or {}).get(name) is not None
