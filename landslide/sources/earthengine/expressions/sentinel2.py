"""Expressions for Sentinel-2: clear reflectance per acquisition, indices and composites, as `features/optical.py` has
them.

The harmonised surface reflectance has the offset of processing baseline 04.00 removed already. What is clear follows
from Cloud Score+ where a scene has a score, and from the scene classification where it has none: linking alone would
mask such a scene whole, without a word.
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
from landslide.features.optical import CLEAR, EDGE, MAX_RATIO, SPREADING
from landslide.geo.grid import PIXEL
from landslide.sources.compose import COLOURS
from landslide.sources.earthengine.query import answer
from landslide.sources.earthengine.scenes import INDEX, Collection, Scene, acquisitions, named, search

HARMONISED, SCORES, SCORE = "COPERNICUS/S2_SR_HARMONIZED", "GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED", "cs_cdf"
BASELINE = "PROCESSING_BASELINE"
BANDS = ("B2", "B3", "B4", "B8")
QUANTIFICATION = 10_000
NO_GROUND = (0, 1, 2, 11)  # classes that a cloud score does not speak of: nodata, saturated, dark, snow
VISIBLE = ("blue", "green", "red")


@dataclass(frozen=True)
class Optical:
    """Scenes in use, and which of them have a cloud score."""

    scenes: Sequence[Scene]
    scored: Set[str]
    config: Sentinel2Archive

    @property
    def linked(self) -> float:
        """The share of scenes with a cloud score."""
        return len(self.scored) / len(self.scenes)


def find(case: Case, geobox: GeoBox, config: Sentinel2Archive) -> Optical:
    """The scenes of both windows, and which have a cloud score."""
    properties = ("CLOUDY_PIXEL_PERCENTAGE", BASELINE)
    collection = ee.ImageCollection(HARMONISED)
    scenes = search(
        case, geobox, Collection("Sentinel-2", "sentinel-2", HARMONISED, collection, properties, _one_orbit)
    )
    scored: Set[str] = set()
    if config.cloud_mask == "cloud-score-plus":
        within = ee.ImageCollection(SCORES).filter(ee.Filter.inList(INDEX, [scene.id for scene in scenes]))
        scored = set(answer(within.aggregate_array(INDEX)))
    return Optical(scenes, scored, config)


def _one_orbit(_: Mapping[str, Any]) -> str:
    """All tiles of a day are one acquisition: neighbouring tracks never meet on one day."""
    return ""


def bands(optical: Optical, wanted: Sequence[str]) -> ee.Image:
    """The wanted bands of `features.optical.optical_bands`, unitless, masked where a side has no clear date."""
    pre, post = (_side(optical, side) for side in WHENS)
    return ee.Image.cat(*(_BANDS[name](pre, post).rename(name) for name in wanted))


def seen(optical: Optical) -> ee.Image:
    """`s2_pre` and `s2_post`: days on which a pixel was clear."""
    return ee.Image.cat(*(_side(optical, side).select("red").count().rename(f"s2_{side}") for side in WHENS))


def reflectance(optical: Optical, side: When) -> ee.Image:
    """Median reflectance `blue`, `green`, `red`, `nir` of a side, for people to look at."""
    return _side(optical, side).median()


def _side(optical: Optical, side: When) -> ee.ImageCollection:
    """One image of clear reflectance a day."""
    chosen = [scene for scene in optical.scenes if scene.side == side]
    return ee.ImageCollection([_day(optical, group) for group in acquisitions(chosen)])


def _day(optical: Optical, scenes: Sequence[Scene]) -> ee.Image:
    """Clear reflectance of a day, all its tiles put together; a later processing of a tile lies on top."""
    by_baseline = groupby(sorted(scenes, key=_baseline), key=_baseline)
    parts = [part for _, group in by_baseline for part in _clear(optical, list(group))]
    return reduce(lambda below, above: below.merge(above), parts).mosaic()


def _baseline(scene: Scene) -> float:
    """The processing baseline, 0 where none is stated."""
    stated = str((scene.properties or {}).get(BASELINE))
    return float(stated) if stated.replace(".", "", 1).isdigit() else 0.0


def _clear(optical: Optical, scenes: Sequence[Scene]) -> list[ee.ImageCollection]:
    """Clear reflectance of scenes, by their score and, of those that have none, by their classes."""
    archive, scores = ee.ImageCollection(HARMONISED), ee.ImageCollection(SCORES)
    linked = [scene for scene in scenes if scene.id in optical.scored]
    classified = [scene for scene in scenes if scene.id not in optical.scored]
    threshold = optical.config.clear_above
    parts = []
    if linked:
        parts.append(
            named(archive, linked).linkCollection(scores, [SCORE]).map(lambda image: clear_by_score(image, threshold))
        )
    if classified:
        parts.append(named(archive, classified).map(clear_by_class))
    return parts


def clear_by_class(image: ee.Image) -> ee.Image:
    """Reflectance where the scene classification lets the ground be seen; see `features.optical.clear`."""
    classes = image.select("SCL")
    usable = classes.remap(list(CLEAR), [1] * len(CLEAR), 0).unmask(0, False)
    spreading = classes.remap(list(SPREADING), [1] * len(SPREADING), 0).unmask(0, False)
    grown = spreading.focalMax(EDGE * PIXEL, "square", "meters")
    return _reflectance(image).updateMask(usable.And(grown.Not()))


def clear_by_score(image: ee.Image, threshold: float) -> ee.Image:
    """Reflectance where the cloud score is at least the threshold and the classes do not say dark, snow or nothing."""
    ground = image.select("SCL").remap(list(NO_GROUND), [0] * len(NO_GROUND), 1)
    return _reflectance(image).updateMask(image.select(SCORE).gte(threshold).And(ground))


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


def _after(colour: str) -> Any:
    return lambda _, post: post.select(colour).median()


_BANDS: Mapping[str, Any] = {
    "dndvi_median": lambda pre, post: _index(post, "nir", "red").median().subtract(_index(pre, "nir", "red").median()),
    "dndvi_greenest": lambda pre, post: _index(post, "nir", "red").max().subtract(_index(pre, "nir", "red").max()),
    "dgrvi": lambda pre, post: _index(post, "green", "red").median().subtract(_index(pre, "green", "red").median()),
    "rg_change": lambda pre, post: _red_over_green(post).median().subtract(_red_over_green(pre).median()),
    "brightness_change": lambda pre, post: _brightness(post).subtract(_brightness(pre)),
    **{f"{colour}_post": _after(colour) for colour in VISIBLE},
}
