"""Where the sun stands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np


@dataclass(frozen=True)
class Sun:
    """Elevation above the horizon and azimuth from north through east, radians."""

    elevation: float
    azimuth: float


def sun_at(day: date, latitude: float) -> Sun:
    """The sun at 10:30 local solar time (Sentinel-2's overpass) at a latitude in degrees.

    Declination by Cooper (1969), Solar Energy 12; elevation and azimuth by the spherical triangle of pole, zenith and
    sun (Duffie and Beckman, Solar Engineering of Thermal Processes, section 1.6).
    """
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day.timetuple().tm_yday) / 365)
    hour, phi = np.radians(-22.5), np.radians(latitude)
    height = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour)
    east = -np.cos(declination) * np.sin(hour)
    north = np.sin(declination) * np.cos(phi) - np.cos(declination) * np.sin(phi) * np.cos(hour)
    return Sun(float(np.arcsin(height)), float(np.arctan2(east, north)))
