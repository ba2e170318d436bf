"""What each recipe asks Google for, frozen as text: a change of recipe is a change of these files, seen in review.

`UPDATE_GOLDEN=1 pytest tests/unit/sources/earthengine/test_golden.py` writes them anew.
"""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import shapely

from landslide.cases.case import Case
from landslide.geo.grid import grid
from landslide.sources.earthengine import scenes
from landslide.sources.earthengine.export.pixels import Pixels
from landslide.sources.earthengine.expressions import inventory, sentinel1, sentinel2, terrain
from landslide.sources.earthengine.image import NODATA, Recipe, bands_of
from landslide.sources.earthengine.session import Session
from tests.helpers.readable import readable

GOLDEN = Path(__file__).parent / "golden"
AOI = [10.0, 45.0, 10.02, 45.01]
RECIPES: dict[str, dict[str, Any]] = {
    "radar": {"sentinel2": None, "dem": None},
    "radar-flattened": {"sentinel1": {"slope_correction": "volume"}, "sentinel2": None, "bands": ["vv_change"]},
    "radar-opera": {"sentinel1": {"collection": "opera"}, "sentinel2": None, "dem": None, "bands": ["vh_pre"]},
    "optical": {"sentinel1": None, "dem": None},
    "optical-classes": {"sentinel1": None, "dem": None, "sentinel2": {"cloud_mask": "scl"}, "bands": ["dndvi_median"]},
    "optical-visible": {
        "sentinel1": None, "dem": None, "bands": ["dgrvi", "rg_change", "brightness_change", "blue_post"],
    },
    "terrain": {"sentinel1": None, "sentinel2": None},
    "terrain-nasadem": {"sentinel1": None, "sentinel2": None, "dem": "nasadem"},
    "water": {"sentinel1": None, "sentinel2": None, "dem": None, "water": "glo30"},
    "water-jrc": {"sentinel1": None, "sentinel2": None, "dem": None, "water": "jrc"},
}  # fmt: skip


def case(**source: Any) -> Case:
    return Case.model_validate(
        {"id": "valley", "event_date": "2021-07-14", "aoi": AOI, "source": {"kind": "earthengine", **source}}
    )


def scene(name: str, sensor: str, day: str, side: str, orbit: str = "") -> scenes.Scene:
    time = datetime.fromisoformat(day).replace(hour=10, tzinfo=UTC)
    return scenes.Scene(name, sensor, time, side, orbit, "1", {"platformHeading": 347.0})  # type: ignore[arg-type]


RADAR = [
    scene("A1", "sentinel-1", "2021-06-20", "pre", "ascending-44"),
    scene("A2", "sentinel-1", "2021-06-20", "pre", "ascending-44"),  # a second slice of the same pass
    scene("A3", "sentinel-1", "2021-07-26", "post", "ascending-44"),
    scene("D1", "sentinel-1", "2021-06-23", "pre", "descending-95"),
    scene("D2", "sentinel-1", "2021-07-29", "post", "descending-95"),
]
OPTICAL = [
    scene("T1", "sentinel-2", "2021-06-11", "pre"),
    scene("T2", "sentinel-2", "2021-06-16", "pre"),
    scene("T3", "sentinel-2", "2021-07-21", "post"),
]


def recipe(**source: Any) -> Recipe:
    one = case(**source)
    config, geobox = one.source, grid(one)
    radar = optical = None
    if config.sentinel1:
        descent = terrain.descent(geobox, config.dem) if config.sentinel1.slope_correction else None
        radar = sentinel1.Radar(RADAR, config.sentinel1, descent)
    if config.sentinel2:
        scored = {"T1", "T3"} if config.sentinel2.cloud_mask == "cloud-score-plus" else set()
        optical = sentinel2.Optical(OPTICAL, scored, config.sentinel2)
    return Recipe(geobox, config, bands_of(one, config), radar, optical, ["tile"])


def check(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.exists(), f"{path} is missing: run with UPDATE_GOLDEN=1 and read what it holds"
    assert text == path.read_text(), f"the recipe differs from {path}: if that is meant, run with UPDATE_GOLDEN=1"


def graph(value: ee.ComputedObject) -> str:
    return readable(ee.serializer.encode(value))


@pytest.mark.parametrize("name", RECIPES)
def test_the_image_of_a_recipe(name: str, connected: Session) -> None:
    check(name, graph(recipe(**RECIPES[name]).image))


def test_border_noise_is_cut_from_old_scenes_alone(connected: Session) -> None:
    old = [
        scene("S1", "sentinel-1", "2016-06-20", "pre", "ascending-44"),
        scene("S2", "sentinel-1", "2018-07-26", "post", "ascending-44"),
    ]
    text = graph(sentinel1.bands(sentinel1.Radar(old, case().source.sentinel1)))
    assert text.count("focalMin") == 1
    check("radar-border-noise", text)


def test_of_a_tile_processed_twice_the_later_lies_on_top(connected: Session) -> None:
    """Both stay: the halves of a tile that came down in two datastrips look the same to a listing."""
    stated = {"T1": "04.00", "T2": "05.11", "T3": None}
    scenes_ = [replace(one, properties={sentinel2.BASELINE: stated[one.id]}) for one in OPTICAL]
    same_day = [replace(one, time=scenes_[0].time) for one in scenes_[:2]]
    optical = sentinel2.Optical([*same_day, scenes_[2]], set(), case().source.sentinel2)
    text = graph(sentinel2.bands(optical, ["dndvi_median"]))
    assert text.index("T1") < text.index("T2"), "a mosaic shows its last"
    check("optical-reprocessed", text)


def test_the_listing_of_scenes(connected: Session) -> None:
    one = case()
    archive = sentinel1.archive(one.source.sentinel1)
    span = one.spans("pre")[0]
    listed = scenes.listing(archive.collection, scenes.region(grid(one)), span, (scenes.INDEX, *archive.properties))
    check("listing-radar", graph(listed))


def test_painted_outlines(connected: Session) -> None:
    shapes = np.array([shapely.box(580_000, 4_983_000, 580_050, 4_983_070)], object)
    check("outlines", graph(inventory.painted(shapes, "EPSG:32632")))


def test_the_request_of_a_tile_is_exactly_our_grid(connected: Session) -> None:
    made = recipe(**RECIPES["water-jrc"])
    pixels = Pixels(made.image, made.geobox, made.bands, "landslide-valley", connected)
    body = json.loads(pixels.request((slice(64, 100), slice(32, 64))))
    body["expression"] = readable(body["expression"]).splitlines()
    check("request-tile", json.dumps(body, indent=1, sort_keys=True) + "\n")


def test_the_request_of_a_batch_export_is_exactly_our_grid(connected: Session) -> None:
    made = recipe(**RECIPES["water-jrc"])
    pixels = Pixels(made.image, made.geobox, made.bands, "landslide-valley", connected)
    config = pixels.export("my-bucket", "landslide/valley/", 8192, NODATA)
    config["expression"] = graph(config["expression"]).splitlines()
    check("request-export", json.dumps(config, indent=1, sort_keys=True) + "\n")
