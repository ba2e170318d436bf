"""An analytical image, for benchmarks in which reading and computing pixels should cost nothing."""

import numpy as np

from .grids import Grid, Projection
from .pixels import TRUE, Array, RenderContext, Tile
from .pixeltypes import FLOAT
from .values import Image, ImageBand

RAMP = "LOOPBACK/RAMP"
BANDS = 20
STEP, PERIOD, BAND_STEP = 10.0, 4096, 8192
PROJECTION = Projection("EPSG:32654", (10.0, 0.0, 0.0, 0.0, -10.0, 0.0))


def ramp(x: Array, y: Array, band: int) -> Array:
    """Values of band `band` (0 to 19) at coordinates of the requested CRS, exact in float32.

    With columns X = floor(x / 10) mod 4096 and rows Y = floor(-y / 10) mod 4096: X / 4 + Y + 8192 · band.
    """
    columns = np.mod(np.floor(np.asarray(x) / STEP), PERIOD) / 4
    rows = np.mod(np.floor(-np.asarray(y) / STEP), PERIOD) + BAND_STEP * band
    return columns.astype(np.float32) + rows.astype(np.float32)


def ramp_image() -> Image:
    """The image with bands `b0` to `b19`, unmasked everywhere."""
    return Image({"system:index": "RAMP"}, None, tuple(_band(index) for index in range(BANDS)), RAMP, 1)


def _band(index: int) -> ImageBand:
    def compute_tile(render: RenderContext, grid: Grid) -> Tile:
        x, y = grid.centres()
        return Tile(ramp(x, y, index), TRUE)

    return ImageBand(f"b{index}", FLOAT, PROJECTION, compute_tile)
