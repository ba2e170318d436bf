"""A map as layers of one picture size, read from overviews: what the quicklook and the report draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from landslide.datasets.stack import COUNT_UNKNOWN, SEEN
from landslide.geo.grid import aoi_mask
from landslide.geo.raster import Reader
from landslide.mapping.summary import PART
from landslide.plotting.blend import hillshade, stretched, stripes, to_bytes
from landslide.plotting.style import OUTLINE

if TYPE_CHECKING:
    from pathlib import Path

    import geopandas as gpd
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from landslide.datasets.stack import Stack

MAX_SIDE = 1600
MIN_SIDE = 800
COUNTS = mpl.colormaps["viridis"]


@dataclass(frozen=True)
class Layers:
    """(y, x) arrays on the picture's own grid.

    Args:
        grid: Of the picture.
        shade: Relief, 0-1.
        probability: NaN where not observed.
        inside: Whether a pixel is in the area of interest.
        seen: Usable acquisitions of all sensors, NaN where that is not known.
        outlines: Closed rings of (x, y), in pixels of the picture.
    """

    grid: GeoBox
    shade: NDArray[np.float32]
    probability: NDArray[np.float32]
    inside: NDArray[np.bool_]
    seen: NDArray[np.float32]
    outlines: list[NDArray[np.float64]]

    @property
    def not_observed(self) -> NDArray[np.bool_]:
        """Inside the area of interest and not observed."""
        return self.inside & ~np.isfinite(self.probability)


def layers(stack: Stack, probability: Path, found: gpd.GeoDataFrame) -> Layers:
    """Read a finished map at picture size; `found` are its landslides."""
    with Reader(probability) as reader:
        shape = picture_shape(reader.shape)
        grid = reader.geobox.zoom_to(shape)
        resampling = "average" if shape[0] <= reader.shape[0] else "nearest"
        values = reader.resized(["probability"], shape, resampling)[0]
    with stack.seen(PART) as counts_reader:
        counts = counts_reader.resized(SEEN, shape, "nearest").astype("float32")
    counts[counts == COUNT_UNKNOWN] = np.nan
    known = np.isfinite(counts).any(0)
    return Layers(
        grid=grid,
        shade=_shade(stack, grid),
        probability=values,
        inside=aoi_mask(stack.info.case, grid),
        seen=np.where(known, np.nansum(counts, axis=0), np.float32("nan")),
        outlines=_rings(found, grid),
    )


def picture_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the picture of a scene: at most `MAX_SIDE`; small scenes are enlarged to about `MIN_SIDE`."""
    longest = max(shape)
    factor = min(MAX_SIDE / longest, 1) if longest >= MIN_SIDE else round(MIN_SIDE / longest)
    return max(round(shape[0] * factor), 2), max(round(shape[1] * factor), 2)


def _shade(stack: Stack, grid: GeoBox) -> NDArray[np.float32]:
    """Relief where the stack has terrain, else its first band in grey; 0-1, NaN where unknown."""
    shape = (grid.shape.y, grid.shape.x)
    with stack.reader(PART) as reader:
        resampling = "average" if shape[0] <= reader.shape[0] else "cubic"
        if "elevation" in reader.bands:
            height = reader.resized(["elevation"], shape, resampling)[0]
            south, east = np.gradient(height, abs(grid.affine.e), grid.affine.a)
            return hillshade(-south, east)
        if {"slope", "northness", "eastness"} <= set(reader.bands):
            slope, north, east = reader.resized(["slope", "northness", "eastness"], shape, resampling)
            rise = np.tan(np.radians(slope))
            return hillshade(-rise * north, -rise * east)
        return stretched(reader.resized(reader.bands[:1], shape, resampling)[0])


def _rings(found: gpd.GeoDataFrame, grid: GeoBox) -> list[NDArray[np.float64]]:
    to_pixels = ~grid.affine
    simplified = shapely.simplify(found.geometry.values, abs(grid.affine.a) / 2)
    rings = shapely.get_rings(shapely.get_parts(simplified))
    return [np.column_stack(to_pixels * tuple(shapely.get_coordinates(ring).T)) for ring in rings]


def relief(view: Layers) -> NDArray[np.uint8]:
    """(y, x, 4): relief in light grey, hatched where not observed, clear outside the area of interest."""
    height, width = view.shade.shape
    grey = np.nan_to_num(0.35 + 0.6 * view.shade, nan=0.8)
    grey = np.where(view.not_observed, stripes((height, width)), grey)
    return to_bytes(np.stack([grey, grey, grey, view.inside.astype("float32")], axis=-1))


def acquisitions(view: Layers) -> NDArray[np.uint8]:
    """(y, x, 4): how often each pixel was observed, from dark (never) to light; clear where that is not known."""
    colour = COUNTS(np.nan_to_num(view.seen / max(most_seen(view), 1), nan=0.0))
    colour[..., 3] = np.where(np.isfinite(view.seen) & view.inside, 0.75, 0)
    return to_bytes(colour)


def most_seen(view: Layers) -> int:
    """The greatest number of acquisitions of a pixel; 0 where it is not known."""
    known = view.seen[np.isfinite(view.seen) & view.inside]
    return int(known.max()) if len(known) else 0


def outlines(view: Layers) -> NDArray[np.uint8]:
    """(y, x, 4): the outlines of the landslides."""
    height, width = view.shade.shape
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.add_collection(LineCollection(view.outlines, colors=OUTLINE, linewidths=1.4))
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.array(canvas.buffer_rgba(), "uint8")  # type: ignore[no-untyped-call]
