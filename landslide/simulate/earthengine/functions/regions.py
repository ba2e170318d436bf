"""Statistics of the pixels in a region."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..blocks import blocks
from ..errors import ApiError
from ..geometry import Geometry
from ..grids import Grid, Projection
from ..pixels import Render, Tile
from ..registry import algorithm
from ..values import Band, Image
from .projecting import _around, scaled
from .reducers import Reducer


@algorithm("Image.reduceRegion")
def reduce_region(
    image: Image, reducer: Reducer, geometry: Geometry | None, scale: float | None, crs: Projection | None,
    crs_transform: list[float] | None, best_effort: bool, max_pixels: int,
) -> dict[str, Any]:  # fmt: skip
    """A reducer over each band's pixels whose centre lies in the region, all weighing the same.

    Keys are the bands' names, or `band_output` where the reducer has several outputs. ApiError for a region without
    bounds or of more than `maxPixels` pixels, unless the best effort may coarsen it.
    """
    region = geometry or image.footprint
    if region is None:
        raise ApiError("Image.reduceRegion: The geometry must be bounded.")
    if not image.bands:
        return {}
    base = crs or image.bands[0].projection
    grid = _around(_scaled(base, crs_transform, scale), region)
    pixels = grid.shape[0] * grid.shape[1]
    if pixels > max_pixels:
        if not best_effort:
            raise ApiError(
                f"Image.reduceRegion: Too many pixels in the region. Found {pixels}, but maxPixels allows only "
                f"{max_pixels}. Ensure that you are not aggregating at a higher resolution than you intended; "
                "otherwise, increase maxPixels or use a coarser scale."
            )
        coarser = grid.projection.scale * float(np.sqrt(pixels / max_pixels)) * 1.01
        grid = _around(scaled(base, None, coarser), region)
    return _statistics(image.bands, reducer, region, grid)


def _scaled(base: Projection, transform: list[float] | None, scale: float | None) -> Projection:
    return base if transform is None and scale is None else scaled(base, transform, scale)


def _statistics(bands: Sequence[Band], reducer: Reducer, region: Geometry, grid: Grid) -> dict[str, Any]:
    found: dict[str, Any] = {}
    gathered: list[list[Any]] = [[] for _ in bands]
    for _, _, part in blocks(grid):
        render = Render()
        inside = render.inside(region, part)
        for place, band in enumerate(bands):
            tile: Tile = band.on(render, part).full(part.shape)
            gathered[place].append(tile.values[tile.mask & inside])
    for band, parts in zip(bands, gathered, strict=True):
        told = reducer.of_list(np.concatenate(parts).tolist())
        for output, value in told.items():
            found[band.name if len(told) == 1 else f"{band.name}_{output}"] = value
    return found
