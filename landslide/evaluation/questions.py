"""Answers to questions about the method, from the `metrics.json` of finished evaluations, and pictures of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from landslide.evaluation.figures import ACCENT, INK, SOFT, WARM, canvas, save

Metrics = Mapping[str, Any]
CLOSE = 0.01  # of F1: sizes that no user could tell apart
COLORS = (ACCENT, WARM, "#6a8d3c", "#8b6bb1", "#c2962f", INK)


def options(found: Mapping[str, Metrics]) -> dict[str, Any]:
    """Of each option: the delivered ensemble's F1 with its interval over landslides, and F1 on each event."""
    return {
        name: {
            **{score: metrics["pooled"][score] for score in ("f1", "precision", "recall")},
            "interval": metrics["intervals"]["f1"]["landslides"],
            "average_precision": metrics["average_precision"],
            "events": {case: scores["f1"] for case, scores in metrics["cases"].items()},
            "observed": metrics["observed"],
        }
        for name, metrics in found.items()
    }


def draw_options(answers: Mapping[str, Any], title: str, path: Path) -> None:
    """F1 of each option as a bar with its interval, and a dot for each event."""
    figure, axes = canvas(6.4, 1.5 + 0.5 * len(answers))
    for place, (color, answer) in enumerate(zip(COLORS * len(answers), answers.values(), strict=False)):
        f1 = answer["f1"] or 0.0
        axes.barh(place, f1, 0.55, color=color, alpha=0.85, zorder=2)
        if answer["interval"] is not None:
            axes.plot(answer["interval"], [place, place], color=INK, lw=1.3, zorder=4)
        events = [value or 0.0 for value in answer["events"].values()]
        axes.scatter(events, [place] * len(events), s=18, color="white", ec=INK, lw=0.8, zorder=5)
        axes.annotate(f"{f1:.3f}", (0.01, place), va="center", color="white", fontsize=8, zorder=6)
    axes.set_yticks(range(len(answers)), list(answers))
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), title=title, xlabel="F1 on test events; line: 95 % over landslides, dots: events")
    save(figure, path)


def sizes(found: Mapping[str, Metrics]) -> dict[str, Any]:
    """Of each band set: F1 over the number of members, best first, the size at which it is highest, and the same for
    each event; `alike` are the sizes whose F1 is within 0.01 of the highest.
    """
    return {
        name: {
            "curve": [row["pooled"]["f1"] for row in metrics["curve"]],
            "intervals": {row["k"]: row["interval"] for row in metrics["curve"] if row["interval"] is not None},
            **_best([row["pooled"]["f1"] for row in metrics["curve"]]),
            "events": {
                case: _best([row["cases"][case]["f1"] for row in metrics["curve"]]) for case in metrics["cases"]
            },
        }
        for name, metrics in found.items()
    }


def _best(curve: Sequence[float | None]) -> dict[str, Any]:
    values = np.array([value or 0.0 for value in curve])
    alike = np.flatnonzero(values >= values.max() - CLOSE) + 1
    return {"best_size": int(values.argmax()) + 1, "best_f1": float(values.max()), "alike": alike.tolist()}


def draw_sizes_of_all(answers: Mapping[str, Any], title: str, path: Path) -> None:
    """Left, F1 over the number of members of each band set; right, the best size for each event, with those alike."""
    places = sum(1 + len(answer["events"]) for answer in answers.values())
    figure = Figure(figsize=(10.5, 2.6 + 0.13 * places), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for color, (name, answer) in zip(COLORS, answers.items(), strict=False):
        k = np.arange(1, len(answer["curve"]) + 1)
        left.plot(k, [value or np.nan for value in answer["curve"]], color=color, lw=2, label=name)
        if answer["intervals"]:
            low, high = zip(*answer["intervals"].values(), strict=True)
            left.fill_between(list(answer["intervals"]), low, high, color=color, alpha=0.1, lw=0)
    left.set(xlabel="members, ranked on validation (k)", ylabel="F1 on the test events", ylim=(0, 1))
    left.legend(frameon=False, fontsize=8, loc="lower right")
    place, names = 0, []
    for color, (name, answer) in zip(COLORS, answers.items(), strict=False):
        for event, best in {"all events": answer, **answer["events"]}.items():
            right.scatter(best["alike"], [place] * len(best["alike"]), s=7, color=color, alpha=0.35)
            right.scatter(best["best_size"], place, s=30, color=color, ec="white", zorder=3)
            names.append(f"{name}, {event}")
            place += 1
    right.set_yticks(range(len(names)), names)
    right.invert_yaxis()
    right.set(xlabel="best size; small dots: F1 within 0.01 of it")
    figure.suptitle(title, fontsize=10, color=INK)
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    save(figure, path)


def clouds(found: Mapping[float, Metrics], landslide_pixels: Mapping[float, Mapping[str, int]]) -> list[dict[str, Any]]:
    """A row for each cloudiness: F1 where the map says anything, F1 where a landslide that was not observed counts as
    missed, and the observed share. `landslide_pixels` are those of each case's label, observed or not.
    """
    rows = []
    for cloudiness, metrics in sorted(found.items()):
        pooled, all_ = metrics["pooled"], sum(landslide_pixels[cloudiness].values())
        shares = list(metrics["observed"].values())
        rows.append({
            "cloudiness": cloudiness,
            "f1_observed": pooled["f1"],
            "interval": metrics["intervals"]["f1"]["landslides"],
            "f1_all": 2 * pooled["tp"] / max(pooled["tp"] + pooled["fp"] + all_, 1),
            "recall_all": pooled["tp"] / all_ if all_ else None,
            "observed": sum(shares) / len(shares),
        })  # fmt: skip
    return rows


def draw_clouds(rows: Sequence[Mapping[str, Any]], title: str, path: Path) -> None:
    """Skill and the observed share over cloudiness."""
    figure, axes = canvas(6.4, 4.2)
    x = [row["cloudiness"] for row in rows]
    told = [row for row in rows if row["interval"] is not None]
    if told:
        low, high = zip(*(row["interval"] for row in told), strict=True)
        axes.fill_between([row["cloudiness"] for row in told], low, high, color=ACCENT, alpha=0.12, lw=0)
    axes.plot(x, [row["f1_observed"] for row in rows], "o-", color=ACCENT, label="F1 where the map says anything")
    axes.plot(x, [row["f1_all"] for row in rows], "o-", color=WARM, label="F1, not observed counted as missed")
    axes.plot(x, [row["observed"] for row in rows], "--", color=SOFT, label="share of the area that is observed")
    axes.set(xlabel="mean cloud cover of a scene", ylabel="F1, share", ylim=(0, 1.02), title=title)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    save(figure, path)


def write_answer(answer: Any, name: str, folder: Path) -> None:
    """`<name>.json`."""
    (folder / f"{name}.json").write_text(json.dumps(answer, indent=1))
