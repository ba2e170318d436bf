"""Changes other than landslides that resemble one in SAR or optical data."""

from collections.abc import Callable

import numpy as np
import shapely
from scipy import ndimage

from .changes import Appearance, Change, GroundTruth, exclude, paint
from .landscape import LandCover, Landscape, green_fraction
from .noise import Floats, Generator, power_law, ramp, smooth, to_uniform
from .terrain import PIXEL

FOREVER = float("inf")


def clear_cuts(rng: Generator, landscape: Landscape, area: float) -> Change:
    """Forest stands of 0.3-3 ha felled around the event, `area` m2 in total, on slopes too.

    Their long side usually follows the contour. Slash and undergrowth remain.
    """
    slope, shape = landscape.terrain.slope, landscape.shape
    forest = ndimage.uniform_filter((landscape.cover == LandCover.FOREST).astype(np.float32), 9)
    weight = ramp(forest, 0.6, 1.0) * ramp(slope, 3, 10) * ramp(slope, 42, 30)
    objects: list[tuple[shapely.Geometry, Appearance]] = []
    for cell in _cells(rng, weight, int(area / 2500) + 1):
        if sum(stand.area for stand, _ in objects) >= area:
            break
        row, column = divmod(cell, shape[1])
        contour = np.arctan2(
            landscape.terrain.gradient_east[row, column], landscape.terrain.gradient_north[row, column]
        )
        stand = _stand(rng, (column + 0.5) * PIXEL, (row + 0.5) * PIXEL, float(contour))
        appearance = Appearance(
            onset=_day(rng),
            end=FOREVER,
            green=float(rng.uniform(0.08, 0.45)),
            brightness=float(rng.lognormal(np.log(0.8), 0.2)),
            roughness_db=float(rng.normal(0, 0.8)),
        )
        objects.append((stand, appearance))
    felled = paint(GroundTruth.CLEAR_CUT, shape, objects)
    return exclude(felled, (landscape.cover != LandCover.FOREST).astype(np.float32))


def harvests(rng: Generator, landscape: Landscape, area: float) -> Change:
    """Fields harvested around the event, `area` m2 in total: ploughed (dark, rough) or stubble (bright, smooth)."""
    sizes = np.bincount(landscape.parcel.ravel()) * PIXEL**2
    sizes[0] = 0
    green = np.bincount(landscape.parcel.ravel(), green_fraction(landscape, landscape.place.event_date).ravel())
    ripe = green * PIXEL**2 / np.maximum(sizes, 1)
    grown = np.flatnonzero((sizes >= 1500) & (ripe > 0.35))
    chosen = rng.permutation(grown)
    chosen = chosen[: np.searchsorted(np.cumsum(sizes[chosen]), area) + 1]
    count = sizes.size
    ploughed = rng.random(count) < 0.6
    layers = {
        "onset": rng.uniform(-25, 25, count),
        "end": np.full(count, FOREVER),
        "green": rng.uniform(0.02, 0.2, count),
        "brightness": np.where(ploughed, rng.uniform(0.6, 1.0, count), rng.uniform(1.1, 1.6, count)),
        "roughness_db": np.where(ploughed, rng.normal(2.0, 0.8, count), rng.normal(-1.0, 0.6, count)),
    }
    fraction = np.isin(landscape.parcel, chosen).astype(np.float32)
    spread = {name: values.astype(np.float32)[landscape.parcel] for name, values in layers.items()}
    return Change(GroundTruth.HARVEST, fraction, **spread)


def floods(rng: Generator, landscape: Landscape, area: float) -> Change:
    """River banks flooded at the event, `area` m2 in total: under water for weeks, then mud."""
    terrain = landscape.terrain
    extent = to_uniform(power_law(rng, landscape.shape, 3.0))
    height = smooth(terrain.height_above_river, 1.5) / (0.1 + extent**2)
    banks = np.where((smooth(terrain.slope, 1.5) < 16) & ~terrain.river, height, np.float32(np.inf))
    fraction = _lowest(banks, area, limit=14.0)
    onset, end = rng.uniform(-2, 0.5), rng.uniform(12, 30) + 25 * extent
    return _uniform_change(GroundTruth.FLOOD, fraction, onset, end.astype(np.float32), green=0.08, brightness=0.75)


def snow(rng: Generator, landscape: Landscape, area: float) -> Change:
    """Snow patches on high and shaded ground, `area` m2 in total, that fall 3-15 days after the event and melt."""
    terrain = landscape.terrain
    hemisphere = np.sign(landscape.place.latitude)
    shade = -hemisphere * terrain.gradient_north
    height = ramp(terrain.elevation, terrain.elevation.min(), terrain.elevation.max())
    likelihood = height + 0.35 * shade + 0.12 * power_law(rng, landscape.shape, 2.2)
    fraction = _lowest(-likelihood, area, limit=np.inf)
    fraction = np.clip(smooth(fraction, 1.0), 0, 1)
    onset, melt = rng.uniform(3, 15), np.float32(rng.uniform(35, 55))
    return _uniform_change(GroundTruth.SNOW, fraction, onset, melt + 10 * height, green=0.0, brightness=1.0)


CONFOUNDERS: dict[GroundTruth, Callable[[Generator, Landscape, float], Change]] = {
    GroundTruth.CLEAR_CUT: clear_cuts,
    GroundTruth.HARVEST: harvests,
    GroundTruth.FLOOD: floods,
    GroundTruth.SNOW: snow,
}


def _uniform_change(
    kind: GroundTruth, fraction: Floats, onset: float, end: Floats, green: float, brightness: float
) -> Change:
    full = np.ones(fraction.shape, np.float32)
    return Change(kind, fraction, full * np.float32(onset), full * end, full * green, full * brightness, full * 0)


def _lowest(values: Floats, area: float, limit: float) -> Floats:
    """1 on the lowest values, all below `limit`, that together cover `area` m2; 0 elsewhere."""
    count = min(int(area / PIXEL**2), values.size - 1)
    level = np.partition(values, count, axis=None)[count]
    return np.asarray((values < level) & (values < limit), np.float32)


def _cells(rng: Generator, weight: Floats, count: int) -> list[int]:
    candidates = np.flatnonzero(weight)
    keys = rng.exponential(size=candidates.size) / weight.ravel()[candidates]
    return candidates[np.argsort(keys, kind="stable")[:count]].tolist()  # type: ignore[no-any-return]


def _stand(rng: Generator, x: float, y: float, contour: float) -> shapely.Geometry:
    """An irregular quadrilateral around (x, y), in half of the cases without one corner."""
    along, across = rng.uniform(60, 230) / 2, rng.uniform(45, 130) / 2
    corners = np.array([(-along, -across), (along, -across), (along, across), (-along, across)])
    corners *= rng.uniform(0.7, 1.2, corners.shape)
    turn = contour + rng.normal(0, 0.5)
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    stand = shapely.Polygon(turned + np.array([x, y]))
    if rng.random() < 0.5:
        stand = stand.difference(shapely.Point(turned[0] + np.array([x, y])).buffer(0.8 * across))
    return stand


def _day(rng: Generator) -> float:
    return float(rng.uniform(-25, 25))
