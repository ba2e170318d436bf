"""Pictures of test scenes: an image, the delivered probability and the outcome side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from landslide.plotting.blend import over_grey, stretched, stripes
from landslide.plotting.style import DPI, FALSE_ALARM, FOUND, HATCH, INK, MISSED, MUTED, NOTHING, write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landslide.evaluation.evaluate import EvaluatedScene, SceneImage

Mask = NDArray[np.bool_]
Single = NDArray[np.float32]
Colours = NDArray[np.float64]
"""(y, x, 3), 0 to 1."""
Kind = TypeVar("Kind", bound=np.generic)

PANEL_SIDE = 700
MIN_COLUMN = 420  # width of a column in pixels that its title and key need
MARGIN, GAP, TOP, BOTTOM = 14, 16, 66, 84  # pixels, where columns have their least width
FONT_SIZE = 8.5
CHANGE = mpl.colormaps["BrBG"]
GREYS = ListedColormap(mpl.colormaps["gray"](np.linspace(0.25, 0.95, 256)))
OUTCOMES = (("found", FOUND), ("missed", MISSED), ("false alarm", FALSE_ALARM))


def best_and_worst(scores: Mapping[str, float | None], number: int) -> tuple[list[str], list[str]]:
    """The names of the best and the worst `number` scenes by F1, best first and worst first.

    Scenes without an F1 are left out, ties go by name, and none is in both: of few scenes, the best come first.
    """
    ranked = sorted((-f1, name) for name, f1 in scores.items() if f1 is not None and math.isfinite(f1))
    names = [name for _, name in ranked]
    best = names[:number]
    return best, names[len(best) :][::-1][:number]


def draw_scene(scene: EvaluatedScene, threshold: float, caption: str, path: Path) -> None:
    """Write three panels as one PNG: the image, the probability, and the outcome of `probability > threshold`.

    Large scenes are thinned to at most 700 pixels a side, values by their mean and masks by their nearest pixel, but a
    pixel of the picture is hatched where any pixel in it was not observed.
    """
    panels, key = _panels(scene, threshold)
    figure, axes, scale = _canvas(panels[0].shape[:2], caption)
    for one, panel, title in zip(axes, panels, (scene.image.name, "probability", "outcome"), strict=True):
        one.imshow(panel, interpolation="nearest")
        one.set_title(title, fontsize=FONT_SIZE * scale, color=INK, loc="left", pad=4 * scale)
    if scene.image.diverging or scene.image.unit:
        _colour_bar(figure, axes[0], key, scale, scene.image.unit)
    ramp = ListedColormap(over_grey(np.linspace(0, 1, 256, dtype="float32")[None])[0])
    _colour_bar(figure, axes[1], ScalarMappable(Normalize(0, 1), ramp), scale, threshold=threshold)
    _legend(figure, axes[2], scale)
    write_png(figure, path)


def _panels(scene: EvaluatedScene, threshold: float) -> tuple[tuple[Colours, ...], ScalarMappable]:
    """The three panels at picture size, and what the colours of the first mean."""
    longest = max(scene.truth.shape)
    step = math.ceil(longest / PANEL_SIDE)
    grow = max(1, PANEL_SIDE // longest)
    outcome = _outcome(np.asarray(scene.probability > threshold), scene.truth, scene.valid)
    unseen = _grown(_any(~scene.valid | ~np.isfinite(scene.probability), step), grow)
    values, probability = (_grown(_mean(array, step), grow) for array in (scene.image.values, scene.probability))
    colours, key = _tinted(scene.image, values)
    panels = (
        _hatched(colours, ~np.isfinite(values)),
        _hatched(over_grey(probability), unseen),
        _hatched(_grown(_nearest(outcome, step), grow), unseen),
    )
    return panels, key


def _outcome(mapped: Mask, truth: Mask, valid: Mask) -> Colours:
    """Each pixel in the colour of its outcome; what is not valid as what was not mapped."""
    colours = np.array([to_rgb(colour) for colour in (NOTHING, MISSED, FALSE_ALARM, FOUND)])
    return np.asarray(colours[np.where(valid, truth + 2 * mapped, 0)])


def _tinted(image: SceneImage, values: Single) -> tuple[Colours, ScalarMappable]:
    """The image in colour, and what its colours mean."""
    known = values[np.isfinite(values)]
    if image.diverging:
        limit = float(np.percentile(np.abs(known), 98)) if known.size else 1.0
        norm = Normalize(-(limit or 1.0), limit or 1.0, clip=True)
        return CHANGE(norm(np.nan_to_num(values)))[..., :3], ScalarMappable(norm, CHANGE)
    low, high = np.percentile(known, (2, 98)) if known.size else (0.0, 1.0)
    return GREYS(stretched(values))[..., :3], ScalarMappable(Normalize(low, high), GREYS)


def _mean(values: Single, step: int) -> Single:
    """(y, x) of squares of `step` pixels: the mean of the known values in each, NaN where none is known."""
    known = np.isfinite(values)
    sums, counts = (_blocks(array, step).sum((1, 3)) for array in (np.where(known, values, 0), known))
    mean: Single = np.divide(sums, counts, out=np.full(sums.shape, np.nan, "float32"), where=counts > 0)
    return mean


def _any(mask: Mask, step: int) -> Mask:
    return np.asarray(_blocks(mask, step).any((1, 3)))


def _nearest(array: NDArray[Kind], step: int) -> NDArray[Kind]:
    """The middle pixel of each square, or the last one of the array."""
    rows, columns = (np.minimum(np.arange(step // 2, side + step // 2, step), side - 1) for side in array.shape[:2])
    nearest: NDArray[Kind] = array[rows[:, None], columns]
    return nearest


def _blocks(array: NDArray[Kind], step: int) -> NDArray[Kind]:
    """(y, step, x, step); squares that extend beyond the array are filled with 0."""
    padded = np.pad(array, [(0, -side % step) for side in array.shape])
    return padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)


def _grown(array: NDArray[Kind], factor: int) -> NDArray[Kind]:
    """Each pixel as a square of `factor` pixels."""
    return array.repeat(factor, axis=0).repeat(factor, axis=1)


def _hatched(colours: Colours, unseen: Mask) -> Colours:
    """Grey stripes over what was not observed, as on the map."""
    height, width = unseen.shape
    return np.where(unseen[..., None], stripes((height, width))[..., None], colours)


def _canvas(shape: tuple[int, ...], caption: str) -> tuple[Figure, list[Axes], float]:
    """Three empty panels that show an array of `shape` pixel by pixel, centred in their columns.

    Text and margins grow with the columns, by the factor that is the third result, so that they are legible when the
    picture is scaled to the width of a page.
    """
    height, width = shape
    column = max(width, MIN_COLUMN)
    scale = column / MIN_COLUMN
    margin, gap, top, bottom = (round(scale * side) for side in (MARGIN, GAP, TOP, BOTTOM))
    size = 2 * margin + 3 * column + 2 * gap, top + height + bottom
    figure = Figure(figsize=(size[0] / DPI, size[1] / DPI), dpi=DPI, facecolor="white")
    figure.text(margin / size[0], 1 - 8 * scale / size[1], caption, fontsize=10 * scale, weight="bold", color=INK,
                va="top")  # fmt: skip
    axes = []
    for index in range(3):
        left = margin + index * (column + gap) + (column - width) // 2
        axes.append(figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1])))
        axes[-1].axis("off")
    return figure, axes, scale


def _colour_bar(
    figure: Figure, panel: Axes, key: ScalarMappable, scale: float, unit: str = "", threshold: float | None = None
) -> None:
    """A bar of colours under a panel, with a unit, or with a mark at a threshold."""
    box, (width, height) = panel.get_position(), figure.get_size_inches() * DPI
    middle, length = (box.x0 + box.x1) / 2, 0.66 * MIN_COLUMN * scale / width
    axes = figure.add_axes((middle - length / 2, 48 * scale / height, length, 14 * scale / height))
    bar = figure.colorbar(key, cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    bar.locator = MaxNLocator(4)
    axes.tick_params(labelsize=FONT_SIZE * scale, colors=MUTED, length=2 * scale, pad=2 * scale)
    text: dict[str, Any] = {"transform": axes.transAxes, "fontsize": FONT_SIZE * scale, "va": "center"}
    if unit and unit != "1":
        axes.text(1.04, 0.5, unit, color=MUTED, **text)
    if threshold is not None:
        axes.axvline(threshold, color=FOUND, lw=1.6 * scale)
        axes.text(1.04, 0.5, f"> {threshold:.2f}", color=FOUND, **text)


def _legend(figure: Figure, panel: Axes, scale: float) -> None:
    """What the outcome's colours mean."""
    patches = [Patch(color=colour, label=label) for label, colour in OUTCOMES]
    patches.append(Patch(fc=HATCH[0], ec=HATCH[1], hatch="/////", lw=0, label="not observed"))
    box, height = panel.get_position(), figure.get_size_inches()[1] * DPI
    figure.legend(
        handles=patches, loc="center", bbox_to_anchor=((box.x0 + box.x1) / 2, 44 * scale / height), ncol=2,
        frameon=False, fontsize=FONT_SIZE * scale, labelcolor=MUTED, handlelength=1.4, columnspacing=1.4,
        borderaxespad=0,
    )  # fmt: skip
