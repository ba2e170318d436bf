"""Which satellite passes when over an event, what of the area its swath covers, and the item that comes of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import shapely
from rasterio.features import geometry_mask

from .catalogue import DEM, EO, SAR, SAT, SENTINEL1, SENTINEL2, VIEW, AssetRaster, ItemRecord
from .changes import Change
from .landscape import Cover, Landscape, crop
from .noise import Bytes, Floats, Random, cut
from .sentinel1 import Orbit, radar_geometry, radar_scene, texture_db
from .sentinel2 import BANDS, Optical, clearness, optical_scene
from .site import Site, elevation_in_degrees, mgrs_tile, nearest_in_degrees
from .terrain import PIXEL

WINDOW_DAYS = 60
RADAR_REPEAT = 12
OPTICAL_REPEAT = 5
NEIGHBOUR_REPEAT = 20
BASELINE_04 = date(2022, 1, 25)
OVERCAST = 0.92
UNSCORED = 8
SCORE_STEP = 0.005
RIVER = 3
SCORES = {"nodata": 255, "data_type": "uint8", "scale": SCORE_STEP, "offset": 0.0, "spatial_resolution": 10}


@dataclass(frozen=True)
class Event:
    """A simulated event: its grids, the landscape before, and everything that changed in it."""

    site: Site
    landscape: Landscape
    changes: list[Change]

    @property
    def name(self) -> str:
        return self.landscape.place.id

    def instant(self, day: int, local: time) -> datetime:
        """The moment of a local solar time on a UTC day counted from the event, to the second."""
        place = self.landscape.place
        midnight = datetime.combine(place.event_date + timedelta(days=day), time(), UTC)
        seconds = local.hour * 3600 + local.minute * 60 - round(place.longitude * 240)
        return midnight + timedelta(seconds=seconds % 86_400)


def elevation_item(event: Event) -> ItemRecord:
    """The elevation model and its water body mask (0 land, 3 river); it knows nothing of the landslides."""
    elevation, transform = elevation_in_degrees(event.site, event.landscape.terrain.elevation)
    rows, columns = elevation.shape
    west, north = transform.c, transform.f
    outline = shapely.box(west, north + transform.e * rows, west + transform.a * columns, north)
    band = {"nodata": "nan", "data_type": "float32", "unit": "m"}
    rivers = np.where(event.landscape.cover == Cover.WATER, np.uint8(RIVER), np.uint8(0))
    water = AssetRaster(nearest_in_degrees(event.site, rivers), transform, {"nodata": 255, "data_type": "uint8"})
    return ItemRecord(
        id=f"DEM_{event.name}",
        collection=DEM,
        when=datetime(2021, 4, 22, tzinfo=UTC),
        epsg=4326,
        outline=outline,
        assets={"data": AssetRaster(elevation, transform, band), "wbm": water},
        properties={"gsd": 30, "platform": "tandem-x"},
    )


def radar_items(random: Random, event: Event) -> Iterator[ItemRecord]:
    """Scenes of an ascending and a descending orbit every 12 days; one orbit of some events misses a side of the
    area."""
    landscape, changes = _in_scene(event)
    texture = texture_db(random, landscape)
    evening, morning = time(18, 4), time(5, 52)
    for state, local in (("ascending", evening), ("descending", morning)):
        orbit = Orbit(state, int(random.integers(1, 176)), float(random.uniform(33, 43)))
        radar = cut(radar_geometry(event.landscape.terrain, orbit), event.site.scene)
        share = 0.75 if random.random() < 0.35 else 1.0
        swath, seen = _swath(event.site, share, tilt=-0.2 if state == "ascending" else 0.2)
        start = int(random.integers(0, RADAR_REPEAT))
        for day in _days(start, RADAR_REPEAT):
            bands = radar_scene(random, landscape, changes, radar, texture, day)
            pixels = {name: np.where(seen, power, np.float32(np.nan)) for name, power in bands.items()}
            yield _radar_item(event, orbit, event.instant(day, local), swath, pixels)


def _radar_item(
    event: Event, orbit: Orbit, when: datetime, swath: shapely.Geometry, pixels: dict[str, Floats]
) -> ItemRecord:
    transform = event.site.transform(event.site.scene)
    band = {"nodata": "nan", "data_type": "float32", "unit": "linear", "spatial_resolution": 10}
    return ItemRecord(
        id=f"S1A_IW_RTC_{when:%Y%m%d}_{orbit.state[:3].upper()}_{event.name}",
        collection=SENTINEL1,
        when=when,
        epsg=event.site.epsg,
        outline=swath,
        assets={name: AssetRaster(power, transform, dict(band)) for name, power in pixels.items()},
        properties={
            "platform": "sentinel-1a",
            "constellation": "sentinel-1",
            "instruments": ["c-sar"],
            "sar:instrument_mode": "IW",
            "sar:frequency_band": "C",
            "sar:polarizations": ["VV", "VH"],
            "sar:product_type": "RTC",
            "sat:orbit_state": orbit.state,
            "sat:relative_orbit": orbit.number,
            "view:incidence_angle": round(orbit.incidence, 3),
            "view:azimuth": 90 if orbit.looks_east else 270,
        },
        extensions=(SAR, SAT, VIEW),
    )


def optical_items(random: Random, event: Event) -> Iterator[ItemRecord]:
    """Scenes of one orbit every 5 days and, every 20 days, of a neighbouring orbit that covers part of the
    area; days under closed cloud are left out, as archives filtered by cloud cover leave them out. One in eight has
    no cloud score."""
    landscape, changes = _in_scene(event)
    main = int(random.integers(1, 144))
    orbits = ((main, OPTICAL_REPEAT, 1.0), (main % 143 + 1, NEIGHBOUR_REPEAT, 0.55))
    taken = 0
    for number, repeat, share in orbits:
        swath, seen = _swath(event.site, share, tilt=0.2)
        start = int(random.integers(0, repeat))
        for count, day in enumerate(_days(start, repeat)):
            scene = optical_scene(random, landscape, changes, day)
            if np.mean(scene.cloud > 0.2) < OVERCAST:
                platform = "sentinel-2a" if count % 2 == 0 else "sentinel-2b"
                taken += 1
                scored = taken % UNSCORED != UNSCORED // 2
                yield _optical_item(event, scene, day, platform, number, swath, seen, scored)


def _optical_item(
    event: Event,
    scene: Optical,
    day: int,
    platform: str,
    number: int,
    swath: shapely.Geometry,
    seen: Floats,
    scored: bool,
) -> ItemRecord:
    when = event.instant(day, time(10, 30))
    offset, baseline = (-0.1, "04.00") if when.date() >= BASELINE_04 else (0.0, "03.01")
    numbers = np.clip(np.rint((scene.reflectance - offset) * 10_000), 1, 65_535) * seen
    bands = {
        "nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": offset, "unit": "1", "spatial_resolution": 10
    }  # fmt: skip
    transform = event.site.transform(event.site.scene)
    assets = {
        name: AssetRaster(pixels.astype(np.uint16), transform, dict(bands))
        for name, pixels in zip(BANDS, numbers, strict=True)
    }
    covered = seen[::2, ::2] > 0
    scl = np.where(covered, scene.scl, 0).astype(np.uint8)
    half = event.site.transform(event.site.scene, 2 * PIXEL)
    assets["SCL"] = AssetRaster(scl, half, {"nodata": 0, "data_type": "uint8", "spatial_resolution": 20})
    if scored:
        assets["cs_cdf"] = AssetRaster(_scores(scene, seen), transform, dict(SCORES))
    properties: dict[str, Any] = {
        "platform": platform,
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": round(float(np.isin(scl[covered], (8, 9, 10)).mean() * 100), 2),
        "s2:processing_baseline": baseline,
        "s2:mgrs_tile": mgrs_tile(event.site),
        "sat:orbit_state": "descending",
        "sat:relative_orbit": number,
    }
    return ItemRecord(
        id=f"{platform[0].upper()}{platform[-2:].upper()}_MSIL2A_{when:%Y%m%d}_R{number:03d}_{event.name}",
        collection=SENTINEL2,
        when=when,
        epsg=event.site.epsg,
        outline=swath,
        assets=assets,
        properties=properties,
        extensions=(EO, SAT),
    )


def _scores(scene: Optical, seen: Floats) -> Bytes:
    """The cloud score in steps of `SCORE_STEP`, 255 outside the swath."""
    return np.where(seen > 0, np.rint(clearness(scene) / SCORE_STEP), 255).astype(np.uint8)


def _in_scene(event: Event) -> tuple[Landscape, list[Change]]:
    window = event.site.scene
    return crop(event.landscape, window), [cut(change, window) for change in event.changes]


def _days(start: int, repeat: int) -> list[int]:
    """Days from the event within the windows, the event's own day left out."""
    return [day for day in range(start - WINDOW_DAYS, WINDOW_DAYS + 1, repeat) if day != 0]


def _swath(site: Site, share: float, tilt: float) -> tuple[shapely.Geometry, Floats]:
    """The outline of what a swath covers of the scene, and 1 where it does: the western `share`, cut along a tilted
    edge."""
    left, bottom, right, top = site.bounds(site.scene)
    box = shapely.box(left, bottom, right, top)
    rows, columns = (part.stop - part.start for part in site.scene)
    if share >= 1:
        return box, np.ones((rows, columns), np.float32)
    edge, lean = left + share * (right - left), tilt * (top - bottom) / 2
    far = left - (right - left)
    swath = box.intersection(shapely.Polygon([(far, bottom), (edge - lean, bottom), (edge + lean, top), (far, top)]))
    inside = geometry_mask([swath], (rows // 2, columns // 2), site.transform(site.scene, 2 * PIXEL), invert=True)
    return swath, np.kron(inside, np.ones((2, 2), bool)).astype(np.float32)
