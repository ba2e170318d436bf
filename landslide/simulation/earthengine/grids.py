"""Grids, projections, and where the pixels of one fall in the other.

A projection is a CRS with an affine transform: an endless lattice of pixels, in rows and columns along the axes of the
CRS. A grid is a window of one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from .replies import ApiError, not_imitated

METRES_PER_DEGREE = 111_319.49079327357
EDGE = 1e-6

Numbers = NDArray[np.floating[Any]]
Six = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Projection:
    """A CRS (authority code or WKT) and the transform a, b, c, d, e, f from pixels to it: x = a·column + b·row + c.

    Without a transform: pixels of one unit of the CRS.
    """

    crs: str
    transform: Six = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    @property
    def affine(self) -> Affine:
        return Affine(*self.transform)

    def window(self, row: int, column: int, shape: tuple[int, int]) -> "Grid":
        """The grid of `shape` (rows, columns) whose first pixel is (row, column) of the lattice."""
        a, b, c, d, e, f = self.transform
        return Grid(self.crs, (a, b, c + a * column, d, e, f + e * row), shape)


WGS84 = Projection("EPSG:4326")


@dataclass(frozen=True)
class Grid:
    """`shape` (rows, columns) of pixels."""

    crs: str
    transform: Six
    shape: tuple[int, int]

    @property
    def affine(self) -> Affine:
        return Affine(*self.transform)

    @property
    def projection(self) -> Projection:
        return Projection(self.crs, self.transform)

    def part(self, row: int, column: int, shape: tuple[int, int]) -> "Grid":
        """A window of the grid, which may reach beyond it."""
        return self.projection.window(row, column, shape)

    def pad(self, rows: int, columns: int) -> "Grid":
        """The grid with so many more pixels on every side."""
        height, width = self.shape
        return self.part(-rows, -columns, (height + 2 * rows, width + 2 * columns))

    def centres(self) -> tuple[Numbers, Numbers]:
        """x and y of the pixels' centres, (1, width) and (height, 1)."""
        rows = np.arange(self.shape[0])[:, None] + 0.5
        columns = np.arange(self.shape[1])[None, :] + 0.5
        a, _, c, _, e, f = self.transform
        x: Numbers = a * columns + c
        y: Numbers = e * rows + f
        return x, y

    def centres_in(self, crs: str) -> tuple[Numbers, Numbers]:
        """The centres in another CRS, (height, width); infinite where they have no place in it."""
        x, y = (np.broadcast_to(side, self.shape) for side in self.centres())
        moved: tuple[Numbers, Numbers] = transformer(self.crs, crs).transform(x, y)
        return moved


@dataclass(frozen=True)
class Places:
    """Where the centres of a grid's pixels fall on a lattice, in its pixels (the first pixel reaches from 0 to 1).

    `rows` and `columns` broadcast to the grid; `shift` is the (row, column) of the grid's first pixel where the grid is
    a window of the lattice, else None.
    """

    rows: Numbers
    columns: Numbers
    shift: tuple[int, int] | None

    def window(self, margin: int) -> tuple[int, int, tuple[int, int]] | None:
        """First row, first column and shape of the part of the lattice that the pixels lie in; None if none does."""
        spans = []
        for places in (self.rows, self.columns):
            finite = places[np.isfinite(places)]
            if not finite.size:
                return None
            low, high = int(np.floor(finite.min() + EDGE)) - margin, int(np.floor(finite.max() + EDGE)) + margin
            spans.append((low, high - low + 1))
        return spans[0][0], spans[1][0], (spans[0][1], spans[1][1])

    def indices(self, row: int, column: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of the pixels that contain the places, counted from (row, column); -1 where there is none."""
        return _floor(self.rows, row), _floor(self.columns, column)


def places(grid: Grid, projection: Projection) -> Places:
    """Where the grid's pixels fall on the projection's lattice."""
    inverse = ~projection.affine
    if grid.crs == projection.crs:
        x, y = grid.centres()
        rows, columns = _tidy(inverse.e * y + inverse.f), _tidy(inverse.a * x + inverse.c)
        return Places(rows, columns, _shift(rows, columns))
    x, y = grid.centres_in(projection.crs)
    with np.errstate(invalid="ignore"):
        columns, rows = inverse * (x, y)
    return Places(_tidy(np.asarray(rows)), _tidy(np.asarray(columns)), None)


def pixel_metres(grid: Grid) -> tuple[float, float]:
    """Height and width of a pixel in metres, the same all over the grid: degrees count as at the equator."""
    unit = metres_per_unit(grid.crs)
    return abs(grid.transform[4]) * unit, abs(grid.transform[0]) * unit


@lru_cache(maxsize=256)
def metres_per_unit(crs: str) -> float:
    """The length of a CRS's unit in metres; a degree as at the equator."""
    parsed = pyproj.CRS.from_user_input(crs)
    if parsed.is_geographic:
        return METRES_PER_DEGREE
    return float(parsed.axis_info[0].unit_conversion_factor)


@lru_cache(maxsize=256)
def geographic(crs: str) -> bool:
    """Whether a CRS counts in degrees."""
    return bool(pyproj.CRS.from_user_input(crs).is_geographic)


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> Any:
    """From one CRS to another, x (east) first."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=256)
def authority(crs: str) -> str:
    """The CRS by its authority's code where it has one, else as WKT; ValueError if it is none."""
    try:
        parsed = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise ValueError(str(error)) from error
    code = parsed.to_authority()
    return ":".join(code) if code else str(parsed.to_wkt())


def upright(numbers: Iterable[Any]) -> Six:
    """The six numbers of a transform; ApiError where it turns or shears, or has no area."""
    a, b, c, d, e, f = map(float, numbers)
    if a * e == 0:
        raise ApiError("Invalid grid: the affine transform is not invertible.")
    if b or d:
        raise not_imitated("A turned or sheared grid")
    return a, b, c, d, e, f


def _tidy(values: Numbers) -> Numbers:
    """Values next to a whole or half pixel put on it, so that rounding does not decide between neighbours."""
    near = np.round(values * 2) / 2
    return np.where(np.abs(values - near) < EDGE, near, values)


def _shift(rows: Numbers, columns: Numbers) -> tuple[int, int] | None:
    first = []
    for line in (rows.ravel(), columns.ravel()):
        if not np.array_equal(line, line[0] + np.arange(line.size)) or line[0] % 1 != 0.5:
            return None
        first.append(int(np.floor(line[0])))
    return first[0], first[1]


def _floor(values: Numbers, start: int) -> NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(values), np.floor(values) - start, -1).astype(np.int64)
