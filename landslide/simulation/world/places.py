"""The places of the simulated events. They differ in terrain, climate, date and UTM zone."""

from dataclasses import dataclass, replace
from datetime import date


@dataclass(frozen=True)
class Place:
    """A place on Earth with its terrain, climate and event.

    Attributes:
        longitude, latitude: Degrees.
        steepness: 75th percentile of slope, degrees.
        valley_floor: Depth of valley fill as a share of the relief.
        roughness: Amplitude of fine relief, 0-1.
        base_elevation: Lowest elevation, metres.
        forest: Share of wild vegetation that is forest.
        cloudiness: Mean cloud cover of a Sentinel-2 scene, 0-1.
        seasonality: Share of greenness lost in winter.
        peak_green: Largest green fraction of the year.
        soil_brightness: Brightness factor of bare ground.
        regrowth: Green fraction that a landslide regains in 60 days.
        snow_share: Share of the area under temporary snow patches.
        landslide_share: Target share of the area in landslides.
        cloud_concentration: Sum of the two parameters of the beta distribution of cloud cover. Near 0, scenes are
            either clear or overcast.
    """

    id: str
    title: str
    longitude: float
    latitude: float
    event_date: date
    steepness: float
    valley_floor: float
    roughness: float
    base_elevation: float
    forest: float
    cloudiness: float
    seasonality: float
    peak_green: float
    soil_brightness: float
    regrowth: float
    snow_share: float
    landslide_share: float
    cloud_concentration: float = 1.1


PLACES = (
    Place("amber-ridge", "Amber Ridge", 141.6, 42.8, date(2021, 7, 14),
          33.0, 0.16, 0.5, 120, 0.72, 0.42, 0.35, 0.92, 1.00, 0.10, 0.000, 0.034),
    Place("copper-gorge", "Copper Gorge", 171.5, -42.3, date(2022, 11, 9),
          36.0, 0.12, 0.7, 640, 0.52, 0.50, 0.25, 0.85, 0.90, 0.06, 0.020, 0.030),
    Place("willow-basin", "Willow Basin", 9.4, 44.3, date(2019, 10, 21),
          29.0, 0.24, 0.4, 310, 0.58, 0.35, 0.55, 0.88, 1.15, 0.04, 0.010, 0.025),
    Place("thunder-pass", "Thunder Pass", -75.4, 5.6, date(2023, 4, 17),
          34.0, 0.14, 0.6, 1500, 0.62, 0.62, 0.08, 0.97, 0.85, 0.22, 0.000, 0.036),
    Place("saffron-hills", "Saffron Hills", 81.3, 29.2, date(2020, 9, 3),
          37.0, 0.15, 0.6, 980, 0.48, 0.55, 0.30, 0.86, 1.25, 0.12, 0.012, 0.031),
    Place("juniper-range", "Juniper Range", -123.3, 44.6, date(2023, 11, 6),
          32.0, 0.18, 0.5, 260, 0.68, 0.48, 0.40, 0.90, 0.95, 0.05, 0.025, 0.028),
    Place("heron-coast", "Heron Coast", -39.4, -12.8, date(2019, 12, 11),
          28.0, 0.22, 0.4, 60, 0.66, 0.45, 0.12, 0.94, 1.10, 0.18, 0.000, 0.024),
    Place("granite-fork", "Granite Fork", 74.7, 41.6, date(2024, 5, 8),
          38.0, 0.13, 0.8, 1850, 0.34, 0.38, 0.50, 0.78, 1.30, 0.03, 0.035, 0.032),
    Place("lantern-valley", "Lantern Valley", 105.2, 19.6, date(2018, 9, 26),
          35.0, 0.20, 0.6, 420, 0.60, 0.58, 0.15, 0.95, 1.05, 0.20, 0.000, 0.038),
    Place("kestrel-downs", "Kestrel Downs", 32.7, -20.2, date(2022, 3, 15),
          30.0, 0.19, 0.5, 840, 0.45, 0.44, 0.28, 0.87, 1.20, 0.14, 0.000, 0.027),
)  # fmt: skip


def places(count: int) -> list[Place]:
    """The first `count` places. After the last row the table repeats with a numbered id, 2 degrees nearer the equator
    each time."""
    return [_place(index) for index in range(count)]


def _place(index: int) -> Place:
    repeat, row = divmod(index, len(PLACES))
    place = PLACES[row]
    if repeat == 0:
        return place
    shift = -2.0 * repeat if place.latitude > 0 else 2.0 * repeat
    name = f"{place.id}-{repeat + 1}"
    return replace(place, id=name, title=f"{place.title} {repeat + 1}", latitude=place.latitude + shift)
