"""Write a simulated world to a folder: STAC catalogue, inventories, ground truth, cases and an experiment."""

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
from .changes import COVER_NAMES, Change, GroundTruth, cover_classes, exclude, truth_raster
from .confounders import CONFOUNDERS
from .landscape import Landscape, make_landscape
from .noise import Generator
from .places import Place, places
from .rasters import write_cog
from .scenes import Event, elevation_item, optical_items, radar_items
from .site import Site, make_site
from .slides import Slide, make_slides, slide_change
from .terrain import PIXEL

VERSION = 4
COVER_NODATA = 255
# Fitted to 68 Sentinel-2 dates over 1 km² of Slovenia, 2015-17: mean cover 0.40, 43 % cloud-free, 29 % overcast.
CLOUD_CONCENTRATION = 0.24
MIN_EVENTS, MIN_SIZE = 3, 64
Parameters = dict[str, int | float | None]
# Area of a confounder relative to the area of the landslides.
AREA_RATIOS = {GroundTruth.CLEAR_CUT: 1.25, GroundTruth.HARVEST: 1.2, GroundTruth.FLOOD: 0.25}


@dataclass(frozen=True)
class World:
    """Paths of a simulated world: folder, STAC catalogue, case files in order of their events, experiment file."""

    folder: Path
    catalog: Path
    cases: list[Path]
    experiment: Path


def simulate_world(
    folder: Path, events: int = 6, size: int = 384, seed: int = 0, cloudiness: float | None = None
) -> World:
    """Simulate landslide events and write them to a folder.

    The same events, size, seed, cloudiness and `VERSION` give the same bytes. A folder that already holds the same
    world is left unchanged.

    Args:
        folder: Where the world is written: a new or empty folder, or one with the same world.
        events: Number of events, at least 3: train, validation, test.
        size: Side of the area of interest in pixels of 10 m, approximate; even and at least 64.
        seed: Seed of all random numbers.
        cloudiness: Mean cloud cover of a Sentinel-2 scene over all overpasses, 0 <= cloudiness < 1, the same at every
            place. None: each place has its own, 0.35 to 0.62. With a stated mean, single scenes scatter as in a real
            archive (`CLOUD_CONCENTRATION`): most are nearly clear or nearly overcast, and overcast scenes are left out
            of the catalogue. Only the Sentinel-2 scenes depend on it.

    Returns:
        The paths of the world.

    Raises:
        InputError: The folder holds anything else, an argument is out of range, or the cloudiness leaves an event
            without a Sentinel-2 scene before or after it.
    """
    _validate(events, size, cloudiness)
    requested: Parameters = {"events": events, "size": size, "seed": seed, "cloudiness": cloudiness}
    parameters = {"version": VERSION, **requested}
    folder = Path(folder)
    if folder.exists() and not _is_finished(folder, parameters):
        folder.rmdir()
    chosen = places(events)
    if not folder.exists():
        simulated = chosen
        if cloudiness is not None:
            simulated = [
                replace(place, cloudiness=cloudiness, cloud_concentration=CLOUD_CONCENTRATION) for place in chosen
            ]
        with _atomic_folder(folder) as scratch:
            _write(scratch, size, seed, simulated, parameters)
    return _world(folder, chosen)


def _validate(events: int, size: int, cloudiness: float | None) -> None:
    if events < MIN_EVENTS:
        raise InputError(
            f"A simulated world of {events} events has no train, validation and test case: ask for 3 or more."
        )
    if size < MIN_SIZE or size % 2:
        raise InputError(f"Size {size} px is not an even number of at least {MIN_SIZE}: choose another size.")
    if cloudiness is not None and not 0 <= cloudiness < 1:
        raise InputError(f"Cloudiness {cloudiness:g} is not a mean cloud cover: choose a number from 0 to less than 1.")


def _is_finished(folder: Path, parameters: Parameters) -> bool:
    """True if the folder holds the complete world of these parameters, False if it is empty; InputError otherwise."""
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
def _atomic_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder next to `folder`: renamed to it if the block succeeds, removed if it raises."""
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
        ground_rng, slide_rng, change_rng, radar_rng, optical_rng = map(np.random.default_rng, sequence.spawn(5))
        site = make_site(place, size)
        landscape = make_landscape(ground_rng, site.shape, place)
        slides = make_slides(slide_rng, landscape, site.scene)
        changes = make_changes(change_rng, landscape, slides, site)
        event = Event(site, landscape, changes)
        items.append(write_item(folder, elevation_item(event)))
        items.extend(write_item(folder, record) for record in radar_items(radar_rng, event))
        optical = [write_item(folder, record) for record in optical_items(optical_rng, event)]
        _require_clear_scenes(place, optical)
        items.extend(optical)
        summaries[place.id] = _write_truth(folder, event, slides)
        _write_case(folder, event, role)
    write_catalogue(folder, items)
    _write_experiment(folder, chosen)
    record = {"parameters": parameters, "events": summaries}
    (folder / "world.json").write_text(json.dumps(record, indent=2) + "\n")


def _require_clear_scenes(place: Place, optical: list[pystac.Item]) -> None:
    days = [item.datetime.date() for item in optical if item.datetime is not None]
    if not any(day < place.event_date for day in days) or not any(day > place.event_date for day in days):
        raise InputError(
            f"Cloudiness {place.cloudiness:g} leaves {place.title} no Sentinel-2 scene before or after the event: "
            "choose a lower cloudiness or another seed."
        )


def make_changes(rng: Generator, landscape: Landscape, slides: list[Slide], site: Site) -> list[Change]:
    """The landslides, then every confounder on pixels that no earlier change covers.

    Args:
        rng: Random number generator.
        landscape: The landscape before the event.
        slides: The landslides.
        site: The grids of the event.

    Returns:
        One change for each kind. The area of a confounder is relative to that of the landslides (`AREA_RATIOS`), that
        of snow to the scene.
    """
    changes = [slide_change(rng, slides, landscape.shape)]
    taken = changes[0].fraction.copy()
    scene = np.prod([part.stop - part.start for part in site.scene]) * PIXEL**2
    whole = np.prod(landscape.shape) * PIXEL**2
    for kind, draw in CONFOUNDERS.items():
        relative = AREA_RATIOS.get(kind, 0.0) * landscape.place.landslide_share * scene
        area = landscape.place.snow_share * scene if kind == GroundTruth.SNOW else relative
        if area > 0:
            change = exclude(draw(rng, landscape, area * whole / scene), taken)
            taken = np.maximum(taken, change.fraction)
            changes.append(change)
    return changes


def _write_truth(folder: Path, event: Event, slides: list[Slide]) -> dict[str, Any]:
    """Write ground truth, land cover and inventory of the area of interest; return the summary for `world.json`."""
    site = event.site
    values, transform = truth_raster(event.changes)[site.area], site.transform(site.area)
    cover = cover_classes(event.landscape.cover[site.area], values)
    write_cog(folder / "truth" / f"{event.name}.tif", values, site.epsg, transform, None, "truth")
    write_cog(folder / "cover" / f"{event.name}.tif", cover, site.epsg, transform, COVER_NODATA, "cover")
    _write_inventory(folder / "inventories" / f"{event.name}.gpkg", event, slides)
    counts = np.bincount(values.ravel(), minlength=len(GroundTruth)).tolist()
    return {
        "shape": list(values.shape),
        "pixels": {kind.name.lower(): counts[kind] for kind in GroundTruth},
        "landslides": len(slides),
        "landslide_share": round(counts[GroundTruth.LANDSLIDE] / values.size, 5),
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
