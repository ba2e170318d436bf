"""What each layer's image asks Google for, kept as text: a change of an expression shows in review as a changed file.

`UPDATE_GOLDEN=1 pytest tests/unit/sources/earthengine/test_golden.py` writes them anew. A request does not hold the
expression but the `VERSION` of its sensor's module, which is to be raised where pixels change.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import shapely

from landslide.cases.case import Case
from landslide.cases.fields import When
from landslide.geo.grid import grid
from landslide.sources.base import LayerName, LayerRequest, Scene
from landslide.sources.earthengine import scenes
from landslide.sources.earthengine.export.pixels import Pixels
from landslide.sources.earthengine.expressions import inventory, sentinel1, sentinel2, slope_correction, terrain
from landslide.sources.earthengine.image import NODATA, layer_image
from landslide.sources.earthengine.session import Session
from landslide.sources.earthengine.source import EarthEngine
from tests.helpers.readable import readable

GOLDEN = Path(__file__).parent / "golden"
AOI = [10.0, 45.0, 10.02, 45.01]
IMAGES: dict[str, tuple[LayerName, dict[str, Any]]] = {
    "radar": ("sentinel1", {}),
    "radar-flattened": ("sentinel1", {"sentinel1": {"slope_correction": "volume"}, "bands": ["vv_change"]}),
    "radar-opera": ("sentinel1", {"sentinel1": {"collection": "opera"}, "bands": ["vh_pre"]}),
    "optical": ("sentinel2", {}),
    "optical-classes": ("sentinel2", {"sentinel2": {"cloud_mask": "scl"}, "bands": ["dndvi_median"]}),
    "optical-visible": ("sentinel2", {"bands": ["dgrvi", "rg_change", "brightness_change", "blue_post"]}),
    "terrain": ("terrain", {}),
    "terrain-nasadem": ("terrain", {"dem": "nasadem"}),
    "water": ("mask", {"water": "glo30"}),
    "water-jrc": ("mask", {"water": "jrc"}),
}


def case(**source: Any) -> Case:
    return Case.model_validate(
        {"id": "valley", "event_date": "2021-07-14", "aoi": AOI, "source": {"kind": "earthengine", **source}}
    )


def scene(name: str, sensor: str, day: str, side: When, orbit: str = "") -> Scene:
    time = datetime.fromisoformat(day).replace(hour=10, tzinfo=UTC)
    heading = {slope_correction.HEADING: 347.0}
    return Scene(id=name, sensor=sensor, time=time, side=side, orbit=orbit, version="1", properties=heading)


def with_properties(scene: Scene, **properties: Any) -> Scene:
    return scene.model_copy(update={"properties": {**scene.properties, **properties}})


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


@pytest.fixture
def archive(connected: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that has the scenes above, and two cloud scores."""
    monkeypatch.setattr(sentinel1, "search", lambda *_: RADAR)
    monkeypatch.setattr(sentinel2, "search", lambda *_: OPTICAL)
    monkeypatch.setattr(sentinel2, "get_info", lambda _: ["T1", "T3"])
    monkeypatch.setattr(terrain, "get_info", lambda _: ["tile"])


def image(name: str) -> tuple[ee.Image, LayerRequest]:
    layer, source = IMAGES[name]
    one = case(**source)
    request = EarthEngine(one, one.source).find_scenes().layers[layer]  # type: ignore[arg-type]
    return layer_image(request, grid(one)), request


def check(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert path.exists(), f"{path} is missing: run with UPDATE_GOLDEN=1 and read what it holds"
    assert text == path.read_text(), (
        f"the expression differs from {path}: if that is meant, raise VERSION in the sensor's module where pixels "
        "change, and run with UPDATE_GOLDEN=1"
    )


def graph(value: ee.ComputedObject) -> str:
    return readable(ee.serializer.encode(value))


@pytest.mark.parametrize("name", IMAGES)
def test_the_image_of_a_layer(name: str, archive: None) -> None:
    check(name, graph(image(name)[0]))


def test_border_noise_is_cut_from_old_scenes_alone(connected: Session) -> None:
    old = [
        scene("S1", "sentinel-1", "2016-06-20", "pre", "ascending-44"),
        scene("S2", "sentinel-1", "2018-07-26", "post", "ascending-44"),
    ]
    text = graph(sentinel1.bands(sentinel1.Radar(old)))
    assert text.count("focalMin") == 1
    check("radar-border-noise", text)


def test_of_a_tile_processed_twice_the_later_lies_on_top(connected: Session) -> None:
    """Both stay: the halves of a tile that came down in two datastrips look the same to a listing."""
    stated = {"T1": "04.00", "T2": "05.11", "T3": None}
    found = [with_properties(one, PROCESSING_BASELINE=stated[one.id], scored=False) for one in OPTICAL]
    same_day = [one.model_copy(update={"time": found[0].time}) for one in found[:2]]
    optical = sentinel2.Optical([*same_day, found[2]], clear_above=0.6, cloud_dilation=6)
    text = graph(sentinel2.bands(optical, ["dndvi_median"]))
    assert text.index("T1") < text.index("T2"), "a mosaic shows its last"
    check("optical-reprocessed", text)


def test_the_listing_of_scenes(connected: Session) -> None:
    one = case()
    collection = sentinel1.collection_of(one.source.sentinel1)  # type: ignore[union-attr, arg-type]
    keys = (scenes.INDEX, *collection.properties)
    listed = scenes.listing(collection.images, scenes.region(grid(one)), one.spans("pre")[0], keys)
    check("listing-radar", graph(listed))


def test_painted_outlines(connected: Session) -> None:
    shapes = np.array([shapely.box(580_000, 4_983_000, 580_050, 4_983_070)], object)
    check("outlines", graph(inventory.painted(shapes, "EPSG:32632")))


def test_the_request_of_a_tile_is_exactly_our_grid(archive: None, connected: Session) -> None:
    made, asked = image("water-jrc")
    pixels = Pixels(made, grid(case()), asked.bands, "landslide-valley", connected)
    body = json.loads(pixels.request((slice(64, 100), slice(32, 64))))
    body["expression"] = readable(body["expression"]).splitlines()
    check("request-tile", json.dumps(body, indent=1, sort_keys=True) + "\n")


def test_the_request_of_a_batch_export_is_exactly_our_grid(archive: None, connected: Session) -> None:
    made, asked = image("water-jrc")
    pixels = Pixels(made, grid(case()), asked.bands, "landslide-valley", connected)
    config = pixels.export("my-bucket", "landslide/valley/", 8192, NODATA)
    config["expression"] = graph(config["expression"]).splitlines()
    check("request-export", json.dumps(config, indent=1, sort_keys=True) + "\n")
