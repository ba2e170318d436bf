"""Landslides: how large, where they start, how they run, and what outline they leave."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import shapely
from scipy import ndimage, stats

from .changes import Change, Look, Truth, paint
from .landscape import Cover, Landscape
from .noise import Flags, Floats, Random, coverage, power_law, ramp
from .places import Place
from .terrain import PIXEL

RHO, SCALE_M2, SHIFT_M2 = 1.40, 1280.0, -132.0
SMALLEST_M2 = 100.0
STOP_SLOPE = 6.0
TRIES = 200  # sources of one slide, before it is given up: too large for the ground, it would use up all

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Slide:
    """One landslide: its outline and the path of its centre line, (n, 2) x and y in metres from the grid's upper left
    corner (y down), from head to toe; the area in m2 and the length of the path in m."""

    outline: shapely.Geometry
    path: Points
    area: float
    run_out: float


def size_law() -> "stats.rv_continuous":
    """Landslide areas in m2 (Malamud et al. 2004, Earth Surf. Process. Landforms 29, eq. 3): p(A) = [a / (A -
    s)]^(rho + 1) exp[-a / (A - s)] / (a Gamma(rho)) with rho = 1.40, a = 1.28e-3 km2, s = -1.32e-4 km2, an inverse
    gamma law moved by s."""
    return stats.invgamma(RHO, loc=SHIFT_M2, scale=SCALE_M2)


def draw_areas(random: Random, total: float, largest: float) -> npt.NDArray[np.float64]:
    """Areas in m2 from the law between 100 m2 (one pixel) and `largest`, as many as fit into `total` in the order
    drawn."""
    law = size_law()
    low, high = law.cdf([SMALLEST_M2, largest])
    areas = law.ppf(random.uniform(low, high, int(total / 400) + 8))
    fitting = np.searchsorted(np.cumsum(areas), total, side="right")
    return areas[: max(int(fitting), 1)]  # type: ignore[no-any-return]


def make_slides(random: Random, landscape: Landscape, window: tuple[slice, slice]) -> list[Slide]:
    """Landslides that start inside the window, largest first, covering about the place's share of it.

    Sources are drawn by slope, convergence, vegetated ground and a patchy trigger (rain cells, shaking); two slides
    hardly overlap.
    """
    rows, columns = (part.stop - part.start for part in window)
    total = landscape.place.landslides * rows * columns * PIXEL**2
    areas = np.sort(draw_areas(random, total, largest=max(0.15 * total, 3000.0)))[::-1]
    inside = np.zeros(landscape.shape, np.float32)
    inside[window] = 1
    sources = iter(_draw_sources(random, source_weight(random, landscape) * inside, 12 * areas.size))
    taken = np.zeros(landscape.shape, bool)
    slides = []
    for area in areas:
        for source in islice(sources, TRIES):
            slide = _slide(random, landscape, source, float(area))
            if slide is not None and _claim(taken, slide):
                slides.append(slide)
                break
    return slides


def source_weight(random: Random, landscape: Landscape) -> Floats:
    """The relative chance of each pixel to be the head of a slide."""
    terrain, shape = landscape.terrain, landscape.shape
    by_slope = ramp(terrain.slope, 20, 40) ** 2
    by_hollow = 0.35 + np.clip(terrain.convergence, 0, 3)
    by_trigger = np.exp(0.9 * power_law(random, shape, 3.0))
    by_cover = np.array([1.0, 1.0, 0.3, 0.08, 0.0], np.float32)[landscape.cover]
    return np.asarray(by_slope * by_hollow * by_trigger * by_cover, np.float32)


def _draw_sources(random: Random, weight: Floats, count: int) -> list[int]:
    """Raveled pixels without repetition, by the exponential race of Efraimidis and Spirakis (2006)."""
    candidates = np.flatnonzero(weight)
    keys = random.exponential(size=candidates.size) / weight.ravel()[candidates]
    return candidates[np.argsort(keys, kind="stable")[:count]].tolist()  # type: ignore[no-any-return]


def _slide(random: Random, landscape: Landscape, source: int, area: float) -> Slide | None:
    elongation = float(np.clip(random.lognormal(np.log(3.2), 0.4), 1.4, 9))
    path = _run_out(random, landscape, source, np.sqrt(area * elongation))
    length = float(np.hypot(*np.diff(path, axis=0).T).sum())
    if area / max(length, 1) > 0.8 * length + 12:
        return None
    outline = _outline(random, path, area)
    return Slide(outline, path, float(outline.area), length)


def _run_out(random: Random, landscape: Landscape, source: int, length: float) -> Points:
    """The path of steepest descent from the source, smoothed, until its length, a river or gentle ground ends it."""
    terrain = landscape.terrain
    row, column = divmod(source, landscape.shape[1])
    cells, walked = [(column, row)], 0.0
    while walked < length:
        down, right = (int(step) for step in terrain.descent[:, row, column])
        below = row + down, column + right
        climbs = terrain.elevation[below] >= terrain.elevation[row, column]
        rests = walked > 30 and terrain.slope[row, column] < STOP_SLOPE
        if climbs or rests or landscape.cover[row, column] == Cover.WATER:
            break
        walked += PIXEL * float(np.hypot(down, right))
        row, column = below
        cells.append((column, row))
    points = (np.array(cells) + 0.5) * PIXEL
    if len(cells) == 1:
        points = np.vstack([points, points + PIXEL * 0.3])
    return _cut(ndimage.gaussian_filter1d(points, 1.5, axis=0, mode="nearest") + random.uniform(-3, 3, 2), length)


def _cut(path: Points, length: float) -> Points:
    line = shapely.LineString(path)
    stations = np.linspace(0, min(length, line.length), max(int(line.length / 12), 3))
    return np.asarray(shapely.get_coordinates(shapely.line_interpolate_point(line, stations)))


def _outline(random: Random, path: Points, area: float) -> shapely.Geometry:
    """Joined discs along the path: a wide scar, a narrower track and a lobe, roughened, scaled to the area."""
    along = np.linspace(0, 1, len(path))
    profile = 1 - random.uniform(0.05, 0.4) * np.exp(-(((along - random.uniform(0.45, 0.65)) / 0.22) ** 2))
    profile *= np.exp(0.18 * ndimage.gaussian_filter1d(random.standard_normal(len(path)), 0.8))
    length = np.hypot(*np.diff(path, axis=0).T).sum()
    scale = area / (2 * length + np.sqrt(area))
    for _ in range(4):
        outline = _sweep(path, scale * profile)
        scale *= (area / outline.area) ** 0.75
    return _sweep(path, scale * profile)


def _sweep(path: Points, radii: npt.NDArray[np.float64]) -> shapely.Geometry:
    discs = shapely.buffer(shapely.points(path), radii, quad_segs=5)
    pairs = shapely.convex_hull(shapely.union(discs[:-1], discs[1:]))
    return shapely.union_all(pairs)


def _claim(taken: Flags, slide: Slide) -> bool:
    window, share = coverage(slide.outline, taken.shape, PIXEL)
    touched = share > 0
    if not touched.any() or taken[window][touched].mean() > 0.1:
        return False
    taken[window] |= touched
    return True


def slide_change(random: Random, slides: list[Slide], shape: tuple[int, int], place: Place) -> Change:
    """Slides as they look: bare debris of varying tone, some keeping rafts of vegetation, rough or smooth to the
    radar."""
    objects = [(slide.outline, _look(random, place)) for slide in slides]
    return paint(Truth.LANDSLIDE, shape, objects)


def _look(random: Random, place: Place) -> Look:
    kept = float(random.beta(1.2, 6.0))
    tone = float(random.lognormal(np.log(1.2), 0.2))
    return Look(onset=0, until=np.inf, green=kept, tone=tone, rough=float(random.normal(0, 1.2)))
