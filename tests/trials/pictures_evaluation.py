"""Pictures of docs/evaluation.md, from made-up events: `python -m tests.trials.pictures_evaluation docs/pictures`."""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage, special

from landslide.metrics.bootstrap import Interval, over_events, over_landslides, unit_counts
from landslide.metrics.objects import SHARES, Objects, half_detected, logistic, object_scores
from landslide.metrics.pixel import SCORES
from landslide.metrics.ranking import at_precision, average_precision, best_f, curve, histogram, min_cost
from landslide.plotting.style import ACCENT, INK, LIGHT, NOTHING, PALE, WARM
from landslide.simulation.world.slides import draw_areas

PIXEL_M2, SIDE = 100.0, 512
BEYOND, ALARM, MISSED = "#b9dbe5", "#eba998", "#cfd6d9"  # pale areas under coloured outlines
EVENTS = {"A": 1.6, "B": 1.1, "C": 0.8, "D": 1.3, "E": 0.55, "F": 1.0}
MINIMUM_M2 = 300
EDGES = [100.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5]  # of the size classes, as far as they are drawn
Scene = tuple[NDArray[np.bool_], NDArray[np.float64]]


def made_up(random: np.random.Generator, skill: float) -> Scene:
    """Truth and probability (y, x): ellipses with the areas of landslides, larger ones with a stronger signal."""
    truth, signal = np.zeros((SIDE, SIDE), bool), np.zeros((SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE]
    for area in draw_areas(random, total=0.03 * SIDE**2 * PIXEL_M2, largest=2e5):
        row, column, turn = random.uniform(0, SIDE), random.uniform(0, SIDE), random.uniform(0, np.pi)
        stretch = random.uniform(1.3, 2.8)
        along = (x - column) * np.cos(turn) + (y - row) * np.sin(turn)
        across = (y - row) * np.cos(turn) - (x - column) * np.sin(turn)
        inside = (along / stretch) ** 2 + (across * stretch) ** 2 <= area / PIXEL_M2 / np.pi
        truth |= inside
        signal = np.where(inside, np.maximum(signal, skill * random.lognormal(0, 0.35)), signal)
    noise = ndimage.gaussian_filter(random.normal(size=truth.shape), 2.2)
    evidence = 5.4 * ndimage.gaussian_filter(signal, 1.3) + 1.05 * noise / noise.std() - 3.1
    return truth, special.expit(1.35 * evidence)


def mapped_of(probability: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """A map as delivered: above the threshold, without patches below the minimum mapping unit."""
    labels, _ = ndimage.label(probability > threshold, np.ones((3, 3)))
    large = np.bincount(labels.ravel()) * PIXEL_M2 >= MINIMUM_M2
    large[0] = False
    return np.asarray(large[labels])


def objects_picture(scenes: dict[str, Scene], threshold: float, path: Path) -> None:
    """A detail of a map, object by object, and how the detection rate grows with size."""
    figure = _figure(11.5, 5.3)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    truth, probability = scenes["B"]
    window = np.s_[92:200, 300:408]
    _detail(left, truth[window], mapped_of(probability, threshold)[window])
    events = {
        name: Objects.of(mapped_of(p, threshold), truth, np.ones_like(truth), PIXEL_M2)
        for name, (truth, p) in scenes.items()
    }
    _by_size(right, events)
    _save(figure, path)


def _detail(axes: Axes, truth: NDArray[np.bool_], mapped: NDArray[np.bool_]) -> None:
    picture = np.full((*truth.shape, 3), _rgb(NOTHING))
    patches, number = ndimage.label(mapped, np.ones((3, 3)))
    on_truth = ndimage.mean(truth, patches, np.arange(1, number + 1))
    false = np.isin(patches, 1 + np.flatnonzero(on_truth < SHARES[0]))
    picture[mapped & ~truth] = _rgb(BEYOND)
    picture[mapped & truth] = _rgb(LIGHT)
    picture[false] = _rgb(ALARM)
    picture[truth & ~mapped] = _rgb(MISSED)
    axes.imshow(picture, interpolation="nearest")
    slides, number = ndimage.label(truth, np.ones((3, 3)))
    for index in range(1, number + 1):
        slide = slides == index
        share = mapped[slide].mean()
        colour = WARM if share < SHARES[0] else INK if share < SHARES[1] else ACCENT
        style = ":" if share < SHARES[0] else "--" if share < SHARES[1] else "-"
        axes.contour(slide, [0.5], colors=colour, linewidths=1.5, linestyles=style)
        if slide.sum() >= 12:
            rows, columns = np.nonzero(slide)
            right = columns.max() + 1.5 < truth.shape[1] - 11
            axes.text(columns.max() + 1.5 if right else columns.min() - 1.5, rows.mean(), f"{share:.0%}", fontsize=8,
                      color=colour, va="center", ha="left" if right else "right")  # fmt: skip
    for label, colour, style in (
        ("found at 50 %", ACCENT, "-"), ("found at 20 % only", INK, "--"), ("missed", WARM, ":"),
    ):  # fmt: skip
        axes.plot([], [], color=colour, ls=style, label=label)
    for label, colour in (("mapped, true", LIGHT), ("mapped beyond", BEYOND), ("false alarm", ALARM)):
        axes.plot([], [], "s", color=colour, ms=8, label=label)
    axes.set(xticks=[], yticks=[])
    axes.set_title("Landslides and how much of each is mapped", fontsize=10, color=INK)
    axes.legend(frameon=False, fontsize=8, ncol=3, loc="upper center", bbox_to_anchor=(0.5, 0), columnspacing=1.2)


def _by_size(axes: Axes, events: dict[str, Objects]) -> None:
    everything = Objects.pooled(events.values())
    for share, colour, shift in zip(SHARES, (LIGHT, ACCENT), (0.94, 1.06), strict=True):
        _rates(axes, everything, share, colour, shift)
        _half(axes, events, share, colour)
    for size, low, high in zip(object_scores(everything, 0.5).sizes, EDGES, EDGES[1:], strict=False):
        axes.text(np.sqrt(low * high), 1.02, f"{size.landslides}", ha="center", fontsize=8, color=INK)
        axes.axvline(high, color=PALE, lw=0.5, ls=":")
    axes.text(0.5, 1.075, "landslides of each size class", transform=axes.transAxes, fontsize=8, color=INK,
              va="center", ha="center")  # fmt: skip
    axes.axhline(0.5, color=PALE, lw=0.8)
    axes.set(xscale="log", xlim=(100, 3e5), ylim=(0, 1), xlabel="area of the landslide, m²", ylabel="share found")
    axes.legend(frameon=False, fontsize=9, loc="center right", bbox_to_anchor=(1, 0.3))
    _plain(axes)


def _rates(axes: Axes, everything: Objects, share: float, colour: str, shift: float) -> None:
    """The detection rate of each size class, and the regression on log area."""
    for size, low, high in zip(object_scores(everything, share).sizes, EDGES, EDGES[1:], strict=False):
        if size.detection_rate is not None:
            error = np.sqrt(size.detection_rate * (1 - size.detection_rate) / size.landslides)
            axes.errorbar(np.sqrt(low * high) * shift, size.detection_rate, error, fmt="o", ms=6, color=colour,
                          mec="white", elinewidth=1)  # fmt: skip
    x, line = np.log10(everything.true_m2), np.geomspace(100, 2e5, 200)
    beta = logistic(x - 3.5, everything.found(share).astype("float64"), np.ones(x.size))
    axes.plot(line, special.expit(beta[0] + beta[1] * (np.log10(line) - 3.5)), color=colour, lw=2,
              label=f"found at {100 * share:.0f} %")  # fmt: skip


def _half(axes: Axes, events: dict[str, Objects], share: float, colour: str) -> None:
    """The area at which half are detected, with its interval."""
    areas, units = size_units(events, share)
    half = over_landslides(units, resamples=1000).interval(
        lambda sums: half_detected(areas, sums[..., 0, :], sums[..., 1, :])
    )
    if half is None:
        return
    axes.axvspan(half.low, half.high, color=colour, alpha=0.13, lw=0)
    axes.plot([half.value] * 2, [0, 0.5], color=colour, lw=1, ls="--")
    side, offset = ("left", 5) if share == SHARES[1] else ("right", -5)
    axes.annotate(f"{round(half.value, -2):,.0f} m²", (half.value, 0.02), xytext=(offset, 0), ha=side,
                  textcoords="offset points", fontsize=8.5, color=colour, weight="bold")  # fmt: skip


def size_units(events: dict[str, Objects], share: float) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """The areas (n,) in m² of all landslides, and by event units (landslide, 2, n): detected, and all, of each area."""
    areas = np.unique(np.concatenate([objects.true_m2 for objects in events.values()]))
    units = {}
    for name, objects in events.items():
        number = (objects.true_m2[:, None] == areas).astype("float64")
        units[name] = np.stack([number * objects.found(share)[:, None], number], 1)
    return areas, units


def scores_picture(scenes: dict[str, Scene], threshold: float, path: Path) -> None:
    """Precision and recall over the threshold, reliability, and intervals over landslides and events."""
    figure = _figure(13, 4.3)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    everywhere = np.ones((SIDE, SIDE), bool)
    counted = np.sum([histogram(p, truth, everywhere) for truth, p in scenes.values()], axis=0)
    _precision_recall(left, counted)
    _reliability(middle, counted)
    units = {name: unit_counts(mapped_of(p, threshold), truth, everywhere) for name, (truth, p) in scenes.items()}
    _intervals(right, units)
    _save(figure, path)


def _precision_recall(axes: Axes, counted: NDArray[np.int64]) -> None:
    precision, recall = curve(counted)
    axes.fill_between(recall, np.nan_to_num(precision, nan=1.0), step="post", color=LIGHT, alpha=0.18, lw=0)
    axes.plot(recall, precision, color=ACCENT, lw=2, drawstyle="steps-post")
    axes.text(0.3, 0.28, f"area under the curve:\nAP {float(average_precision(counted)):.2f}", color=ACCENT,
              ha="center", fontsize=9)  # fmt: skip
    for name, cut, colour, place in (
        ("best F1", best_f(counted), INK, (8, 6)),
        ("precision ≥ 0.9", at_precision(counted, 0.9), LIGHT, (8, 3)),
        ("a miss costs five\nfalse alarms", min_cost(counted, 5), WARM, (8, 0)),
    ):
        if cut is not None and cut.counts.recall is not None:
            point = (cut.counts.recall, cut.counts.precision)
            axes.plot(*point, "o", ms=8, color=colour, mec="white", zorder=3)
            axes.annotate(f"{name}\np > {cut.threshold:.2f}", point, xytext=place, textcoords="offset points",
                          fontsize=8, color=colour if colour != LIGHT else ACCENT)  # fmt: skip
    axes.set(xlim=(0, 1.02), ylim=(0, 1.03), xlabel="recall", ylabel="precision")
    axes.set_title("Thresholds of one map", fontsize=10, color=INK)
    _plain(axes)


def _reliability(axes: Axes, counted: NDArray[np.int64]) -> None:
    coarse = _tenths(counted)
    number = coarse.sum(0)
    middle = (np.arange(10) + 0.5) / 10
    happened = coarse[1] / np.maximum(number, 1)
    axes.plot([0, 1], [0, 1], color=PALE, lw=1)
    axes.plot(middle, happened, "o-", color=ACCENT, lw=2, ms=6, mec="white")
    axes.vlines(middle, np.minimum(middle, happened), np.maximum(middle, happened), color=WARM, lw=1.2)
    ece = float((number / number.sum() * np.abs(happened - middle)).sum())
    axes.text(0.04, 0.9, f"ECE {ece:.3f}:\nthe red gaps, weighted by pixels", fontsize=8.5, color=WARM)
    axes.text(0.34, 0.37, "perfectly calibrated", fontsize=8, color=INK, rotation=44, rotation_mode="anchor")
    axes.set(xlim=(0, 1), ylim=(0, 1.03), xlabel="probability on the map", ylabel="share that is landslide")
    axes.set_title("Reliability", fontsize=10, color=INK)
    _plain(axes)


def _tenths(counted: NDArray[np.int64]) -> NDArray[np.int64]:
    tenth = np.minimum(np.arange(counted.shape[1]) * 10 // counted.shape[1], 9)
    return np.stack([np.bincount(tenth, side, 10) for side in counted]).astype("int64")


def _intervals(axes: Axes, units: dict[str, NDArray[np.int64]]) -> None:
    names = ("precision", "recall", "f1", "iou", "mcc")
    within, between = over_landslides(units), over_events(units)
    for row, name in enumerate(names):
        for name_, event in units.items():
            value = float(SCORES[name](event.sum(0)))
            axes.plot(
                value, row, "|", color=PALE, ms=13, mew=1.5, label="each event" if row + (name_ != "A") == 0 else None
            )
        _bar(axes, between.interval(SCORES[name]), row + 0.14, LIGHT, "over events" if row == 0 else None)
        _bar(axes, within.interval(SCORES[name]), row - 0.14, ACCENT, "over landslides" if row == 0 else None)
    axes.set(yticks=range(len(names)), yticklabels=["precision", "recall", "F1", "IoU", "MCC"], ylim=(5.5, -0.6))
    axes.set(xlim=(0, 1), xlabel="score, with its 95 % interval")
    axes.set_title(f"Six events, {sum(map(_landslides, units.values()))} landslides", fontsize=10, color=INK)
    axes.legend(frameon=False, fontsize=8, loc="lower center", ncol=3)
    _plain(axes)


def _landslides(units: NDArray[np.int64]) -> int:
    return int((units[:, [0, 2]].sum(1) > 0).sum())


def _bar(axes: Axes, interval: Interval | None, y: float, colour: str, label: str | None) -> None:
    if interval is not None:
        axes.plot([interval.low, interval.high], [y, y], color=colour, lw=3, solid_capstyle="round", label=label)
        axes.plot(interval.value, y, "o", color=colour, ms=8, mec="white")


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=8)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    """As PNG of at most 128 colours, so that it stays small."""
    figure.savefig(path, dpi=100)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(128).save(path, optimize=True)


def main(folder: Path) -> None:
    """Draw both."""
    random = np.random.default_rng(20)
    scenes = {name: made_up(random, skill) for name, skill in EVENTS.items()}
    everywhere = np.ones((SIDE, SIDE), bool)
    cut = best_f(np.sum([histogram(p, truth, everywhere) for truth, p in scenes.values()], axis=0))
    assert cut is not None
    objects_picture(scenes, cut.threshold, folder / "evaluation-objects.png")
    scores_picture(scenes, cut.threshold, folder / "evaluation-scores.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
