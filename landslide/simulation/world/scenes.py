"""The satellite passes over an event, the part of the area that each swath covers, and their STAC items."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import shapely
from rasterio.features import geometry_mask

from .catalogue import DEM, EO, SAR, SAT, SENTINEL1, SENTINEL2, VIEW, AssetRaster, ItemRecord
from .changes import Change
from .landscape import LandCover, Landscape, crop_landscape
from .noise import Bytes, Floats, Generator, crop_arrays
from .sentinel1 import Orbit, radar_geometry, radar_scene, texture_db
from .sentinel2 import BANDS, OpticalScene, cloud_score, optical_scene
from .site import Site, elevation_on_dem_grid, mgrs_tile, nearest_on_dem_grid
from .terrain import PIXEL

WINDOW_DAYS = 60  # before and after the event
RADAR_REPEAT = 12  # days
OPTICAL_REPEAT = 5
NEIGHBOUR_REPEAT = 20
BASELINE_04 = date(2022, 1, 25)  # first date of processing baseline 04.00
MAX_CLOUD_COVER = 0.92  # scenes above it are left out of the catalogue
SCORELESS_CYCLE = 8  # one scene of so many has no cloud score
SCORE_STEP = 0.005
WBM_RIVER = 3  # river in the water body mask of the Copernicus DEM
SCORE_BAND = {"nodata": 255, "data_type": "uint8", "scale": SCORE_STEP, "offset": 0.0, "spatial_resolution": 10}


@dataclass(frozen=True)
class Event:
    """A simulated event: its grids, the landscape before it, and all changes of the surface."""

    site: Site
    landscape: Landscape
    changes: list[Change]

    @property
    def name(self) -> str:
        return self.landscape.place.id

    def acquisition_time(self, day: int, local: time) -> datetime:
        """The UTC time, to the second, of a local solar time on a day counted from the event."""
        place = self.landscape.place
        midnight = datetime.combine(place.event_date + timedelta(days=day), time(), UTC)
        seconds = local.hour * 3600 + local.minute * 60 - round(place.longitude * 240)
        return midnight + timedelta(seconds=seconds % 86_400)


def elevation_item(event: Event) -> ItemRecord:
    """The elevation from before the event and its water body mask (0 land, 3 river)."""
    elevation, transform = elevation_on_dem_grid(event.site, event.landscape.terrain.elevation)
    rows, columns = elevation.shape
    west, north = transform.c, transform.f
    outline = shapely.box(west, north + transform.e * rows, west + transform.a * columns, north)
    band = {"nodata": "nan", "data_type": "float32", "unit": "m"}
    rivers = np.where(event.landscape.cover == LandCover.WATER, np.uint8(WBM_RIVER), np.uint8(0))
    water = AssetRaster(nearest_on_dem_grid(event.site, rivers), transform, {"nodata": 255, "data_type": "uint8"})
    return ItemRecord(
        id=f"DEM_{event.name}",
        collection=DEM,
        when=datetime(2021, 4, 22, tzinfo=UTC),
        epsg=4326,
        outline=outline,
        assets={"data": AssetRaster(elevation, transform, band), "wbm": water},
        properties={"gsd": 30, "platform": "tandem-x"},
    )


def radar_items(rng: Generator, event: Event) -> Iterator[ItemRecord]:
    """Scenes of an ascending and a descending orbit every 12 days. A third of the orbits cover a part of the area."""
    landscape, changes = _crop_to_scene(event)
    texture = texture_db(rng, landscape)
    evening, morning = time(18, 4), time(5, 52)
    for state, local in (("ascending", evening), ("descending", morning)):
        orbit = Orbit(state, int(rng.integers(1, 176)), float(rng.uniform(33, 43)))
        radar = crop_arrays(radar_geometry(event.landscape.terrain, orbit), event.site.scene)
        share = 0.75 if rng.random() < 0.35 else 1.0
        swath, in_swath = _swath(event.site, share, tilt=-0.2 if state == "ascending" else 0.2)
        start = int(rng.integers(0, RADAR_REPEAT))
        for day in _days(start, RADAR_REPEAT):
            bands = radar_scene(rng, landscape, changes, radar, texture, day)
            pixels = {name: np.where(in_swath, power, np.float32(np.nan)) for name, power in bands.items()}
            yield _radar_item(event, orbit, event.acquisition_time(day, local), swath, pixels)


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


def optical_items(rng: Generator, event: Event) -> Iterator[ItemRecord]:
    """Scenes of one orbit every 5 days and of a neighbouring orbit, which covers part of the area, every 20 days.

    Overcast scenes are left out, as by an archive's cloud filter. One scene in eight has no cloud score.
    """
    landscape, changes = _crop_to_scene(event)
    main = int(rng.integers(1, 144))
    orbits = ((main, OPTICAL_REPEAT, 1.0), (main % 143 + 1, NEIGHBOUR_REPEAT, 0.55))
    acquired = 0
    for number, repeat, share in orbits:
        swath, in_swath = _swath(event.site, share, tilt=0.2)
        start = int(rng.integers(0, repeat))
        for count, day in enumerate(_days(start, repeat)):
            scene = optical_scene(rng, landscape, changes, day)
            if np.mean(scene.cloud > 0.2) < MAX_CLOUD_COVER:
                platform = "sentinel-2a" if count % 2 == 0 else "sentinel-2b"
                acquired += 1
                scored = acquired % SCORELESS_CYCLE != SCORELESS_CYCLE // 2
                yield _optical_item(event, scene, day, platform, number, swath, in_swath, scored)


def _optical_item(
    event: Event,
    scene: OpticalScene,
    day: int,
    platform: str,
    number: int,
    swath: shapely.Geometry,
    in_swath: Floats,
    scored: bool,
) -> ItemRecord:
    when = event.acquisition_time(day, time(10, 30))
    offset, baseline = (-0.1, "04.00") if when.date() >= BASELINE_04 else (0.0, "03.01")
    assets = _optical_assets(event.site, scene, in_swath, offset)
    if scored:
        transform = event.site.transform(event.site.scene)
        assets["cs_cdf"] = AssetRaster(_quantised_score(scene, in_swath), transform, dict(SCORE_BAND))
    clouds = np.isin(assets["SCL"].pixels, (8, 9, 10))[in_swath[::2, ::2] > 0]
    properties: dict[str, Any] = {
        "platform": platform,
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "eo:cloud_cover": round(float(clouds.mean() * 100), 2),
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


def _optical_assets(site: Site, scene: OpticalScene, in_swath: Floats, offset: float) -> dict[str, AssetRaster]:
    """Reflectance as digital numbers with an offset, and SCL at 20 m; nodata outside the swath."""
    numbers = np.clip(np.rint((scene.reflectance - offset) * 10_000), 1, 65_535) * in_swath
    bands = {
        "nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": offset, "unit": "1", "spatial_resolution": 10
    }  # fmt: skip
    transform = site.transform(site.scene)
    assets = {
        name: AssetRaster(pixels.astype(np.uint16), transform, dict(bands))
        for name, pixels in zip(BANDS, numbers, strict=True)
    }
    scl = np.where(in_swath[::2, ::2] > 0, scene.scl, 0).astype(np.uint8)
    half = site.transform(site.scene, 2 * PIXEL)
    assets["SCL"] = AssetRaster(scl, half, {"nodata": 0, "data_type": "uint8", "spatial_resolution": 20})
    return assets


def _quantised_score(scene: OpticalScene, in_swath: Floats) -> Bytes:
    """The cloud score in steps of `SCORE_STEP`, uint8, 255 outside the swath."""
    return np.where(in_swath > 0, np.rint(cloud_score(scene) / SCORE_STEP), 255).astype(np.uint8)


def _crop_to_scene(event: Event) -> tuple[Landscape, list[Change]]:
    window = event.site.scene
    return crop_landscape(event.landscape, window), [crop_arrays(change, window) for change in event.changes]


def _days(start: int, repeat: int) -> list[int]:
    """Acquisition days, counted from the event, within the windows; without the day of the event."""
    return [day for day in range(start - WINDOW_DAYS, WINDOW_DAYS + 1, repeat) if day != 0]


def _swath(site: Site, share: float, tilt: float) -> tuple[shapely.Geometry, Floats]:
    """The part of the scene inside the swath, its western `share` up to a tilted edge: outline and mask.

    The outline is in the site's UTM zone; the mask is float32 (rows, columns), 1 inside.
    """
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
