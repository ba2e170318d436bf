"""Sentinel-2: the search for its scenes, and expressions for indices and composites as in `features/optical.py`.

The harmonised surface reflectance has the offset of processing baseline 04.00 removed already. Clouds are masked by
Cloud Score+ where a scene has a score, else by the scene classification: linking a scene that has no score would mask
all of it without an error.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from typing import Any

import ee
from odc.geo.geobox import GeoBox

from landslide.cases.case import Case
from landslide.cases.fields import WHENS, When
from landslide.cases.sources import Sentinel2Archive
from landslide.features.optical import CLEAR, MAX_RATIO, SPREADING
from landslide.geo.grid import PIXEL
from landslide.sources.base import LayerRequest, Scene
from landslide.sources.compose import COLOURS
from landslide.sources.earthengine.query import get_info
from landslide.sources.earthengine.scenes import (
    CLOUD_COVER,
    INDEX,
    PROCESSOR,
    Collection,
    acquisitions,
    search,
    select_scenes,
)

VERSION = 1  # raised when the expressions of this sensor give other pixels
HARMONISED, SCORES, SCORE = "COPERNICUS/S2_SR_HARMONIZED", "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED", "cs_cdf"
BASELINE, SCORED = "PROCESSING_BASELINE", "scored"
BANDS = ("B2", "B3", "B4", "B8")
QUANTIFICATION = 10_000
UNUSABLE = (0, 1, 2, 11)  # classes that a cloud score says nothing about: nodata, saturated, dark, snow
VISIBLE = ("blue", "green", "red")


def find(case: Case, geobox: GeoBox, bands: tuple[str, ...], config: Sentinel2Archive) -> LayerRequest:
    """Look up the scenes of both windows, and which of them have a cloud score; raises as `scenes.search`."""
    images = ee.ImageCollection(HARMONISED)
    scenes = search(
        case, geobox, Collection("Sentinel-2", "sentinel-2", HARMONISED, images, (CLOUD_COVER, BASELINE), _no_orbit)
    )
    scored: Set[str] = set()
    if config.cloud_mask == "cloud-score-plus":
        within = ee.ImageCollection(SCORES).filter(ee.Filter.inList(INDEX, [scene.id for scene in scenes]))
        scored = set(get_info(within.aggregate_array(INDEX)))
    return LayerRequest(
        layer="sentinel2",
        bands=bands,
        scenes=tuple(_with_score(scene, scene.id in scored) for scene in scenes),
        settings={
            "processor": PROCESSOR,
            "version": VERSION,
            "cloud_mask": config.cloud_mask,
            "clear_above": config.clear_above,
            "cloud_dilation": config.cloud_dilation,
        },
    )


def _no_orbit(_: Mapping[str, Any]) -> str:
    """Tiles of a day are one acquisition whatever their orbit: neighbouring tracks never meet on one day."""
    return ""


def _with_score(scene: Scene, scored: bool) -> Scene:
    return scene.model_copy(update={"properties": {**scene.properties, SCORED: scored}})


def scored_share(scenes: Sequence[Scene]) -> float:
    """The share of scenes with a cloud score."""
    return sum(bool(scene.properties[SCORED]) for scene in scenes) / len(scenes)


@dataclass(frozen=True)
class Optical:
    """Scenes and their cloud mask.

    A scene with a score is clear where that is at least `clear_above`; in others clouds and their shadows are grown by
    `cloud_dilation` pixels of 10 m.
    """

    scenes: Sequence[Scene]
    clear_above: float
    cloud_dilation: int

    @classmethod
    def of(cls, request: LayerRequest) -> "Optical":
        """The scenes of a request."""
        settings: Mapping[str, Any] = request.settings
        return cls(request.scenes, settings["clear_above"], settings["cloud_dilation"])


def bands(optical: Optical, names: Sequence[str]) -> ee.Image:
    """These bands of `features.optical.optical_bands`, unitless, masked where a side has no clear date."""
    pre, post = (_days(optical, side) for side in WHENS)
    return ee.Image.cat(*(_BANDS[name](pre, post).rename(name) for name in names))


def counts(optical: Optical) -> ee.Image:
    """`s2_pre` and `s2_post`: days on which a pixel was clear."""
    return ee.Image.cat(*(_days(optical, side).select("red").count().rename(f"s2_{side}") for side in WHENS))


def reflectance(optical: Optical, side: When) -> ee.Image:
    """Median reflectance `blue`, `green`, `red`, `nir` of a side, for people to look at."""
    return _days(optical, side).median()


def _days(optical: Optical, side: When) -> ee.ImageCollection:
    """One image of clear reflectance a day."""
    scenes = [scene for scene in optical.scenes if scene.side == side]
    return ee.ImageCollection([_day(optical, group) for group in acquisitions(scenes)])


def _day(optical: Optical, scenes: Sequence[Scene]) -> ee.Image:
    """Clear reflectance of a day, all its tiles put together; a later processing of a tile lies on top."""
    by_baseline = groupby(sorted(scenes, key=_baseline), key=_baseline)
    parts = [part for _, group in by_baseline for part in _clear(optical, list(group))]
    return reduce(lambda below, above: below.merge(above), parts).mosaic()


def _baseline(scene: Scene) -> float:
    """The processing baseline, 0 where none is stated."""
    stated = str(scene.properties.get(BASELINE))
    return float(stated) if stated.replace(".", "", 1).isdigit() else 0.0


def _clear(optical: Optical, scenes: Sequence[Scene]) -> list[ee.ImageCollection]:
    """Clear reflectance: of scenes with a cloud score by that, of the others by their classes."""
    images, scores = ee.ImageCollection(HARMONISED), ee.ImageCollection(SCORES)
    scored = [scene for scene in scenes if scene.properties[SCORED]]
    classified = [scene for scene in scenes if not scene.properties[SCORED]]
    parts = []
    if scored:
        linked = select_scenes(images, scored).linkCollection(scores, [SCORE])
        parts.append(linked.map(lambda image: clear_by_score(image, optical.clear_above)))
    if classified:
        chosen = select_scenes(images, classified)
        parts.append(chosen.map(lambda image: clear_by_class(image, optical.cloud_dilation)))
    return parts


def clear_by_class(image: ee.Image, dilation: int) -> ee.Image:
    """Reflectance outside of clouds and shadows by the scene classification, as `features.optical.clear`.

    `dilation`: how far clouds and their shadows are grown, in pixels of 10 m.
    """
    classes = image.select("SCL")
    usable = classes.remap(list(CLEAR), [1] * len(CLEAR), 0).unmask(0, False)
    clouds = classes.remap(list(SPREADING), [1] * len(SPREADING), 0).unmask(0, False)
    grown = clouds.focalMax(dilation * PIXEL, "square", "meters") if dilation else clouds
    return _reflectance(image).updateMask(usable.And(grown.Not()))


def clear_by_score(image: ee.Image, threshold: float) -> ee.Image:
    """Reflectance where the cloud score is at least the threshold and the class is not one of `UNUSABLE`."""
    usable = image.select("SCL").remap(list(UNUSABLE), [0] * len(UNUSABLE), 1)
    return _reflectance(image).updateMask(image.select(SCORE).gte(threshold).And(usable))


def _reflectance(image: ee.Image) -> ee.Image:
    return image.select(list(BANDS), list(COLOURS)).resample("bilinear").divide(QUANTIFICATION)


def _index(side: ee.ImageCollection, first: str, second: str) -> ee.ImageCollection:
    """(first - second) / (first + second) per date, within [-1, 1]."""

    def normalised(image: ee.Image) -> ee.Image:
        total = image.select(first).add(image.select(second))
        difference = image.select(first).subtract(image.select(second))
        return difference.divide(total.updateMask(total.gt(0))).clamp(-1, 1)

    return side.map(normalised)


def _red_over_green(side: ee.ImageCollection) -> ee.ImageCollection:
    def ratio(image: ee.Image) -> ee.Image:
        green = image.select("green")
        return image.select("red").divide(green.updateMask(green.gt(0))).clamp(0, MAX_RATIO)

    return side.map(ratio)


def _brightness(side: ee.ImageCollection) -> ee.Image:
    medians = side.select(list(VISIBLE)).median()
    return medians.select("blue").add(medians.select("green")).add(medians.select("red")).divide(3)


def _post_median(colour: str) -> Any:
    return lambda _, post: post.select(colour).median()


_BANDS: Mapping[str, Any] = {
    "dndvi_median": lambda pre, post: _index(post, "nir", "red").median().subtract(_index(pre, "nir", "red").median()),
    "dndvi_greenest": lambda pre, post: _index(post, "nir", "red").max().subtract(_index(pre, "nir", "red").max()),
    "dgrvi": lambda pre, post: _index(post, "green", "red").median().subtract(_index(pre, "green", "red").median()),
    "rg_change": lambda pre, post: _red_over_green(post).median().subtract(_red_over_green(pre).median()),
    "brightness_change": lambda pre, post: _brightness(post).subtract(_brightness(pre)),
    **{f"{colour}_post": _post_median(colour) for colour in VISIBLE},
}
