"""The evaluation of an ensemble on test cases, from stored predictions: no network runs here.

The curve and each member alone follow the published protocol: the mean of the best k members, above 0.5. The delivered
ensemble, and what the other selectors would have delivered, are as they were chosen on validation cases. Only pixels
that were observed and are not marked to ignore count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from landslide.bands import BANDS
from landslide.datasets.stack import Stack, StackReader
from landslide.ensembles.combine import Combiner, ScenePrediction, scene_predictions
from landslide.ensembles.predictions import Library
from landslide.ensembles.select import PAPER, Choice
from landslide.evaluation.accumulators import DeliveredAccumulator, SelectorAccumulator, SizeIntervals
from landslide.evaluation.results import Baseline, Bounds, PixelScores, SelectorResult
from landslide.evaluation.size_curve import Table, all_sizes
from landslide.evaluation.strata import slices_of
from landslide.metrics.pixel import Counts
from landslide.metrics.strata import Slices
from landslide.progress import track

DNDVI, VV = "dndvi_median", "vv_change"
BINS = 4000
THRESHOLD = 0.5
SIZES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 60, 90)
"""Ensemble sizes whose F1 is given an interval, besides that of all members."""


@dataclass(frozen=True)
class Evaluation:
    """What was measured on the test cases.

    Args:
        curve: Row k - 1 is the mean of the best k members.
        members: Each member alone, in the order of rank.
        observed: The share of each case's pixels that counted.
        share_observed: The share of all cases' pixels that counted.
        baseline: The best threshold on dNDVI; None where a case has no dNDVI.
        chosen: The choice that is delivered.
        scores: Of the delivered ensemble, by pixel.
        delivered: What else is scored of the delivered ensemble.
        selectors: Every choice, the delivered one first.
        intervals: Of F1 over landslides, at some sizes.
        scenes: The rasters of the cases.
    """

    curve: list[PixelScores]
    members: list[PixelScores]
    observed: dict[str, float]
    share_observed: float
    baseline: Baseline | None
    chosen: Choice
    scores: PixelScores
    delivered: DeliveredAccumulator
    selectors: list[SelectorResult]
    intervals: dict[int, Bounds | None]
    scenes: list[EvaluatedScene]


@dataclass(frozen=True)
class SceneImage:
    """An image of a scene: values (y, x) float32, NaN where not observed, their name and unit.

    `diverging` values are a change, drawn around 0 from brown (loss) to green; others, such as relief, in grey.
    """

    values: NDArray[np.float32]
    name: str
    unit: str = ""
    diverging: bool = True


@dataclass(frozen=True)
class EvaluatedScene:
    """One raster of a test case in memory, (y, x).

    `valid` is what counts; `dndvi` None where the stack has none; `probability` that of the delivered ensemble, NaN
    where a pixel does not count.
    """

    case: str
    part: str
    truth: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    dndvi: NDArray[np.float32] | None
    probability: NDArray[np.float32]
    image: SceneImage


def evaluate(library: Library, stacks: Mapping[str, Stack], choices: Sequence[Choice]) -> Evaluation:
    """Score every ensemble size, every member, the dNDVI threshold and some choices; the first one is delivered.

    The library's members are in the order of rank; `stacks` are those of the library's cases.
    """
    chosen = choices[0]
    accumulators = _Accumulators(library, choices)
    scenes = [
        accumulators.add(case, stacks[case], prediction)
        for case in track(library.cases, "Evaluating cases")
        for prediction in scene_predictions(library, case, accumulators.combiners)
    ]
    counts = all_sizes(library, THRESHOLD)
    reference = PAPER if any(choice.selector == PAPER for choice in choices) else chosen.selector
    return Evaluation(
        curve=_rows(counts.curve, library),
        members=_rows(counts.alone, library),
        observed=observed_shares(library),
        share_observed=observed_share(library, library.cases),
        baseline=best_dndvi_threshold(scenes),
        chosen=chosen,
        scores=accumulators.selectors.scores(chosen.selector),
        delivered=accumulators.delivered,
        selectors=[accumulators.selectors.result(choice, reference) for choice in choices],
        intervals=accumulators.sizes.intervals(),
        scenes=scenes,
    )


class _Accumulators:
    """All that is gathered in one pass over the predictions.

    `combiners` are those of the selectors, of the sizes, and at last the delivered one without its calibration.
    """

    def __init__(self, library: Library, choices: Sequence[Choice]) -> None:
        members = len(library.members)
        by_selector = {choice.selector: choice.combiner(library.members) for choice in choices}
        self._sizes = sorted({*(k for k in SIZES if k < members), members})
        by_size = [Combiner((np.arange(members) < k).astype("float64"), threshold=THRESHOLD) for k in self._sizes]
        delivered = by_selector[choices[0].selector]
        self.combiners = [*by_selector.values(), *by_size, replace(delivered, calibration=None)]
        self.selectors = SelectorAccumulator(by_selector)
        self.sizes = SizeIntervals(self._sizes)
        self.delivered = DeliveredAccumulator(delivered, choices[0].confidence)

    def add(self, case: str, stack: Stack, prediction: ScenePrediction) -> EvaluatedScene:
        """One scene of a case."""
        scene, slices = _scene(case, stack, prediction)
        *_, uncalibrated = prediction.probabilities
        by_size = prediction.probabilities[-1 - len(self._sizes) : -1]
        self.selectors.add(case, prediction)
        for k, probability in zip(self._sizes, by_size, strict=True):
            self.sizes.add(case, k, probability > THRESHOLD, prediction)
        self.delivered.add(case, prediction, uncalibrated, slices)
        return scene


def _scene(case: str, stack: Stack, prediction: ScenePrediction) -> tuple[EvaluatedScene, dict[str, Slices]]:
    part = prediction.part.name
    with stack.reader(part) as reader:
        dndvi = reader.read([DNDVI])[0] if DNDVI in reader.bands else None
        slices, image = slices_of(stack, part, reader), _image(reader, dndvi)
    probability = prediction.probabilities[0].copy()
    return EvaluatedScene(case, part, prediction.truth, prediction.valid, dndvi, probability, image), slices


def _image(reader: StackReader, dndvi: NDArray[np.float32] | None) -> SceneImage:
    """dNDVI, or else the change of VV, or else the first band."""
    if dndvi is not None:
        return SceneImage(dndvi, "dNDVI")
    name = VV if VV in reader.bands else reader.bands[0]
    return SceneImage(reader.read([name])[0], name, BANDS[name].unit, diverging=name == VV)


def _rows(tables: Mapping[str, Table], library: Library) -> list[PixelScores]:
    """The scores of each row of the tables by case, as many as there are members."""
    return [
        PixelScores.from_counts({case: Counts.from_row(table[row]) for case, table in tables.items()})
        for row in range(len(library.members))
    ]


def observed_shares(library: Library) -> dict[str, float]:
    """The share of each case's pixels that counted."""
    return {case: observed_share(library, [case]) for case in library.cases}


def observed_share(library: Library, cases: Sequence[str]) -> float:
    """The share of all pixels of some cases that counted."""
    parts = [part for case in cases for part in library.parts(case)]
    return sum(part.pixels for part in parts) / sum(part.height * part.width for part in parts)


def best_dndvi_threshold(scenes: Sequence[EvaluatedScene]) -> Baseline | None:
    """The threshold on median dNDVI with the highest pooled F1 on these very scenes: a baseline chosen in hindsight.

    Counts come from one histogram of 4,000 bins over −1 to 1; landslide is what lies below the threshold. None where a
    scene has no dNDVI.
    """
    if not scenes or any(scene.dndvi is None for scene in scenes):
        return None
    tp = np.cumsum(np.sum([_histogram(scene, scene.truth) for scene in scenes], axis=0))
    fp = np.cumsum(np.sum([_histogram(scene, ~scene.truth) for scene in scenes], axis=0))
    f1 = 2 * tp / np.maximum(tp + fp + tp[-1], 1)
    threshold = float(np.linspace(-1, 1, BINS + 1)[int(f1.argmax()) + 1])
    counts: dict[str, Counts] = {}
    for scene in scenes:
        found = Counts.of(_below(scene, threshold), scene.truth, scene.valid)
        counts[scene.case] = counts.get(scene.case, Counts()) + found
    return Baseline(threshold=threshold, **dict(PixelScores.from_counts(counts)))


def _histogram(scene: EvaluatedScene, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(bin,) valid pixels of a mask by dNDVI."""
    assert scene.dndvi is not None
    values = scene.dndvi[where & scene.valid & np.isfinite(scene.dndvi)]
    counts, _ = np.histogram(np.clip(values, -1, 1), BINS, (-1, 1))
    return counts.astype("float64")


def _below(scene: EvaluatedScene, threshold: float) -> NDArray[np.bool_]:
    assert scene.dndvi is not None
    return np.asarray(np.nan_to_num(scene.dndvi, nan=np.inf) < threshold)
