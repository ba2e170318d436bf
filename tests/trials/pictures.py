"""Pictures of the trials on real scenes: satellite images and the map side by side."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from landslide.cases.case import Case
from landslide.datasets.stack import Stack
from landslide.geo.raster import Reader
from landslide.plotting.style import OUTLINE

COLOURS = ("B4", "B3", "B2")
TRUTH = "#111111"
DETAIL = (141.915, 42.712, 141.950, 42.735)  # west, south, east, north: hills south of the Atsuma river
Extent = tuple[float, float, float, float]


def before_and_after(result: Path, data: Path, folder: Path) -> None:
    """`overview.png` and `detail.png`: images before and after, and the map's outlines over the image after.

    `data` holds the folders `pre-event` and `post-event`; `result` is a finished map.
    """
    (before, extent), (after, _) = (_composite(data / f"{side}-event") for side in ("pre", "post"))
    outlines = gpd.read_file(result / "landslides.gpkg").to_crs("EPSG:4326")
    west, south, east, north = extent
    figure = _figure(8, 13.6)
    top, bottom = figure.subplots(2, 1)
    _show(top, after, extent, "After the event")
    mapped = after.copy()
    mapped[np.isnan(before).any(-1)] *= 0.35
    _show(bottom, mapped, extent, "Mapped (outlines); dark: not observed, no image before")
    _outline(bottom, outlines, OUTLINE, 0.5)
    for axes in (top, bottom):
        axes.set(xlim=(west, east), ylim=(south, north))
    _save(figure, folder / "overview.png", 64)

    figure = _figure(15, 5.6)
    for axes, picture, title in zip(
        figure.subplots(1, 3), (before, after, after), ("Before", "After", "After, mapped"), strict=True
    ):
        _show(axes, picture, extent, title)
        axes.set(xlim=DETAIL[::2], ylim=DETAIL[1::2])
    _outline(figure.axes[-1], outlines, OUTLINE, 0.9)
    figure.axes[-1].set(xlim=DETAIL[::2], ylim=DETAIL[1::2])
    _save(figure, folder / "detail.png", 70)


def changes(case: Case, maps: dict[str, Path], stack: Path, folder: Path) -> None:
    """`kaikoura.png`: the change bands, the inventory, and the probability by each band set."""
    names = {"dndvi_median": "Change of NDVI", "rg_change": "Change of red over green"}
    panels: list[tuple[str, NDArray[np.float32], str, float]] = []
    with Stack.open(stack).reader("scene") as reader:
        box, crs = reader.geobox.boundingbox, str(reader.geobox.crs)
        panels += [(title, reader.read([name])[0], "RdBu", 0.6) for name, title in names.items()]
    for band_set, result in maps.items():
        with Reader(result / "probability.tif") as reader:
            panels.append((f"Probability, band set {band_set}", reader.read(["probability"])[0], "inferno_r", 1.0))
    truth = gpd.read_file(case.inventory.path if case.inventory else "").to_crs(crs)
    figure = _figure(13, 13)
    for axes, (title, values, colours, limit) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        low = 0.0 if colours == "inferno_r" else -limit
        axes.imshow(values, cmap=colours, vmin=low, vmax=limit, extent=(box.left, box.right, box.bottom, box.top))
        _outline(axes, truth, TRUTH, 1.2)
        axes.set(title=title, xticks=[], yticks=[])
    _save(figure, folder / "kaikoura.png", 60)


def _composite(folder: Path) -> tuple[NDArray[np.float32], Extent]:
    """(y, x, 3) red, green, blue stretched to 0-1, NaN where there is no image, and west, south, east, north."""
    planes = []
    for colour in COLOURS:
        with rasterio.open(folder / f"download.{colour}.tif") as raster:
            plane = raster.read(1).astype("float32")
            bounds: Extent = tuple(raster.bounds)
        planes.append(np.where(plane > 0, plane, np.nan))
    picture = np.stack(planes, axis=-1)
    low, high = np.nanpercentile(picture, (2, 99), axis=(0, 1))
    return np.clip((picture - low) / (high - low), 0, 1), bounds


def _show(axes: Axes, picture: NDArray[np.float32], bounds: Extent, title: str) -> None:
    west, south, east, north = bounds
    axes.imshow(np.nan_to_num(picture), extent=(west, east, south, north))
    axes.set(title=title, xticks=[], yticks=[])
    axes.set_aspect(1 / np.cos(np.radians((south + north) / 2)))


def _outline(axes: Axes, outlines: gpd.GeoDataFrame, colour: str, width: float) -> None:
    outlines.boundary.plot(ax=axes, color=colour, linewidth=width)
    axes.set(xlabel="", ylabel="")


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path, dpi: int) -> None:
    """Write a PNG of at most 96 colours, to keep it small."""
    figure.savefig(path, dpi=dpi, bbox_inches="tight")
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(96).save(path, optimize=True)
