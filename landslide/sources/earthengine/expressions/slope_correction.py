"""Radiometric slope correction of Sentinel-1 after Vollrath, Mullissa and Reiche (2020), Remote Sensing 12(11), 1867.

The angular model for volume scattering: gamma naught on a tilted facet relates to that on level ground as
tan(90° - θ + α_r) to tan(90° - θ), with θ the incidence angle on the ellipsoid and α_r the slope's tilt in range,
positive where it faces the radar. Layover (α_r ≥ θ) and shadow (α_r ≤ θ - 90°) are left out.
"""

import math

import ee

HEADING = "platformHeading"
RADIANS = math.pi / 180


def volume(image: ee.Image, power: ee.Image, descent: ee.Image) -> ee.Image:
    """Terrain-flattened gamma naught of a scene's sigma naught, in linear power.

    `image` has the band `angle` (degrees) and the heading (degrees from north), `descent` the bands `north` and `east`
    of `terrain.descent`.
    """
    incidence = image.select("angle").resample("bilinear").multiply(RADIANS)
    towards = ee.Number(image.get(HEADING)).subtract(90)  # the radar looks right: it stands to the left of the ground
    tilt = range_tilt(descent, towards)
    grazing = incidence.multiply(-1).add(math.pi / 2)
    model = grazing.add(tilt).tan().divide(grazing.tan())
    visible = tilt.lt(incidence).And(tilt.gt(grazing.multiply(-1)))
    return power.divide(incidence.cos()).divide(model).updateMask(visible)


def range_tilt(descent: ee.Image, towards: ee.Number) -> ee.Image:
    """The slope's tilt in the plane of the radar's look, radians, positive towards it (Vollrath et al. 2020, eq. 4).

    `towards` is the direction from the ground to the radar, degrees clockwise from north.
    """
    direction = ee.Image.constant(towards).multiply(RADIANS)
    north, east = descent.select("north"), descent.select("east")
    return north.multiply(direction.cos()).add(east.multiply(direction.sin())).atan()
