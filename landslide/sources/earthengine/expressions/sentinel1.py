"""Sentinel-1: the search for its scenes, and expressions for composites and change per orbit as in `features/sar.py`.

Two collections: ground-range detected scenes in linear power (sigma naught, calibrated and geocoded by Google), and
OPERA's radiometrically terrain-corrected bursts (gamma naught, 30 m).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ee
from odc.geo.geobox import GeoBox
from pydantic import JsonValue

from landslide.cases.case import Case
from landslide.cases.fields import WHENS, When
from landslide.cases.sources import Sentinel1Archive
from landslide.errors import EmptyWindowError, SourceError
from landslide.features.sar import BORDER_NOISE_DB, GROWTH
from landslide.geo.grid import PIXEL
from landslide.sources.base import LayerRequest, Scene
from landslide.sources.earthengine.expressions import slope_correction, terrain
from landslide.sources.earthengine.scenes import INDEX, PROCESSOR, Collection, acquisitions, search, select_scenes

VERSION = 1  # raised when the expressions of this sensor give other pixels
GRD, OPERA = "COPERNICUS/S1_GRD_FLOAT", "OPERA/RTC/L2_V1/S1"
POLARISATIONS = ("VV", "VH")
KEYS = ("vv", "vh", "ratio")
CLEAN_SINCE = "2018-03-13"  # from processor 2.90 on, products come without border noise (Ali et al. 2018)
VALID = 0  # OPERA's mask: neither layover nor shadow


def find(case: Case, geobox: GeoBox, bands: tuple[str, ...], config: Sentinel1Archive, dem: str) -> LayerRequest:
    """Look up the scenes of both windows.

    Args:
        case: The case.
        geobox: Its grid.
        bands: What the layer is to hold.
        config: The case's settings for Sentinel-1.
        dem: The elevation model that `slope_correction` takes the slopes from.

    Raises:
        EmptyWindowError: A window has no scene, or no single orbit has scenes in both.
        NoOverlapError: The collection has no scene there within a year.
        SourceError: A scene states no orbit, or no heading where slopes are to be corrected.
    """
    scenes = search(case, geobox, collection_of(config))
    if not paired_orbits(scenes):
        orbits = {side: sorted({scene.orbit for scene in scenes if scene.side == side}) for side in WHENS}
        raise EmptyWindowError(
            f"case {case.id}: no Sentinel-1 orbit passed both before and after the event (before {orbits['pre']}, "
            f"after {orbits['post']}), and geometries do not mix. Widen the windows, or set sentinel1 to null"
        )
    settings: dict[str, JsonValue] = {
        "processor": PROCESSOR, "version": VERSION, "collection": config.collection,
        "slope_correction": config.slope_correction,
    }  # fmt: skip
    if config.slope_correction:
        _require_heading(case, scenes)
        settings["dem"] = dem
    return LayerRequest(layer="sentinel1", bands=bands, scenes=tuple(scenes), settings=settings)


def collection_of(config: Sentinel1Archive) -> Collection:
    """The collection that a case names, of both polarisations in the land mode."""
    if config.collection == "opera":
        return _opera(config)
    images = ee.ImageCollection(GRD).filter(ee.Filter.eq("instrumentMode", "IW"))
    for polarisation in POLARISATIONS:
        images = images.filter(ee.Filter.listContains("transmitterReceiverPolarisation", polarisation))
    images = images.filter(ee.Filter.eq("resolution_meters", PIXEL))
    if config.direction:
        images = images.filter(ee.Filter.eq("orbitProperties_pass", config.direction.upper()))
    properties = ("orbitProperties_pass", "relativeOrbitNumber_start", "platform_number", slope_correction.HEADING)
    return Collection("Sentinel-1", "sentinel-1", GRD, images, properties, _orbit(*properties[:2]))


def _opera(config: Sentinel1Archive) -> Collection:
    images = ee.ImageCollection(OPERA)
    for polarisation in POLARISATIONS:
        images = images.filter(ee.Filter.listContains("system:band_names", polarisation))
    if config.direction:
        names = [config.direction, config.direction.upper(), config.direction.capitalize()]
        images = images.filter(ee.Filter.inList("ORBIT_PASS_DIRECTION", names))
    properties = ("ORBIT_PASS_DIRECTION", "TRACK_NUMBER")
    return Collection("Sentinel-1", "sentinel-1", OPERA, images, properties, _orbit(*properties))


def _orbit(direction: str, number: str) -> Callable[[Mapping[str, Any]], str]:
    """A function that gives a scene's orbit, `ascending-44`, by these two properties; SourceError if one is missing."""

    def orbit(values: Mapping[str, Any]) -> str:
        if values[direction] is None or values[number] is None:
            raise SourceError(
                f"scene {values[INDEX]} states no {direction} or no {number}, so its viewing geometry is unknown. "
                "Use the other `collection` under sentinel1"
            )
        return f"{str(values[direction]).lower()}-{int(values[number])}"

    return orbit


def paired_orbits(scenes: Iterable[Scene]) -> list[str]:
    """The orbits with scenes on both sides of the event."""
    sides: dict[str, set[str | None]] = {}
    for scene in scenes:
        sides.setdefault(scene.orbit, set()).add(scene.side)
    return sorted(orbit for orbit, seen in sides.items() if len(seen) == len(WHENS))


@dataclass(frozen=True)
class Radar:
    """Scenes of the collection `grd` or `opera`; `descent` is `terrain.descent` where slopes are corrected."""

    scenes: Sequence[Scene]
    collection: str = "grd"
    descent: ee.Image | None = None

    @classmethod
    def of(cls, request: LayerRequest, geobox: GeoBox) -> "Radar":
        """The scenes of a request on a grid."""
        settings = request.settings
        descent = terrain.descent(geobox, str(settings["dem"])) if settings["slope_correction"] else None
        return cls(request.scenes, str(settings["collection"]), descent)

    def only(self, side: When | None = None, orbit: str | None = None) -> "Radar":
        """The scenes of a side, of an orbit, or both."""
        kept = [scene for scene in self.scenes if side in (None, scene.side) and orbit in (None, scene.orbit)]
        return replace(self, scenes=kept)


def bands(radar: Radar) -> ee.Image:
    """`vv_pre` … `ratio_change` in dB, masked where no single orbit saw both sides; see `features.sar.sar_bands`."""
    pairs = [_orbit_pair(radar.only(orbit=orbit)) for orbit in paired_orbits(radar.scenes)]
    mean = ee.ImageCollection(pairs).mean()
    changes = [mean.select(f"{key}_post").subtract(mean.select(f"{key}_pre")).rename(f"{key}_change") for key in KEYS]
    return mean.addBands(changes)


def counts(radar: Radar) -> ee.Image:
    """`s1_pre` and `s1_post`: acquisitions with a VV, of any orbit."""
    return ee.Image.cat(*(_powers(radar.only(side)).select("vv").count().rename(f"s1_{side}") for side in WHENS))


def _orbit_pair(radar: Radar) -> ee.Image:
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
    if radar.collection == "opera":
        return select_scenes(ee.ImageCollection(OPERA), scenes).map(_opera_power)
    images = select_scenes(ee.ImageCollection(GRD), scenes)
    if radar.descent is None:
        power = images.map(_positive_power)
    else:
        power = images.map(lambda image: slope_correction.volume(image, _positive_power(image), radar.descent))
    return power.map(without_border_noise) if str(scenes[0].date) < CLEAN_SINCE else power


def _positive_power(image: ee.Image) -> ee.Image:
    """Linear power on any grid, masked where it is 0 or below, which is no measurement."""
    power = image.select(list(POLARISATIONS), ["vv", "vh"]).resample("bilinear")
    return power.updateMask(power.gt(0))


def _opera_power(image: ee.Image) -> ee.Image:
    """OPERA's gamma naught without layover and shadow."""
    return _positive_power(image).updateMask(image.select("mask").eq(VALID))


def without_border_noise(power: ee.Image) -> ee.Image:
    """Linear power without strips of values under the noise floor, by the rule of `features.sar.clean`."""
    floors = ee.Image.constant([10 ** (BORDER_NOISE_DB[name] / 10) for name in ("vv", "vh")])
    low = power.lt(floors)
    low_or_missing = low.unmask(1, False)  # so that a strip may touch the edge
    opened = low_or_missing.focalMin(PIXEL, "square", "meters").focalMax(PIXEL, "square", "meters")
    strips = opened.And(low).unmask(0, False).focalMax(GROWTH * PIXEL, "square", "meters")
    return power.updateMask(strips.Not())


def _require_heading(case: Case, scenes: Sequence[Scene]) -> None:
    lacking = [scene.id for scene in scenes if scene.properties.get(slope_correction.HEADING) is None]
    if lacking:
        raise SourceError(
            f"case {case.id}: slope_correction needs the flight direction, and {len(lacking)} of {len(scenes)} scenes "
            f"state no {slope_correction.HEADING}, first {lacking[0]}. Leave slope_correction out, or use "
            "`collection: opera`"
        )
