"""Pictures of test scenes: what was there to see, what the ensemble said, and what came of it, side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from landslide.evaluation.evaluate import Backdrop
from landslide.plotting.blend import over, stretched, tinted

Mask = NDArray[np.bool_]
Single = NDArray[np.float32]
Picture = NDArray[np.float64]
"""(y, x, 3), 0 to 1."""
Kind = TypeVar("Kind", bound=np.generic)

PANEL_SIDE = 700
DPI = 150
MIN_COLUMN = 420  # pixels a column has across, for its title and key to fit
MARGIN, GAP, TOP, BOTTOM = 14, 16, 66, 84  # pixels of the picture, where columns are the least
LETTERS = 8.5
HATCH = 6
INK, SOFT = "#1d2327", "#5b6670"
STRIPES = (0.62, 0.74)
CHANGE = mpl.colormaps["BrBG"]
GREYS = ListedColormap(mpl.colormaps["gray"](np.linspace(0.25, 0.95, 256)))
PAPER = 233  # the grey that probabilities are laid over
NOTHING, HIT, MISSED, ALARM = "#eceff0", "#0b6e8a", "#f0a202", "#c2255c"
OUTCOMES = (("found", HIT), ("missed", MISSED), ("false alarm", ALARM))


def choose(cases: Mapping[str, float | None], number: int) -> tuple[list[str], list[str]]:
    """The best and the worst `number` parts by F1, best first and worst first.

    Parts without an F1 are left out, ties go by name, and none is in both: of few parts, the best come first.
    """
    scored = sorted((-f1, name) for name, f1 in cases.items() if f1 is not None and math.isfinite(f1))
    names = [name for _, name in scored]
    best = names[:number]
    return best, names[len(best) :][::-1][:number]


def draw(
    path: Path, image: Backdrop, probability: Single, truth: Mask, valid: Mask, threshold: float, caption: str
) -> None:
    """Write three panels as one PNG: the image, the probability, and the outcome of `probability > threshold`.

    Arrays are (y, x) of one part of a scene. Large ones are thinned to at most 700 pixels a side, values by their mean
    and masks by their nearest pixel, but a pixel of the picture is hatched where any in it was not observed.
    """
    step = max(1, math.ceil(max(truth.shape) / PANEL_SIDE))
    grow = max(1, PANEL_SIDE // max(truth.shape)) if step == 1 else 1
    outcome = _outcome(np.asarray(probability > threshold), truth, valid)
    unseen = _grown(_any(~valid | ~np.isfinite(probability), step), grow)
    values, chances = (_grown(_mean(array, step), grow) for array in (image.values, probability))
    colours, key = _tinted(image, values)
    panels = (
        _hatched(colours, ~np.isfinite(values)),
        _hatched(_chance(chances), unseen),
        _hatched(_grown(_nearest(outcome, step), grow), unseen),
    )
    titles, ramp = (image.name, "probability", "outcome"), ListedColormap(_chance(np.linspace(0, 1, 256)[None])[0])
    figure, axes, scale = _canvas(unseen.shape, caption)
    for one, panel, title in zip(axes, panels, titles, strict=True):
        one.imshow(panel, interpolation="nearest")
        one.set_title(title, fontsize=LETTERS * scale, color=INK, loc="left", pad=4 * scale)
    if image.diverging or image.unit:
        _bar(figure, axes[0], key, image.unit, scale)
    _bar(figure, axes[1], ScalarMappable(Normalize(0, 1), ramp), "", scale, threshold)
    _key(figure, axes[2], scale)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})


def _outcome(mapped: Mask, truth: Mask, valid: Mask) -> Picture:
    """Each pixel in the colour of what came of it; what is not valid as what was not mapped."""
    colours = np.array([to_rgb(colour) for colour in (NOTHING, MISSED, ALARM, HIT)])
    picture: Picture = colours[np.where(valid, truth + 2 * mapped, 0)]
    return picture


def _tinted(image: Backdrop, values: Single) -> tuple[Picture, ScalarMappable]:
    """The image in colour, and what its colours mean."""
    known = values[np.isfinite(values)]
    if image.diverging:
        reach = float(np.percentile(np.abs(known), 98)) if known.size else 1.0
        norm, colours = Normalize(-(reach or 1.0), reach or 1.0, clip=True), CHANGE
        return colours(norm(np.nan_to_num(values)))[..., :3], ScalarMappable(norm, colours)
    low, high = np.percentile(known, (2, 98)) if known.size else (0.0, 1.0)
    return GREYS(stretched(values))[..., :3], ScalarMappable(Normalize(low, high), GREYS)


def _chance(probability: NDArray[np.floating]) -> Picture:
    """In the map's colours, on light grey."""
    above = tinted(np.asarray(probability, "float32"))
    picture: Picture = over(np.full_like(above, PAPER), above)[..., :3] / 255.0
    return picture


def _mean(values: Single, step: int) -> Single:
    """(y, x) of squares of `step` pixels: the mean of what is known in each, NaN where nothing is."""
    known = np.isfinite(values)
    sums, counts = (_blocks(array, step).sum((1, 3)) for array in (np.where(known, values, 0), known))
    mean: Single = np.divide(sums, counts, out=np.full(sums.shape, np.nan, "float32"), where=counts > 0)
    return mean


def _any(mask: Mask, step: int) -> Mask:
    return np.asarray(_blocks(mask, step).any((1, 3)))


def _nearest(array: NDArray[Kind], step: int) -> NDArray[Kind]:
    """The middle pixel of each square, or the last one there is."""
    rows, columns = (np.minimum(np.arange(step // 2, side + step // 2, step), side - 1) for side in array.shape[:2])
    nearest: NDArray[Kind] = array[rows[:, None], columns]
    return nearest


def _blocks(array: NDArray[Kind], step: int) -> NDArray[Kind]:
    """(y, step, x, step); squares that reach beyond the array are filled with 0."""
    padded = np.pad(array, [(0, -side % step) for side in array.shape])
    return padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)


def _grown(array: NDArray[Kind], factor: int) -> NDArray[Kind]:
    """Each pixel as a square of `factor` pixels."""
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def _hatched(colours: Picture, unseen: Mask) -> Picture:
    """Grey stripes over what was not observed, as on the map."""
    rows, columns = np.ogrid[: unseen.shape[0], : unseen.shape[1]]
    grey = np.where((rows + columns) // HATCH % 2 == 0, *STRIPES)
    return np.where(unseen[..., None], grey[..., None], colours)


def _canvas(shape: tuple[int, ...], caption: str) -> tuple[Figure, list[Axes], float]:
    """Three empty panels that show an array of `shape` pixel by pixel, centred in their columns.

    Letters and margins grow with the columns, by the factor that is the third result, so that they are legible in a
    page of any picture.
    """
    height, width = shape
    column = max(width, MIN_COLUMN)
    scale = column / MIN_COLUMN
    margin, gap, top, bottom = (round(scale * side) for side in (MARGIN, GAP, TOP, BOTTOM))
    size = 2 * margin + 3 * column + 2 * gap, top + height + bottom
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(margin / size[0], 1 - 8 * scale / size[1], caption, fontsize=10 * scale, weight="bold", color=INK,
                va="top")  # fmt: skip
    axes = []
    for index in range(3):
        left = margin + index * (column + gap) + (column - width) // 2
        axes.append(figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1])))
        axes[-1].axis("off")
    return figure, axes, scale


def _bar(figure: Figure, axes: Axes, key: ScalarMappable, unit: str, scale: float, mark: float | None = None) -> None:
    """A bar of colours under a panel."""
    box, (wide, high) = axes.get_position(), figure.get_size_inches() * DPI
    middle, length = (box.x0 + box.x1) / 2, 0.66 * MIN_COLUMN * scale / wide
    beside = figure.add_axes((middle - length / 2, 48 * scale / high, length, 14 * scale / high))
    bar = figure.colorbar(key, cax=beside, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(4)
    bar.ax.tick_params(labelsize=LETTERS * scale, colors=SOFT, length=2 * scale, pad=2 * scale)
    words: dict[str, Any] = {"transform": bar.ax.transAxes, "fontsize": LETTERS * scale, "va": "center"}
    if unit and unit != "1":
        bar.ax.text(1.04, 0.5, unit, color=SOFT, **words)
    if mark is not None:
        bar.ax.axvline(mark, color=HIT, lw=1.6 * scale)
        bar.ax.text(1.04, 0.5, f"> {mark:.2f}", color=HIT, **words)


def _key(figure: Figure, axes: Axes, scale: float) -> None:
    """What the outcome's colours mean."""
    patches = [Patch(color=colour, label=label) for label, colour in OUTCOMES]
    patches.append(Patch(fc=str(STRIPES[0]), ec=str(STRIPES[1]), hatch="/////", lw=0, label="not observed"))
    box, height = axes.get_position(), figure.get_size_inches()[1] * DPI
    figure.legend(
        handles=patches, loc="center", bbox_to_anchor=((box.x0 + box.x1) / 2, 44 * scale / height), ncol=2,
        frameon=False, fontsize=LETTERS * scale, labelcolor=SOFT, handlelength=1.4, columnspacing=1.4, borderaxespad=0,
    )  # fmt: skip
