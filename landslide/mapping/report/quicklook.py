"""The quicklook: one picture of a map with legend, scale bar, north arrow and what was not observed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from pyproj import Geod, Transformer

from landslide.mapping.report.layers import Layers, relief
from landslide.plotting import text
from landslide.plotting.blend import over, over_grey, tinted
from landslide.plotting.style import DPI, HATCH, INK, MUTED, OUTLINE, write_png

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from landslide.cases.case import Case
    from landslide.mapping.summary import MapSummary

MAP_INCHES = 8.4
MARGINS = (0.75, 0.55, 2.75, 0.95)  # inches: left, bottom, right (legend), top (title)
POINTS, BOLD_LETTER = 72, 0.68  # points an inch; mean width of a bold letter, as a share of its size
TEXT_HALO = [withStroke(linewidth=2.5, foreground="white")]


def quicklook(path: Path, case: Case, view: Layers, summary: MapSummary) -> None:
    """Write the picture, about 1,700 pixels wide, as PNG."""
    height, width = view.shade.shape
    scale = MAP_INCHES / max(height, width)
    wide, tall = max(width * scale, 3.0), max(height * scale, 3.0)
    left, bottom, right, top = MARGINS
    size = (left + wide + right, bottom + tall + top)
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    axes = figure.add_axes((left / size[0], bottom / size[1], wide / size[0], tall / size[1]))
    _draw_map(axes, view)
    _degrees(axes, view.grid)
    _scale_bar(axes, view.grid)
    _north(axes, view.grid)
    _title(figure, case, view.grid, size)
    _legend(figure, axes, summary, (left + wide) / size[0])
    if summary.nothing_observed:
        _not_observed(axes)
    write_png(figure, path)


def _draw_map(axes: Axes, view: Layers) -> None:
    image = over(relief(view), tinted(view.probability))
    height, width = view.shade.shape
    axes.imshow(image, extent=(0, width, height, 0), interpolation="antialiased")
    axes.add_collection(LineCollection(view.outlines, colors=OUTLINE, linewidths=0.8))
    axes.set(xlim=(0, width), ylim=(height, 0), aspect="equal", anchor="NW")
    for spine in axes.spines.values():
        spine.set_edgecolor(MUTED)


def _degrees(axes: Axes, grid: GeoBox) -> None:
    """Ticks at round degrees along the lower and the left edge, where the meridians and parallels meet them."""
    height, width = grid.shape
    to_degrees = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    x, y = np.linspace(0, width, 65), np.linspace(height, 0, 65)
    longitude = [to_degrees.transform(*(grid.affine * (column, height)))[0] for column in x]
    latitude = [to_degrees.transform(*(grid.affine * (0, row)))[1] for row in y]
    for axis, degrees, pixels, names in (
        (axes.xaxis, np.asarray(longitude), x, "WE"),
        (axes.yaxis, np.asarray(latitude), y, "SN"),
    ):
        if np.any(np.diff(degrees) <= 0):  # around a pole
            axis.set_ticks([])
            continue
        ticks, digits = _round_ticks(float(degrees[0]), float(degrees[-1]))
        labels = [f"{abs(tick):.{digits}f}° {names[int(tick >= 0)]}" for tick in ticks]
        axis.set_ticks(np.interp(ticks, degrees, pixels), labels)
    axes.tick_params(colors=MUTED, labelsize=7.5, length=3)
    for label in axes.get_yticklabels():
        label.set(rotation=90, verticalalignment="center")


def _round_ticks(low: float, high: float) -> tuple[NDArray[np.float64], int]:
    """About four round numbers between two, and the digits they need."""
    step = round_below((high - low) / 3)
    digits = max(0, -math.floor(math.log10(step)))
    return np.arange(math.ceil(low / step), math.floor(high / step) + 1, dtype="float64") * step, digits


def round_below(value: float) -> float:
    """The greatest 1, 2 or 5 times a power of ten that is not above a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (5, 2, 1) if factor * power <= value * (1 + 1e-9))


def pixel_metres(grid: GeoBox) -> float:
    """Width of a pixel at the middle of the grid, in metres."""
    to_degrees = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    height, width = grid.shape
    ends = [to_degrees.transform(*(grid.affine * (x, height / 2))) for x in (width / 2 - 0.5, width / 2 + 0.5)]
    return float(Geod(ellps="WGS84").inv(*ends[0], *ends[1])[2])


def _scale_bar(axes: Axes, grid: GeoBox) -> None:
    height, width = grid.shape
    metres = round_below(pixel_metres(grid) * width / 4)
    length = metres / pixel_metres(grid)
    x, y, thick = 0.035 * width, height - 0.035 * width, 0.007 * max(width, height)
    for part, colour in ((0, INK), (0.5, "white")):
        axes.add_patch(
            Rectangle((x + part * length, y - thick), length / 2, thick, facecolor=colour, edgecolor=INK, linewidth=0.8)
        )
    label = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    axes.text(
        x + length / 2, y - 1.6 * thick, label, ha="center", va="bottom", size=9, color=INK, path_effects=TEXT_HALO
    )


def _north(axes: Axes, grid: GeoBox) -> None:
    """An arrow to true north: a few degrees off the grid's in UTM, any direction near a pole."""
    east, north = _true_north(grid)
    length = 30  # points
    axes.annotate(
        "N", xy=(0.94, 0.94), xytext=(-east * length, -north * length), xycoords="axes fraction",
        textcoords="offset points", ha="center", va="center", size=11, weight="bold", color=INK, path_effects=TEXT_HALO,
        arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.6, "path_effects": TEXT_HALO},
    )  # fmt: skip


def _true_north(grid: GeoBox) -> tuple[float, float]:
    """(x, y) unit vector on the grid that points north from its middle."""
    to_degrees = Transformer.from_crs(str(grid.crs), "EPSG:4326", always_xy=True)
    x, y = grid.affine * (grid.shape.x / 2, grid.shape.y / 2)
    longitude, latitude = to_degrees.transform(x, y)
    south = to_degrees.transform(longitude, latitude - 0.001, direction="INVERSE")
    east, north = x - south[0], y - south[1]
    return east / math.hypot(east, north), north / math.hypot(east, north)


def _title(figure: Figure, case: Case, grid: GeoBox, size: tuple[float, float]) -> None:
    left = MARGINS[0] / size[0]
    when = f"Event of {text.day(case.event_date)}" if case.event_date else "Event without a date"
    title = case.title or case.id
    fitting = (size[0] - MARGINS[0] - 0.2) * POINTS / (BOLD_LETTER * len(title))
    figure.text(
        left, 1 - 0.38 / size[1], title, size=min(15, fitting), weight="bold", color=INK, va="center", parse_math=False
    )
    figure.text(left, 1 - 0.7 / size[1], f"{when} · {text.place(grid)}", size=9.5, color=MUTED, va="center")


def _legend(figure: Figure, axes: Axes, summary: MapSummary, right_of_map: float) -> None:
    box = axes.get_position()
    inch = 1 / figure.get_figwidth()
    x, top, up = right_of_map + 0.25 * inch, box.y1, 1 / figure.get_figheight()
    handles = [
        Line2D([], [], color=OUTLINE, linewidth=1.8, label="Landslide outline"),
        Patch(facecolor=HATCH[0], edgecolor=HATCH[1], hatch="////", label="Not observed"),
    ]
    figure.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(x - 0.1 * inch, top), frameon=False, fontsize=9,
        labelcolor=INK, borderaxespad=0, borderpad=0.1,
    )  # fmt: skip
    bar = figure.add_axes((x, top - 0.95 * up, 1.9 * inch, 0.13 * up))
    ramp = ListedColormap(over_grey(np.linspace(0, 1, 256, dtype="float32")[None])[0])
    figure.colorbar(ScalarMappable(Normalize(0, 1), ramp), cax=bar, orientation="horizontal")
    bar.set_title("Landslide probability", size=9, color=INK, loc="left", pad=4)
    bar.tick_params(labelsize=8, colors=MUTED, length=2)
    figure.text(x, top - 1.4 * up, "\n".join(summary_lines(summary)), size=9, color=INK, va="top", linespacing=1.55)


def summary_lines(summary: MapSummary) -> list[str]:
    """The main numbers of a map as short lines."""
    if summary.nothing_observed:
        return ["Nothing was observed.", "This map says nothing", "about landslides here."]
    lines = [f"{text.landslides(summary.landslides)} mapped".capitalize()]
    if summary.landslides:
        lines += [f"{text.area(summary.area_m2['total'])} in all", f"Largest {text.area(summary.area_m2['largest'])}"]
    lines += [
        f"Observed: {text.percent(summary.share_observed)} of the area",
        f"Not observed: {text.percent(1 - summary.share_observed)}",
        f"Mapped where probability > {summary.threshold:g}",
        f"{summary.members} model{'s' * (summary.members != 1)} ({summary.ensemble})",
    ]
    return lines


def _not_observed(axes: Axes) -> None:
    axes.text(
        0.5, 0.5, "NOT OBSERVED\nno statement about landslides", transform=axes.transAxes, ha="center", va="center",
        size=18, weight="bold", color=INK, linespacing=1.4,
        bbox={"facecolor": "white", "edgecolor": INK, "boxstyle": "round,pad=0.6"},
    )  # fmt: skip
