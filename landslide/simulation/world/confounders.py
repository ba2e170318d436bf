"""What else changes between two dates and looks like a landslide to one sensor or another."""

from collections.abc import Callable

import numpy as np
import shapely
from scipy import ndimage

from .changes import Change, Look, Truth, paint, without
from .landscape import Cover, Landscape, green_fraction
from .noise import Floats, Random, power_law, ramp, smooth, uniform
from .terrain import PIXEL

FOREVER = float("inf")


def clear_cuts(random: Random, landscape: Landscape, area: float) -> Change:
    """Felled stands of 0.3-3 ha, on slopes as well, long sides along the contour more often than not; slash and
    undergrowth stay."""
    slope, shape = landscape.terrain.slope, landscape.shape
    forest = ndimage.uniform_filter((landscape.cover == Cover.FOREST).astype(np.float32), 9)
    weight = ramp(forest, 0.6, 1.0) * ramp(slope, 3, 10) * ramp(slope, 42, 30)
    objects: list[tuple[shapely.Geometry, Look]] = []
    for cell in _cells(random, weight, int(area / 2500) + 1):
        if sum(stand.area for stand, _ in objects) >= area:
            break
        row, column = divmod(cell, shape[1])
        contour = np.arctan2(landscape.terrain.east[row, column], landscape.terrain.north[row, column])
        stand = _stand(random, (column + 0.5) * PIXEL, (row + 0.5) * PIXEL, float(contour))
        look = Look(
            onset=_day(random),
            until=FOREVER,
            green=float(random.uniform(0.08, 0.45)),
            tone=float(random.lognormal(np.log(0.8), 0.2)),
            rough=float(random.normal(0, 0.8)),
        )
        objects.append((stand, look))
    felled = paint(Truth.CLEAR_CUT, shape, objects)
    return without(felled, (landscape.cover != Cover.FOREST).astype(np.float32))


def harvests(random: Random, landscape: Landscape, area: float) -> Change:
    """Grown parcels cut and ploughed: dark rough soil or bright smooth stubble."""
    sizes = np.bincount(landscape.parcel.ravel()) * PIXEL**2
    sizes[0] = 0
    green = np.bincount(landscape.parcel.ravel(), green_fraction(landscape, landscape.place.event_date).ravel())
    ripe = green * PIXEL**2 / np.maximum(sizes, 1)
    grown = np.flatnonzero((sizes >= 1500) & (ripe > 0.35))
    chosen = random.permutation(grown)
    chosen = chosen[: np.searchsorted(np.cumsum(sizes[chosen]), area) + 1]
    count = sizes.size
    ploughed = random.random(count) < 0.6
    layers = {
        "onset": random.uniform(-25, 25, count),
        "until": np.full(count, FOREVER),
        "green": random.uniform(0.02, 0.2, count),
        "tone": np.where(ploughed, random.uniform(0.6, 1.0, count), random.uniform(1.1, 1.6, count)),
        "rough": np.where(ploughed, random.normal(2.0, 0.8, count), random.normal(-1.0, 0.6, count)),
    }
    fraction = np.isin(landscape.parcel, chosen).astype(np.float32)
    spread = {name: values.astype(np.float32)[landscape.parcel] for name, values in layers.items()}
    return Change(Truth.HARVEST, fraction, **spread)


def floods(random: Random, landscape: Landscape, area: float) -> Change:
    """Banks under water from the event on for weeks, then mud."""
    terrain = landscape.terrain
    reach = uniform(power_law(random, landscape.shape, 3.0))
    above = smooth(terrain.above_river, 1.5) / (0.1 + reach**2)
    banks = np.where((smooth(terrain.slope, 1.5) < 16) & ~terrain.river, above, np.float32(np.inf))
    fraction = _lowest(banks, area, limit=14.0)
    onset, dries = random.uniform(-2, 0.5), random.uniform(12, 30) + 25 * reach
    return _even(Truth.FLOOD, fraction, onset, dries.astype(np.float32), green=0.08, tone=0.75)


def snow(random: Random, landscape: Landscape, area: float) -> Change:
    """Patches on high and shaded ground, from some weeks after the event on, with ragged edges."""
    terrain = landscape.terrain
    pole = np.sign(landscape.place.latitude)
    shade = -pole * terrain.north
    height = ramp(terrain.elevation, terrain.elevation.min(), terrain.elevation.max())
    lie = height + 0.35 * shade + 0.12 * power_law(random, landscape.shape, 2.2)
    fraction = _lowest(-lie, area, limit=np.inf)
    fraction = np.clip(smooth(fraction, 1.0), 0, 1)
    falls, melts = random.uniform(3, 15), np.float32(random.uniform(35, 55))
    return _even(Truth.SNOW, fraction, falls, melts + 10 * height, green=0.0, tone=1.0)


CONFOUNDERS: dict[Truth, Callable[[Random, Landscape, float], Change]] = {
    Truth.CLEAR_CUT: clear_cuts,
    Truth.HARVEST: harvests,
    Truth.FLOOD: floods,
    Truth.SNOW: snow,
}


def _even(kind: Truth, fraction: Floats, onset: float, until: Floats, green: float, tone: float) -> Change:
    full = np.ones(fraction.shape, np.float32)
    return Change(kind, fraction, full * np.float32(onset), full * until, full * green, full * tone, full * 0)


def _lowest(values: Floats, area: float, limit: float) -> Floats:
    """1 on the lowest values below the limit until they cover the area (m2), else 0."""
    count = min(int(area / PIXEL**2), values.size - 1)
    level = np.partition(values, count, axis=None)[count]
    return np.asarray((values < level) & (values < limit), np.float32)


def _cells(random: Random, weight: Floats, count: int) -> list[int]:
    candidates = np.flatnonzero(weight)
    keys = random.exponential(size=candidates.size) / weight.ravel()[candidates]
    return candidates[np.argsort(keys, kind="stable")[:count]].tolist()  # type: ignore[no-any-return]


def _stand(random: Random, x: float, y: float, contour: float) -> shapely.Geometry:
    """A quadrilateral with wandering corners, half of the time with a corner left standing."""
    along, across = random.uniform(60, 230) / 2, random.uniform(45, 130) / 2
    corners = np.array([(-along, -across), (along, -across), (along, across), (-along, across)])
    corners *= random.uniform(0.7, 1.2, corners.shape)
    turn = contour + random.normal(0, 0.5)
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    stand = shapely.Polygon(turned + np.array([x, y]))
    if random.random() < 0.5:
        stand = stand.difference(shapely.Point(turned[0] + np.array([x, y])).buffer(0.8 * across))
    return stand


def _day(random: Random) -> float:
    return float(random.uniform(-25, 25))
