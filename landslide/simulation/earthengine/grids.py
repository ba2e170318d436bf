"""Grids and projections, and the positions of a grid's pixels in a projection.

A projection is a CRS with an affine transform: an infinite lattice of pixels with rows and columns along the axes of
the CRS. A grid is a window of such a lattice.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray

from .replies import ApiError, unsupported

METRES_PER_DEGREE = 111_319.49079327357
TOLERANCE = 1e-6  # pixels

Numbers = NDArray[np.floating[Any]]
AffineCoefficients = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Projection:
    """A CRS (authority code or WKT) and the affine transform (a, b, c, d, e, f) from pixels to the CRS.

    x = a·column + b·row + c, y = d·column + e·row + f. The default pixel is one unit of the CRS.
    """

    crs: str
    transform: AffineCoefficients = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    @property
    def affine(self) -> Affine:
        return Affine(*self.transform)

    def window(self, row: int, column: int, shape: tuple[int, int]) -> "Grid":
        """The grid of `shape` (rows, columns) whose first pixel is pixel (row, column) of the lattice."""
        a, b, c, d, e, f = self.transform
        return Grid(self.crs, (a, b, c + a * column, d, e, f + e * row), shape)


WGS84 = Projection("EPSG:4326")


@dataclass(frozen=True)
class Grid:
    """A window of a lattice: CRS, affine transform and shape (rows, columns)."""

    crs: str
    transform: AffineCoefficients
    shape: tuple[int, int]

    @property
    def affine(self) -> Affine:
        return Affine(*self.transform)

    @property
    def projection(self) -> Projection:
        return Projection(self.crs, self.transform)

    def window(self, row: int, column: int, shape: tuple[int, int]) -> "Grid":
        """A window of the grid; it may extend beyond the grid."""
        return self.projection.window(row, column, shape)

    def pad(self, rows: int, columns: int) -> "Grid":
        """The grid extended by `rows` and `columns` on each side."""
        height, width = self.shape
        return self.window(-rows, -columns, (height + 2 * rows, width + 2 * columns))

    def centres(self) -> tuple[Numbers, Numbers]:
        """x (1, width) and y (height, 1) of the pixel centres."""
        rows = np.arange(self.shape[0])[:, None] + 0.5
        columns = np.arange(self.shape[1])[None, :] + 0.5
        a, _, c, _, e, f = self.transform
        x: Numbers = a * columns + c
        y: Numbers = e * rows + f
        return x, y

    def centres_in(self, crs: str) -> tuple[Numbers, Numbers]:
        """x and y of the pixel centres in another CRS, (height, width); infinite where it is not defined."""
        x, y = (np.broadcast_to(side, self.shape) for side in self.centres())
        moved: tuple[Numbers, Numbers] = transformer(self.crs, crs).transform(x, y)
        return moved


@dataclass(frozen=True)
class PixelPositions:
    """Positions of a grid's pixel centres on a lattice, in pixels of the lattice (pixel 0 extends from 0 to 1).

    `rows` and `columns` broadcast to the grid's shape. `shift` is the (row, column) of the grid's first pixel if the
    grid is a window of the lattice, else None.
    """

    rows: Numbers
    columns: Numbers
    shift: tuple[int, int] | None

    def window(self, margin: int) -> tuple[int, int, tuple[int, int]] | None:
        """First row, first column and shape of the lattice window around all positions; None if none is finite."""
        spans = []
        for positions in (self.rows, self.columns):
            finite = positions[np.isfinite(positions)]
            if not finite.size:
                return None
            low, high = (
                int(np.floor(finite.min() + TOLERANCE)) - margin,
                int(np.floor(finite.max() + TOLERANCE)) + margin,
            )
            spans.append((low, high - low + 1))
        return spans[0][0], spans[1][0], (spans[0][1], spans[1][1])

    def indices(self, row: int, column: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Row and column of the pixels that contain the positions, relative to (row, column); -1 if not finite."""
        return _floor(self.rows, row), _floor(self.columns, column)


def pixel_positions(grid: Grid, projection: Projection) -> PixelPositions:
    """The positions of the grid's pixel centres on the projection's lattice."""
    inverse = ~projection.affine
    if grid.crs == projection.crs:
        x, y = grid.centres()
        rows, columns = _snap_to_half(inverse.e * y + inverse.f), _snap_to_half(inverse.a * x + inverse.c)
        return PixelPositions(rows, columns, _window_offset(rows, columns))
    x, y = grid.centres_in(projection.crs)
    with np.errstate(invalid="ignore"):
        columns, rows = inverse * (x, y)
    return PixelPositions(_snap_to_half(np.asarray(rows)), _snap_to_half(np.asarray(columns)), None)


def pixel_metres(grid: Grid) -> tuple[float, float]:
    """Height and width of a pixel in metres, with degrees converted as at the equator."""
    unit = metres_per_unit(grid.crs)
    return abs(grid.transform[4]) * unit, abs(grid.transform[0]) * unit


@lru_cache(maxsize=256)
def metres_per_unit(crs: str) -> float:
    """The length of a CRS's unit in metres, with degrees converted as at the equator."""
    parsed = pyproj.CRS.from_user_input(crs)
    if parsed.is_geographic:
        return METRES_PER_DEGREE
    return float(parsed.axis_info[0].unit_conversion_factor)


@lru_cache(maxsize=256)
def is_geographic(crs: str) -> bool:
    """Whether the coordinates of a CRS are in degrees."""
    return bool(pyproj.CRS.from_user_input(crs).is_geographic)


@lru_cache(maxsize=256)
def transformer(source: str, target: str) -> Any:
    """A pyproj Transformer between two CRS, with x (east) first."""
    return pyproj.Transformer.from_crs(source, target, always_xy=True)


@lru_cache(maxsize=256)
def crs_code(crs: str) -> str:
    """The authority code of a CRS, or its WKT if it has no code; ValueError if the CRS is invalid."""
    try:
        parsed = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise ValueError(str(error)) from error
    code = parsed.to_authority()
    return ":".join(code) if code else str(parsed.to_wkt())


def axis_aligned(numbers: Iterable[Any]) -> AffineCoefficients:
    """The six coefficients of a transform; ApiError if it is rotated, sheared or not invertible."""
    a, b, c, d, e, f = map(float, numbers)
    if a * e == 0:
        raise ApiError("Invalid grid: the affine transform is not invertible.")
    if b or d:
        raise unsupported("A turned or sheared grid")
    return a, b, c, d, e, f


def _snap_to_half(values: Numbers) -> Numbers:
    """Snap values within the tolerance to multiples of half a pixel, so that rounding does not select the neighbour."""
    near = np.round(values * 2) / 2
    return np.where(np.abs(values - near) < TOLERANCE, near, values)


def _window_offset(rows: Numbers, columns: Numbers) -> tuple[int, int] | None:
    first = []
    for line in (rows.ravel(), columns.ravel()):
        if not np.array_equal(line, line[0] + np.arange(line.size)) or line[0] % 1 != 0.5:
            return None
        first.append(int(np.floor(line[0])))
    return first[0], first[1]


def _floor(values: Numbers, start: int) -> NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(values), np.floor(values) - start, -1).astype(np.int64)
