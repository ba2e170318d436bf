"""The position of the sun."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np


@dataclass(frozen=True)
class Sun:
    """Elevation above the horizon, and azimuth clockwise from north, in radians."""

    elevation: float
    azimuth: float


def sun_at(day: date, latitude: float) -> Sun:
    """Position of the sun at 10:30 local solar time, near Sentinel-2's overpass, at a latitude in degrees.

    Declination after Cooper (1969), Solar Energy 12. Elevation and azimuth from the spherical triangle of pole, zenith
    and sun (Duffie and Beckman, Solar Engineering of Thermal Processes, section 1.6).
    """
    declination = np.radians(23.45) * np.sin(2 * np.pi * (284 + day.timetuple().tm_yday) / 365)
    hour_angle, phi = np.radians(-22.5), np.radians(latitude)
    up = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(hour_angle)
    east = -np.cos(declination) * np.sin(hour_angle)
    north = np.sin(declination) * np.cos(phi) - np.cos(declination) * np.sin(phi) * np.cos(hour_angle)
    return Sun(float(np.arcsin(up)), float(np.arctan2(east, north)))
