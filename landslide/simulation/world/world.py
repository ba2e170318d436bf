"""A whole simulated world in a folder: catalogue, inventories, truth, cases and an experiment."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
import pystac
import yaml
from shapely import affinity

from landslide.errors import InputError
from landslide.progress import track

from .catalogue import DEM, SENTINEL1, SENTINEL2, write_catalogue, write_item
from .changes import COVER_NAMES, Change, Truth, known_cover, truth, without
from .confounders import CONFOUNDERS
from .landscape import Landscape, make_landscape
from .noise import Random
from .places import Place, places
from .rasters import write_cog
from .scenes import Event, elevation_item, optical_items, radar_items
from .site import Site, site_of
from .slides import Slide, make_slides, slide_change
from .terrain import PIXEL

VERSION = 4
NO_COVER = 255
EVENNESS = 0.24  # of 68 Sentinel-2 dates over 1 km² of Slovenia, 2015-17: mean 0.40, 43 % without cloud, 29 % closed
FEWEST_EVENTS, SMALLEST_SIZE = 3, 64
Parameters = dict[str, int | float | None]
SHARES = {Truth.CLEAR_CUT: 1.25, Truth.HARVEST: 1.2, Truth.FLOOD: 0.25}


@dataclass(frozen=True)
class World:
    """Where a simulated world lies: its folder, its STAC catalogue, its case files in order and its experiment."""

    folder: Path
    catalog: Path
    cases: list[Path]
    experiment: Path


def simulate_world(
    folder: Path, events: int = 6, size: int = 384, seed: int = 0, cloudiness: float | None = None
) -> World:
    """Simulate `events` landslide events of about `size` pixels of 10 m on a side and write them to `folder`.

    `cloudiness` is the mean cloud cover of a Sentinel-2 scene, from 0 to less than 1, at every place; without it each
    place has its own (0.35 to 0.62). It is the mean over all overpasses; single scenes scatter around it as those of a
    real archive (`EVENNESS`): most are nearly clear or nearly closed, and the closed ones are left out of the
    catalogue. Nothing but the Sentinel-2 scenes depends on it.

    The same events, size, seed, cloudiness and version give the same bytes. A folder that already holds that very world
    is left as it is; one that holds anything else is refused (`InputError`), as are fewer than 3 events (train,
    validation, test), sizes below 64, and a cloudiness that is out of range or leaves an event without a scene before
    or after it.
    """
    _check(events, size, cloudiness)
    asked: Parameters = {"events": events, "size": size, "seed": seed, "cloudiness": cloudiness}
    parameters = {"version": VERSION, **asked}
    folder = Path(folder)
    if folder.exists() and not _finished(folder, parameters):
        folder.rmdir()
    chosen = places(events)
    if not folder.exists():
        under = chosen
        if cloudiness is not None:
            under = [replace(place, cloudiness=cloudiness, evenness=EVENNESS) for place in chosen]
        with _published(folder) as scratch:
            _write(scratch, size, seed, under, parameters)
    return _world(folder, chosen)


def _check(events: int, size: int, cloudiness: float | None) -> None:
    if events < FEWEST_EVENTS:
        raise InputError(f"A simulated world of {events} events has no train, validation and test: ask for 3 or more.")
    if size < SMALLEST_SIZE or size % 2:
        raise InputError(f"Size {size} px is not an even number of at least {SMALLEST_SIZE}: choose another.")
    if cloudiness is not None and not 0 <= cloudiness < 1:
        raise InputError(f"Cloudiness {cloudiness:g} is no mean cloud cover from 0 to less than 1: choose another.")


def _finished(folder: Path, parameters: Parameters) -> bool:
    """Whether the folder holds the finished world of these parameters; False if it is empty, `InputError` if it holds
    anything else."""
    if folder.is_dir() and not any(folder.iterdir()):
        return False
    record = folder / "world.json"
    if not record.is_file():
        raise InputError(f"{folder} is not empty and holds no simulated world: name another folder.")
    found = json.loads(record.read_text())["parameters"]
    if found != parameters:
        raise InputError(f"{folder} holds a simulated world of {found}, not of {parameters}: name another folder.")
    return True


@contextmanager
def _published(folder: Path) -> Iterator[Path]:
    """A scratch folder beside `folder` that becomes it when the block ends well and is removed when it does not."""
    scratch = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    scratch.mkdir(parents=True)
    try:
        yield scratch
        os.replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _world(folder: Path, chosen: list[Place]) -> World:
    cases = [folder / "cases" / f"{place.id}.yaml" for place in chosen]
    return World(folder, folder / "catalog.json", cases, folder / "experiment.yaml")


def _write(folder: Path, size: int, seed: int, chosen: list[Place], parameters: Parameters) -> None:
    seeds = np.random.SeedSequence(seed).spawn(len(chosen))
    roles = ["train"] * (len(chosen) - 2) + ["validation", "test"]
    items: list[pystac.Item] = []
    summaries: dict[str, Any] = {}
    for place, sequence, role in track(list(zip(chosen, seeds, roles, strict=True)), "Simulating events"):
        ground, slides_seed, confounding, radar, optical = (np.random.default_rng(s) for s in sequence.spawn(5))
        site = site_of(place, size)
        landscape = make_landscape(ground, site.shape, place)
        slides = make_slides(slides_seed, landscape, site.scene)
        changes = make_changes(confounding, landscape, slides, site)
        event = Event(site, landscape, changes)
        items.append(write_item(folder, elevation_item(event)))
        items.extend(write_item(folder, record) for record in radar_items(radar, event))
        seen = [write_item(folder, record) for record in optical_items(optical, event)]
        _refuse_closed_sky(place, seen)
        items.extend(seen)
        summaries[place.id] = _write_truth(folder, event, slides)
        _write_case(folder, event, role)
    write_catalogue(folder, items)
    _write_experiment(folder, chosen)
    record = {"parameters": parameters, "events": summaries}
    (folder / "world.json").write_text(json.dumps(record, indent=2) + "\n")


def _refuse_closed_sky(place: Place, optical: list[pystac.Item]) -> None:
    days = [item.datetime.date() for item in optical if item.datetime is not None]
    if not any(day < place.event_date for day in days) or not any(day > place.event_date for day in days):
        raise InputError(
            f"Cloudiness {place.cloudiness:g} leaves {place.title} no Sentinel-2 scene before or after the event: "
            "choose less, or another seed."
        )


def make_changes(random: Random, landscape: Landscape, slides: list[Slide], site: Site) -> list[Change]:
    """Slides first, then every confounder on ground that nothing before it took; areas relative to that of the
    slides."""
    changes = [slide_change(random, slides, landscape.shape, landscape.place)]
    taken = changes[0].fraction.copy()
    scene = np.prod([part.stop - part.start for part in site.scene]) * PIXEL**2
    whole = np.prod(landscape.shape) * PIXEL**2
    for kind, draw in CONFOUNDERS.items():
        relative = SHARES.get(kind, 0.0) * landscape.place.landslides * scene
        area = landscape.place.snow * scene if kind == Truth.SNOW else relative
        if area > 0:
            change = without(draw(random, landscape, area * whole / scene), taken)
            taken = np.maximum(taken, change.fraction)
            changes.append(change)
    return changes


def _write_truth(folder: Path, event: Event, slides: list[Slide]) -> dict[str, Any]:
    """Truth and known land cover on the area of interest, the inventory, and what `world.json` says of them."""
    site = event.site
    values, transform = truth(event.changes)[site.area], site.transform(site.area)
    cover = known_cover(event.landscape.cover[site.area], values)
    write_cog(folder / "truth" / f"{event.name}.tif", values, site.epsg, transform, None, "truth")
    write_cog(folder / "cover" / f"{event.name}.tif", cover, site.epsg, transform, NO_COVER, "cover")
    _write_inventory(folder / "inventories" / f"{event.name}.gpkg", event, slides)
    counts = np.bincount(values.ravel(), minlength=len(Truth)).tolist()
    return {
        "shape": list(values.shape),
        "pixels": {kind.name.lower(): counts[kind] for kind in Truth},
        "landslides": len(slides),
        "landslide_share": round(counts[Truth.LANDSLIDE] / values.size, 5),
    }


def _write_inventory(path: Path, event: Event, slides: list[Slide]) -> None:
    path.parent.mkdir(exist_ok=True)
    place, site = event.landscape.place, event.site
    rows = {
        "id": list(range(1, len(slides) + 1)),
        "event_date": [place.event_date.isoformat()] * len(slides),
        "area_m2": [round(slide.area, 1) for slide in slides],
        "run_out_m": [round(slide.run_out, 1) for slide in slides],
    }
    outlines = [affinity.affine_transform(s.outline, [1, 0, 0, -1, site.left, site.top]) for s in slides]
    frame = geopandas.GeoDataFrame(rows, geometry=outlines, crs=f"EPSG:{site.epsg}")
    before = pyogrio.get_gdal_config_option("OGR_CURRENT_DATE")
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z"})
    try:
        frame.to_file(path, layer="landslides", driver="GPKG", engine="pyogrio")
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": before})


def _write_case(folder: Path, event: Event, role: str) -> None:
    place = event.landscape.place
    bands = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "scl": "SCL"}
    case = {
        "id": place.id,
        "title": f"{place.title} (simulated)",
        "event_date": place.event_date,
        "aoi": list(event.site.aoi),
        "pre": {"days": 60},
        "post": {"days": 60},
        "source": {
            "kind": "stac",
            "catalog": "../catalog.json",
            "sentinel1": {"collection": SENTINEL1, "vv": "vv", "vh": "vh"},
            "sentinel2": {"collection": SENTINEL2, **bands},
            "dem": {"collection": DEM, "elevation": "data"},
        },
        "inventory": {"path": f"../inventories/{place.id}.gpkg", "layer": "landslides", "date_field": "event_date"},
        "cover": {"path": f"../cover/{place.id}.tif", "names": dict(COVER_NAMES)},
        "role": role,
    }
    _write_yaml(folder / "cases" / f"{place.id}.yaml", case)


def _write_experiment(folder: Path, chosen: list[Place]) -> None:
    experiment = {
        "id": "simulated-world",
        "title": "Simulated world",
        "preset": "quick",
        "cases": [f"cases/{place.id}.yaml" for place in chosen],
    }
    _write_yaml(folder / "experiment.yaml", experiment)


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False, default_flow_style=None))
