"""Landslides: sizes, source locations, run-out paths and outlines."""

from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import shapely
from scipy import ndimage, stats

from .changes import Appearance, Change, GroundTruth, paint
from .landscape import LandCover, Landscape
from .noise import Flags, Floats, Generator, coverage, power_law, ramp
from .terrain import PIXEL

RHO, SCALE_M2, SHIFT_M2 = 1.40, 1280.0, -132.0
MIN_AREA_M2 = 100.0
STOP_SLOPE = 6.0  # degrees
MAX_SOURCES = 200  # tried for one slide; a slide too large for the terrain would otherwise use them all

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Slide:
    """One landslide.

    `outline` and `path` (the centre line from head to toe, (n, 2) x and y) are in metres from the grid's upper left
    corner, y down; `area` is in m2, `run_out` is the length of the path in metres.
    """

    outline: shapely.Geometry
    path: Points
    area: float
    run_out: float


def size_distribution() -> "stats.rv_continuous":
    """The distribution of landslide areas in m2: an inverse gamma distribution, shifted by s.

    p(A) = [a / (A - s)]^(rho + 1) exp[-a / (A - s)] / (a Gamma(rho)) with rho = 1.40, a = 1.28e-3 km2,
    s = -1.32e-4 km2 (Malamud et al. 2004, Earth Surf. Process. Landforms 29, eq. 3).
    """
    return stats.invgamma(RHO, loc=SHIFT_M2, scale=SCALE_M2)


def draw_areas(rng: Generator, total: float, largest: float) -> npt.NDArray[np.float64]:
    """Areas in m2 drawn from `size_distribution` between 100 m2 (one pixel) and `largest`.

    Areas are drawn until the next one would exceed `total`; there is at least one.
    """
    distribution = size_distribution()
    low, high = distribution.cdf([MIN_AREA_M2, largest])
    areas = distribution.ppf(rng.uniform(low, high, int(total / 400) + 8))
    fitting = np.searchsorted(np.cumsum(areas), total, side="right")
    return areas[: max(int(fitting), 1)]  # type: ignore[no-any-return]


def make_slides(rng: Generator, landscape: Landscape, window: tuple[slice, slice]) -> list[Slide]:
    """Landslides that start inside the window, largest first, and cover about the place's landslide share of it.

    Sources are drawn by slope, convergence, land cover and a patchy trigger (rain cells, shaking). At most a tenth of a
    slide overlaps earlier ones.
    """
    rows, columns = (part.stop - part.start for part in window)
    total = landscape.place.landslide_share * rows * columns * PIXEL**2
    areas = np.sort(draw_areas(rng, total, largest=max(0.15 * total, 3000.0)))[::-1]
    inside = np.zeros(landscape.shape, np.float32)
    inside[window] = 1
    sources = iter(_draw_sources(rng, source_weight(rng, landscape) * inside, 12 * areas.size))
    taken = np.zeros(landscape.shape, bool)
    slides = []
    for area in areas:
        for source in islice(sources, MAX_SOURCES):
            slide = _make_slide(rng, landscape, source, float(area))
            if slide is not None and _claim_pixels(taken, slide):
                slides.append(slide)
                break
    return slides


def source_weight(rng: Generator, landscape: Landscape) -> Floats:
    """The relative probability of each pixel to be the head of a slide, float32 (rows, columns)."""
    terrain, shape = landscape.terrain, landscape.shape
    by_slope = ramp(terrain.slope, 20, 40) ** 2
    by_hollow = 0.35 + np.clip(terrain.convergence, 0, 3)
    by_trigger = np.exp(0.9 * power_law(rng, shape, 3.0))
    by_cover = np.array([1.0, 1.0, 0.3, 0.08, 0.0], np.float32)[landscape.cover]
    return np.asarray(by_slope * by_hollow * by_trigger * by_cover, np.float32)


def _draw_sources(rng: Generator, weight: Floats, count: int) -> list[int]:
    """Raveled pixel indices, weighted sampling without replacement (Efraimidis and Spirakis 2006)."""
    candidates = np.flatnonzero(weight)
    keys = rng.exponential(size=candidates.size) / weight.ravel()[candidates]
    return candidates[np.argsort(keys, kind="stable")[:count]].tolist()  # type: ignore[no-any-return]


def _make_slide(rng: Generator, landscape: Landscape, source: int, area: float) -> Slide | None:
    elongation = float(np.clip(rng.lognormal(np.log(3.2), 0.4), 1.4, 9))
    path = _run_out_path(rng, landscape, source, np.sqrt(area * elongation))
    length = float(np.hypot(*np.diff(path, axis=0).T).sum())
    if area / max(length, 1) > 0.8 * length + 12:
        return None
    outline = _outline(rng, path, area)
    return Slide(outline, path, float(outline.area), length)


def _run_out_path(rng: Generator, landscape: Landscape, source: int, length: float) -> Points:
    """The smoothed path of steepest descent from the source. It ends at its length, in a river or on gentle slopes."""
    terrain = landscape.terrain
    row, column = divmod(source, landscape.shape[1])
    cells, travelled = [(column, row)], 0.0
    while travelled < length:
        down, right = (int(step) for step in terrain.descent[:, row, column])
        below = row + down, column + right
        climbs = terrain.elevation[below] >= terrain.elevation[row, column]
        stops = travelled > 30 and terrain.slope[row, column] < STOP_SLOPE
        if climbs or stops or landscape.cover[row, column] == LandCover.WATER:
            break
        travelled += PIXEL * float(np.hypot(down, right))
        row, column = below
        cells.append((column, row))
    points = (np.array(cells) + 0.5) * PIXEL
    if len(cells) == 1:
        points = np.vstack([points, points + PIXEL * 0.3])
    return _resample_path(
        ndimage.gaussian_filter1d(points, 1.5, axis=0, mode="nearest") + rng.uniform(-3, 3, 2), length
    )


def _resample_path(path: Points, length: float) -> Points:
    line = shapely.LineString(path)
    stations = np.linspace(0, min(length, line.length), max(int(line.length / 12), 3))
    return np.asarray(shapely.get_coordinates(shapely.line_interpolate_point(line, stations)))


def _outline(rng: Generator, path: Points, area: float) -> shapely.Geometry:
    """The union of discs along the path, scaled to the area: a wide scar, a narrower track and a lobe, roughened."""
    along = np.linspace(0, 1, len(path))
    profile = 1 - rng.uniform(0.05, 0.4) * np.exp(-(((along - rng.uniform(0.45, 0.65)) / 0.22) ** 2))
    profile *= np.exp(0.18 * ndimage.gaussian_filter1d(rng.standard_normal(len(path)), 0.8))
    length = np.hypot(*np.diff(path, axis=0).T).sum()
    scale = area / (2 * length + np.sqrt(area))
    for _ in range(4):
        outline = _buffer_path(path, scale * profile)
        scale *= (area / outline.area) ** 0.75
    return _buffer_path(path, scale * profile)


def _buffer_path(path: Points, radii: npt.NDArray[np.float64]) -> shapely.Geometry:
    discs = shapely.buffer(shapely.points(path), radii, quad_segs=5)
    pairs = shapely.convex_hull(shapely.union(discs[:-1], discs[1:]))
    return shapely.union_all(pairs)


def _claim_pixels(taken: Flags, slide: Slide) -> bool:
    window, share = coverage(slide.outline, taken.shape, PIXEL)
    touched = share > 0
    if not touched.any() or taken[window][touched].mean() > 0.1:
        return False
    taken[window] |= touched
    return True


def slide_change(rng: Generator, slides: list[Slide], shape: tuple[int, int]) -> Change:
    """The slides as one change: bare debris of varying brightness and roughness, with some vegetation left."""
    objects = [(slide.outline, _appearance(rng)) for slide in slides]
    return paint(GroundTruth.LANDSLIDE, shape, objects)


def _appearance(rng: Generator) -> Appearance:
    green = float(rng.beta(1.2, 6.0))
    brightness = float(rng.lognormal(np.log(1.2), 0.2))
    return Appearance(onset=0, end=np.inf, green=green, brightness=brightness, roughness_db=float(rng.normal(0, 1.2)))
