"""Large grids in blocks, so that memory does not grow with what is asked for."""

from collections.abc import Iterator

from .grids import Grid

BLOCK = 256


def blocks(grid: Grid, side: int = BLOCK) -> Iterator[tuple[slice, slice, Grid]]:
    """Rows, columns and grid of blocks of at most `side` pixels, in reading order."""
    height, width = grid.shape
    for row in range(0, height, side):
        for column in range(0, width, side):
            shape = min(side, height - row), min(side, width - column)
            yield slice(row, row + shape[0]), slice(column, column + shape[1]), grid.part(row, column, shape)
