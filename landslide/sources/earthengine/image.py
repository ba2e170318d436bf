"""A case's whole image: the bands it asks for and how often each pixel was seen, as one expression of float32 bands."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import ee
from odc.geo.geobox import GeoBox

from landslide.bands import BAND_SETS
from landslide.cases.case import Case
from landslide.cases.sources import EarthEngineSource
from landslide.errors import BandError
from landslide.sources.base import SEEN
from landslide.sources.compose import COLOURS, optical_bands, radar_bands
from landslide.sources.earthengine.expressions import sentinel1, sentinel2, terrain, water
from landslide.sources.earthengine.scenes import Scene

RADAR, OPTICAL = radar_bands({"vv", "vh"}), optical_bands({*COLOURS})
NODATA = -9999.0  # masked pixels would come back as 0, which is a value
VERSION = 1  # of the expressions; their text is part of what a stack is named by, this is for changes beside it


@dataclass(frozen=True)
class Recipe:
    """What goes into a case's image. Opening looks scenes up; no pixel is computed."""

    geobox: GeoBox
    config: EarthEngineSource
    bands: tuple[str, ...]
    radar: sentinel1.Radar | None
    optical: sentinel2.Optical | None
    dem_tiles: Sequence[str]

    @classmethod
    def of(cls, case: Case, config: EarthEngineSource, geobox: GeoBox) -> "Recipe":
        """The recipe of a case; a sensor that none of the bands needs is not looked at.

        Raises BandError for a band that no chosen sensor gives, and what `scenes.search` raises.
        """
        chosen = bands_of(case, config)
        radar = optical = None
        if config.sentinel1 and {*chosen} & {*RADAR}:
            descent = terrain.descent(geobox, config.dem or "glo30") if config.sentinel1.slope_correction else None
            radar = sentinel1.find(case, geobox, config.sentinel1, descent)
        if config.sentinel2 and {*chosen} & {*OPTICAL}:
            optical = sentinel2.find(case, geobox, config.sentinel2)
        ground = {*chosen} & {*terrain.BANDS}
        dem_tiles = terrain.tiles(case, geobox, config.dem) if config.dem and ground else []
        return cls(geobox, config, chosen, radar, optical, dem_tiles)

    @property
    def scenes(self) -> list[Scene]:
        """All scenes in use, by time."""
        sensors = [sensor for sensor in (self.radar, self.optical) if sensor]
        everything = [scene for sensor in sensors for scene in sensor.scenes]
        return sorted(everything, key=lambda scene: (scene.time, scene.id))

    @property
    def counted(self) -> tuple[str, ...]:
        """The observation counts that the image holds after its bands."""
        sensors = [name for name, there in (("s1", self.radar), ("s2", self.optical)) if there]
        return tuple(key for key in SEEN if key[:2] in sensors)

    @cached_property
    def image(self) -> ee.Image:
        """`bands`, then `counted`: float32, `NODATA` where not observed, counts 0 where nothing was seen."""
        values, counts = [], []
        if self.radar:
            values.append(sentinel1.bands(self.radar))
            counts.append(sentinel1.seen(self.radar))
        if self.config.dem and {*self.bands} & {*terrain.BANDS}:
            values.append(terrain.bands(self.geobox, self.config.dem))
        if self.optical:
            values.append(sentinel2.bands(self.optical, [name for name in OPTICAL if name in self.bands]))
            counts.append(sentinel2.seen(self.optical))
        if self.config.water and "water" in self.bands:
            values.append(water.band(self.geobox, self.config.water))
        image = ee.Image.cat(*values).select(list(self.bands)).toFloat().unmask(NODATA, False)
        if not counts:
            return image
        return image.addBands(ee.Image.cat(*counts).select(list(self.counted)).unmask(0, False).toFloat())


def possible(config: EarthEngineSource) -> tuple[str, ...]:
    """Every band that the chosen sensors can give, in the order of a stack."""
    return (
        *(RADAR if config.sentinel1 else ()),
        *(terrain.BANDS if config.dem else ()),
        *(OPTICAL if config.sentinel2 else ()),
        *(("water",) if config.water else ()),
    )


def bands_of(case: Case, config: EarthEngineSource) -> tuple[str, ...]:
    """The bands a case asks for; by default the paper's that its sensors give, and water where it is set."""
    can = possible(config)
    if config.bands is None:
        return tuple(name for name in can if name in BAND_SETS["all"] or name == "water")
    missing = [name for name in config.bands if name not in can]
    if missing:
        raise BandError(
            f"case {case.id}: Earth Engine with these sensors gives no {missing}; it gives {', '.join(can)}. Correct "
            "`bands`, or add the sensor"
        )
    return config.bands
