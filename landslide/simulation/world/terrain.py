"""Terrain: a power-law surface eroded by rivers, with its slope and drainage."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

from .noise import Flags, Floats, Generator, power_law, ramp, rank, smooth
from .places import Place

PIXEL = 10.0  # metres
COARSE_FACTOR = 4  # erosion runs on pixels of 40 m
RIVER_AREA = 0.9e6  # upslope area of a river, m2
UPLIFT = 10.0  # metres a time step
ERODIBILITY = 0.2

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Flow:
    """Drainage of a surface, raveled in C order.

    `receiver` is the index of the cell that each cell drains to (an outlet drains to itself), `order` lists the cells
    from the outlets upstream, `area` is the upslope area in m2.
    """

    receiver: Index
    order: Index
    area: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Terrain:
    """Terrain on a 10 m grid, north up, float32 (rows, columns).

    `elevation` is in metres, `slope` in degrees, `gradient_east` and `gradient_north` in rise over run; `convergence`
    is positive in hollows; `height_above_river` is in metres above the river cell that a pixel drains to. `descent` is
    the flow direction, int8 (2, rows, columns): the step in rows and in columns, 0 and 0 where water leaves the grid.
    """

    elevation: Floats
    slope: Floats
    gradient_east: Floats
    gradient_north: Floats
    convergence: Floats
    height_above_river: Floats
    river: Flags
    descent: npt.NDArray[np.int8]


def make_terrain(rng: Generator, shape: tuple[int, int], place: Place) -> Terrain:
    """Terrain with the place's steepness, roughness and valley floors. Every cell drains off the grid."""
    coarse = tuple(-(-length // COARSE_FACTOR) for length in shape)
    carved = _valley_floors(_carve(rng, (coarse[0], coarse[1])), place.valley_floor)
    fine = ndimage.zoom(carved, COARSE_FACTOR, order=3, mode="nearest", grid_mode=True)[: shape[0], : shape[1]].astype(
        np.float32
    )
    fine = _steepen(smooth(fine, 1.5), place.steepness)
    relief = np.ptp(fine)
    detail = power_law(rng, shape, 3.2, cutoff=1 / 40) * (0.004 + 0.012 * place.roughness) * relief
    elevation = place.base_elevation + fine - fine.min() + detail * ramp(_slope(*_gradient(fine)), 3, 25)
    return derive_terrain(smooth(elevation.astype(np.float32), 0.8))


def derive_terrain(elevation: Floats) -> Terrain:
    """Slope, drainage and rivers of an elevation in metres on the 10 m grid."""
    flow = drainage(elevation, PIXEL)
    area = flow.area.reshape(elevation.shape)
    river = ndimage.binary_dilation(area > RIVER_AREA) | (area > RIVER_AREA / 3)
    east, north = _gradient(elevation)
    return Terrain(
        elevation=elevation,
        slope=_slope(east, north),
        gradient_east=east,
        gradient_north=north,
        convergence=_convergence(elevation),
        height_above_river=elevation - _drained_to(flow, river.ravel(), elevation),
        river=river,
        descent=_descent_steps(flow, elevation.shape),
    )


def drainage(elevation: Floats, pixel: float) -> Flow:
    """Drainage that routes every cell off the grid over its lowest pass.

    The minimax path from a cell to the edge lies on the minimum spanning tree of the grid's 8-neighbour graph, whose
    links are weighted by the elevation of their higher end. A small bonus for the drop makes the tree follow the
    steepest descent where there is one. Outlets are the lowest fifth of the edge: with the whole edge as outlet, the
    relief would be cut into small coastal streams.

    Args:
        elevation: Elevation in metres, (rows, columns).
        pixel: Pixel size in metres.
    """
    height = elevation.ravel().astype(np.float64)
    height = height - height.min() + 1
    start, end, weight = _links(height, elevation.shape)
    outside = np.flatnonzero(_outlets(elevation))
    start = np.concatenate([start, np.full(outside.size, height.size)])
    end = np.concatenate([end, outside])
    weight = np.concatenate([weight, height[outside] * 1e-6 + 1e-9])
    graph = coo_matrix((weight, (start, end)), shape=(height.size + 1, height.size + 1)).tocsr()
    order, before = breadth_first_order(minimum_spanning_tree(graph), height.size, directed=False)
    receiver = np.where(before[:-1] == height.size, np.arange(height.size), before[:-1]).astype(np.int64)
    order = order[1:].astype(np.int64)
    return Flow(receiver, order, _accumulate(receiver, order, pixel**2))


def _links(height: npt.NDArray[np.float64], shape: tuple[int, ...]) -> tuple[Index, Index, npt.NDArray[np.float64]]:
    cells = np.arange(height.size).reshape(shape)
    pairs = [
        (cells[:, :-1], cells[:, 1:], 1.0),
        (cells[:-1], cells[1:], 1.0),
        (cells[:-1, :-1], cells[1:, 1:], np.sqrt(2)),
        (cells[:-1, 1:], cells[1:, :-1], np.sqrt(2)),
    ]
    start = np.concatenate([first.ravel() for first, _, _ in pairs])
    end = np.concatenate([second.ravel() for _, second, _ in pairs])
    length = np.concatenate([np.full(first.size, distance) for first, _, distance in pairs])
    higher = np.maximum(height[start], height[end])
    drop = higher - np.minimum(height[start], height[end])
    return start, end, higher - 1e-4 * drop / length


def _outlets(elevation: Floats) -> Flags:
    edge = np.ones(elevation.shape, bool)
    edge[1:-1, 1:-1] = False
    return edge & (elevation <= np.percentile(elevation[edge], 20))


def _accumulate(receiver: Index, order: Index, cell: float) -> npt.NDArray[np.float64]:
    area, target = [cell] * receiver.size, receiver.tolist()
    for index in reversed(order.tolist()):
        if target[index] != index:
            area[target[index]] += area[index]
    return np.asarray(area)


def _carve(rng: Generator, shape: tuple[int, int], steps: int = 28) -> Floats:
    """A power-law surface after river incision and hillslope diffusion.

    Incision follows the stream power law dz/dt = U - K A^0.5 S, implicit in time (Braun & Willett 2013, Geomorphology
    180, eq. 22).
    """
    surface = power_law(rng, shape, 3.4)
    uplift = (1 + 0.8 * rank(power_law(rng, shape, 3.0))).ravel()
    tilt = np.add.outer(np.linspace(-1, 1, shape[0]), rng.choice([-1, 1]) * np.linspace(-1, 1, shape[1]))
    surface = (UPLIFT * 6 * (surface + rng.choice([-1, 1]) * tilt)).astype(np.float32)
    pixel = PIXEL * COARSE_FACTOR
    for _ in range(steps):
        flow = drainage(surface, pixel)
        factor = ERODIBILITY * np.sqrt(flow.area) / pixel
        surface = smooth(_incise(surface.ravel(), UPLIFT * uplift, factor, flow).reshape(shape), 0.45)
    return surface


def _incise(height: Floats, uplift: Floats, factor: npt.NDArray[np.float64], flow: Flow) -> Floats:
    new, target, rate = (height + uplift).tolist(), flow.receiver.tolist(), factor.tolist()
    base = height.tolist()
    for index in flow.order.tolist():
        if target[index] == index:
            new[index] = base[index]
        elif new[index] > new[target[index]]:
            new[index] = (new[index] + rate[index] * new[target[index]]) / (1 + rate[index])
    return np.asarray(new, np.float32)


def _steepen(elevation: Floats, steepness: float) -> Floats:
    """Scale the relief until the 75th percentile of slope is `steepness` degrees."""
    current = np.percentile(np.hypot(*_gradient(elevation)), 75)
    return np.asarray(elevation * np.tan(np.radians(steepness)) / current, np.float32)


def _valley_floors(elevation: Floats, share: float) -> Floats:
    """Flatten the ground next to rivers: the height h above the river is lowered to about sqrt(h^2 + d^2) - d, where d
    is `share` times the relief."""
    flow = drainage(elevation, PIXEL * COARSE_FACTOR)
    above = np.maximum(elevation - _drained_to(flow, flow.area > RIVER_AREA, elevation), 0)
    depth = share * float(np.ptp(elevation))
    return elevation - smooth(above - np.hypot(above, depth) + depth, 0.7)


def _gradient(elevation: Floats) -> tuple[Floats, Floats]:
    down, right = np.gradient(elevation, PIXEL)
    return np.asarray(right, np.float32), np.asarray(-down, np.float32)


def _slope(east: Floats, north: Floats) -> Floats:
    return np.degrees(np.arctan(np.hypot(east, north))).astype(np.float32)


def _convergence(elevation: Floats) -> Floats:
    curvature = ndimage.laplace(smooth(elevation, 3.0), mode="nearest")
    return np.asarray(curvature / max(float(curvature.std()), 1e-6), np.float32)


def _descent_steps(flow: Flow, shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    below = np.stack(np.unravel_index(flow.receiver, shape))
    return (below.reshape(2, *shape) - np.indices(shape)).astype(np.int8)


def _drained_to(flow: Flow, river: Flags, elevation: Floats) -> Floats:
    """Elevation of the river cell that each cell drains to, found by pointer doubling along the receivers."""
    target = np.where(river, np.arange(river.size), flow.receiver)
    for _ in range(24):
        next_target = target[target]
        if np.array_equal(next_target, target):
            break
        target = next_target
    return elevation.ravel()[target].reshape(elevation.shape)
