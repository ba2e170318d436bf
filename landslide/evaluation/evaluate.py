"""The evaluation of an ensemble on test cases, from stored predictions: no network runs here.

The curve and each member alone are the published protocol: the mean of the best k, cut at 0.5. The delivered ensemble,
and what other ways of choosing would have delivered, are as they were chosen on validation cases. Only pixels that were
observed and are not marked to ignore count; their share is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from landslide.bands import BANDS
from landslide.datasets.stack import Stack
from landslide.ensembles.combine import Combiner, ScenePrediction, scene_predictions
from landslide.ensembles.predictions import Library
from landslide.ensembles.select import PAPER, Choice
from landslide.evaluation.accumulators import DeliveredAccumulator, SelectorAccumulator, SelectorResult, SizeIntervals
from landslide.evaluation.size_curve import Table, all_sizes
from landslide.evaluation.strata import slices_of
from landslide.geo.raster import Reader
from landslide.metrics.pixel import Counts, total
from landslide.metrics.strata import Slices
from landslide.progress import track

DNDVI, VV = "dndvi_median", "vv_change"
BINS = 4000
THRESHOLD = 0.5
SHOWN = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 60, 90)  # sizes whose interval is told, and the whole


class Scored(BaseModel):
    """Counts per test case, in pixels."""

    cases: dict[str, Counts]

    @property
    def pooled(self) -> Counts:
        """All cases as one."""
        return total(list(self.cases.values()))

    def document(self) -> dict[str, Any]:
        """Scores per case and pooled, as JSON."""
        return {"pooled": self.pooled.scores(), "cases": {name: counts.scores() for name, counts in self.cases.items()}}


@dataclass(frozen=True)
class Evaluation:
    """`curve[k - 1]` is the mean of the best k members, `members` each alone; `observed` the share of a case that
    counted; `delivered` tells of the ensemble that was `chosen`, `ways` of it and of what it stands beside, `intervals`
    are of F1 at some sizes, over landslides.
    """

    curve: list[Scored]
    members: list[Scored]
    observed: dict[str, float]
    baseline: tuple[float, Scored] | None
    chosen: Choice
    scored: Scored
    delivered: DeliveredAccumulator
    ways: list[SelectorResult]
    intervals: dict[int, tuple[float, float] | None]
    scenes: list[EvaluatedScene]

    @property
    def size(self) -> int:
        """Members of the delivered ensemble."""
        return len(self.chosen.weights)

    def median_member_f1(self) -> float:
        """Median over members of the pooled F1 (an undefined F1 counts as 0)."""
        return median(member.pooled.f1 or 0.0 for member in self.members)


@dataclass(frozen=True)
class EvaluatedScene:
    """One raster of a test case in memory, (y, x): truth, what counts, dNDVI where the stack has it, what the
    delivered ensemble says, NaN where nothing counts, and something to look at.
    """

    case: str
    part: str
    truth: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    dndvi: NDArray[np.float32] | None
    probability: NDArray[np.float32]
    image: Backdrop


def evaluate(library: Library, stacks: Mapping[str, Stack], choices: Sequence[Choice]) -> Evaluation:
    """Score every ensemble size, every member, the dNDVI threshold and some choices; the first one is delivered.

    The library's members are in the order of rank; `stacks` are the prepared cases of the library.
    """
    members = len(library.members)
    votes = {choice.selector: choice.vote(library.members) for choice in choices}
    told = sorted({*(k for k in SHOWN if k < members), members})
    best = {k: Combiner((np.arange(members) < k).astype("float64"), threshold=THRESHOLD) for k in told}
    first = votes[choices[0].selector]
    shown = [*votes.values(), *best.values(), replace(first, calibration=None)]
    tally, sizes, delivered, scenes = (
        SelectorAccumulator(votes),
        SizeIntervals(list(best)),
        DeliveredAccumulator(first, choices[0].confidence),
        [],
    )
    for case in track(library.cases, "Evaluating cases"):
        for picture in scene_predictions(library, case, shown):
            scene, slices = _scene(case, stacks[case], picture)
            tally.add(case, picture)
            for place, k in enumerate(best, len(votes)):
                sizes.add(case, k, picture.probabilities[place] > THRESHOLD, picture)
            delivered.add(case, picture, len(shown) - 1, slices)
            scenes.append(scene)
    table = all_sizes(library, THRESHOLD)
    beside = PAPER if PAPER in votes else choices[0].selector
    return Evaluation(
        curve=_scored(table.curve, library),
        members=_scored(table.alone, library),
        observed=observed_shares(library),
        baseline=best_dndvi_threshold(scenes),
        chosen=choices[0],
        scored=Scored(cases=tally.counts(choices[0].selector)),
        delivered=delivered,
        ways=[tally.shown(choice, beside) for choice in choices],
        intervals=sizes.intervals(),
        scenes=scenes,
    )


def _scene(case: str, stack: Stack, picture: ScenePrediction) -> tuple[EvaluatedScene, dict[str, Slices]]:
    part = picture.part.name
    with stack.reader(part) as reader:
        dndvi = reader.read([DNDVI])[0] if DNDVI in reader.bands else None
        slices, image = slices_of(stack, part, reader), _image(reader, dndvi)
    return EvaluatedScene(
        case, part, picture.truth, picture.valid, dndvi, picture.probabilities[0].copy(), image
    ), slices


def _image(reader: Reader, dndvi: NDArray[np.float32] | None) -> Backdrop:
    """The change that people know best, or the first band that there is."""
    if dndvi is not None:
        return Backdrop(dndvi, "dNDVI")
    name = VV if VV in reader.bands else reader.bands[0]
    return Backdrop(reader.read([name])[0], name, BANDS[name].unit, diverging=name == VV)


def _scored(tables: Mapping[str, Table], library: Library) -> list[Scored]:
    """A row of each member or size."""

    def row(place: int) -> Iterator[tuple[str, Counts]]:
        for case, table in tables.items():
            yield case, Counts.from_row(table[place])

    return [Scored(cases=dict(row(place))) for place in range(len(library.members))]


def observed_shares(library: Library) -> dict[str, float]:
    """Of each case, the share of its pixels that counted."""
    shares = {}
    for case in library.cases:
        parts = library.parts(case)
        shares[case] = sum(part.pixels for part in parts) / sum(part.height * part.width for part in parts)
    return shares


def best_dndvi_threshold(loaded: Sequence[EvaluatedScene]) -> tuple[float, Scored] | None:
    """The threshold on median dNDVI with the highest pooled F1 on these very scenes: a baseline chosen in hindsight.

    Counts come from one histogram of 4,000 bins over −1 to 1; landslide is what lies below the threshold. None where a
    scene has no dNDVI.
    """
    bands = [scene.dndvi for scene in loaded]
    if not loaded or any(band is None for band in bands):
        return None
    hits, alarms = np.zeros(BINS), np.zeros(BINS)
    for scene in loaded:
        hits += _histogram(scene, scene.truth)
        alarms += _histogram(scene, ~scene.truth)
    positives = hits.sum()
    tp, fp = np.cumsum(hits), np.cumsum(alarms)
    f1 = 2 * tp / np.maximum(tp + fp + positives, 1)
    threshold = float(np.linspace(-1, 1, BINS + 1)[int(f1.argmax()) + 1])
    counts: dict[str, Counts] = {}
    for scene in loaded:
        found = Counts.of(_below(scene, threshold), scene.truth, scene.valid)
        counts[scene.case] = counts.get(scene.case, Counts()) + found
    return threshold, Scored(cases=counts)


def _histogram(scene: EvaluatedScene, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    assert scene.dndvi is not None
    chosen = scene.dndvi[where & scene.valid & np.isfinite(scene.dndvi)]
    counts, _ = np.histogram(np.clip(chosen, -1, 1), BINS, (-1, 1))
    return counts.astype("float64")


def _below(scene: EvaluatedScene, threshold: float) -> NDArray[np.bool_]:
    assert scene.dndvi is not None
    return np.asarray(np.nan_to_num(scene.dndvi, nan=np.inf) < threshold)


@dataclass(frozen=True)
class Backdrop:
    """What the scene looked like: values (y, x) float32, NaN where not observed, their name and unit.

    `diverging` values are a change, drawn around 0 from brown (loss) to green; others, such as relief, in grey.
    """

    values: NDArray[np.float32]
    name: str
    unit: str = ""
    diverging: bool = True
