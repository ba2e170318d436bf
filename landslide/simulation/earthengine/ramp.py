"""An image in closed form, for measuring everything but the reading and computing of pixels."""

import numpy as np

from .grids import Grid, Projection
from .pixels import TRUE, Array, Render, Tile
from .pixeltypes import FLOAT
from .values import Band, Image

RAMP = "LOOPBACK/RAMP"
BANDS = 20
STEP, TURN, LIFT = 10.0, 4096, 8192
PROJECTION = Projection("EPSG:32654", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0))


def ramp(x: Array, y: Array, band: int) -> Array:
    """Values of band `band` (0 to 19) at coordinates of the requested CRS, float32 and exact in it.

    With columns X = floor(x / 10) mod 4096 and rows Y = floor(-y / 10) mod 4096: X / 4 + Y + 8192 · band.
    """
    columns = np.mod(np.floor(np.asarray(x) / STEP), TURN) / 4
    rows = np.mod(np.floor(-np.asarray(y) / STEP), TURN) + LIFT * band
    return columns.astype(np.float32) + rows.astype(np.float32)


def ramp_image() -> Image:
    """Bands `b0` to `b19`, valid everywhere."""
    return Image({"system:index": "RAMP"}, None, tuple(_band(index) for index in range(BANDS)), RAMP, 1)


def _band(index: int) -> Band:
    def pull(render: Render, grid: Grid) -> Tile:
        x, y = grid.centres()
        return Tile(ramp(x, y, index), TRUE)

    return Band(f"b{index}", FLOAT, PROJECTION, pull)
