"""The evaluate stage and its result: scores of ranked members on labelled cases, in one typed report.

`metrics.json` is an `EvaluationReport`. Its JSON schema is written by
`python -m landslide.evaluation.results > docs/schemas/evaluation-report.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

from landslide.artifacts.atomic import write_text
from landslide.artifacts.stage import Stage
from landslide.datasets.stack import open_stack
from landslide.ensembles.calibration import Calibration
from landslide.ensembles.confidence import ConfidenceClass
from landslide.ensembles.predictions import CasePredictions, Library
from landslide.ensembles.scale import Scale
from landslide.ensembles.select import Choice
from landslide.errors import InputError
from landslide.metrics.objects import ObjectScores
from landslide.metrics.pixel import Counts, total
from landslide.metrics.reliability import Reliability
from landslide.models.member import TrainedMember

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from landslide.artifacts.store import ArtifactStore
    from landslide.evaluation.evaluate import Evaluation

METRICS, CURVE = "metrics.json", "curve.csv"
Bounds = tuple[float, float]
"""The ends of a 95 % interval."""


class EvaluateEnsemble(Stage):
    """Scores of every ensemble size and of some choices, the first of which is delivered, on labelled cases.

    `members` are in the order of rank.
    """

    name: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 5
    sources: ClassVar[tuple[str, ...]] = (
        *(f"landslide.evaluation.{name}" for name in ("results", "evaluate", "accumulators", "size_curve", "strata")),
        *(
            f"landslide.metrics.{name}"
            for name in ("pixel", "objects", "ranking", "bootstrap", "strata", "reliability")
        ),
    )

    ensemble: str
    members: tuple[TrainedMember, ...]
    cases: dict[str, CasePredictions]
    choices: tuple[Choice, ...]

    @property
    def title(self) -> str:
        """`evaluate simulated-world-all`."""
        return f"{self.name} {self.ensemble}"

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Write `metrics.json`, `curve.csv` and the figures."""
        from landslide.evaluation.evaluate import evaluate
        from landslide.evaluation.report.files import write_results

        library = Library.of([member.key for member in self.members], self.cases, store)
        stacks = {name: open_stack(stored.stack, store) for name, stored in self.cases.items()}
        evaluation = evaluate(library, stacks, self.choices)
        write_results(EvaluationReport.of(evaluation, self.members), evaluation.scenes, self.ensemble, folder)


class Result(BaseModel):
    """A part of the report: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Scores(Result):
    """Scores by pixel and the counts that they are made of. A score whose denominator is zero is None, not 0."""

    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None
    mcc: float | None
    tp: int
    fp: int
    fn: int
    tn: int

    @classmethod
    def of(cls, counts: Counts) -> Scores:
        """The scores of counts."""
        return cls.model_validate(counts.scores())

    @property
    def counts(self) -> Counts:
        """To be pooled with others."""
        return Counts(tp=self.tp, fp=self.fp, fn=self.fn, tn=self.tn)

    @property
    def pixels(self) -> int:
        """All pixels that counted."""
        return self.tp + self.fp + self.fn + self.tn


class PixelScores(Result):
    """Scores by pixel, of each test case and of all of them as one."""

    pooled: Scores
    cases: dict[str, Scores]

    @classmethod
    def from_counts(cls, counts: Mapping[str, Counts]) -> PixelScores:
        """From counts by case."""
        return PixelScores(
            pooled=Scores.of(total(list(counts.values()))),
            cases={case: Scores.of(one) for case, one in counts.items()},
        )


class Intervals(Result):
    """95 % intervals of one score over landslides and over events; None where there is none, as too few events."""

    landslides: Bounds | None
    events: Bounds | None


class PixelIntervals(Result):
    """Intervals of the pooled scores by pixel; `area_bias` is mapped over true area."""

    precision: Intervals
    recall: Intervals
    f1: Intervals
    iou: Intervals
    mcc: Intervals
    area_bias: Intervals


class ObjectIntervals(Result):
    """Intervals of the rates by landslide."""

    detection_rate: Intervals
    false_alarm_ratio: Intervals


class ObjectResult(ObjectScores):
    """Scores by landslide with intervals of the rates."""

    intervals: ObjectIntervals


class ReliabilityResult(Result):
    """Reliability of the delivered ensemble before and after its calibration."""

    before: Reliability
    after: Reliability


class SelectorResult(PixelScores):
    """The ensemble of a selector on the test cases, compared with that of a reference.

    The reference is the published selector, or the delivered one where the published one is not among the choices.

    Args:
        selector: Its name.
        scale: What is averaged over its members.
        members: Members with a weight.
        effective_size: The number of members of equal weight that the weights amount to (`selectors.effective_size`).
        held_out_f1: On validation cases left out of the selection, in turn; None where that was not computed.
        threshold: Mapped is where the calibrated probability is above it.
        interval: Of F1, over landslides.
        gain: F1 minus that of the reference.
        gain_interval: Of the gain, over landslides, resampled in pairs.
        events_won: Cases with a higher F1 than the reference.
        events: All cases.
        ece: The calibration error; None where nothing was observed.
    """

    selector: str
    scale: Scale
    members: int
    effective_size: float
    held_out_f1: float | None
    threshold: float
    interval: Bounds | None
    gain: float | None
    gain_interval: Bounds | None
    events_won: int
    events: int
    ece: float | None


class Baseline(PixelScores):
    """The threshold on median dNDVI with the highest pooled F1 on the test cases: chosen in hindsight."""

    threshold: float


class SizeResult(PixelScores):
    """The mean of the best `k` members by rank, above 0.5; `interval` is of F1 over landslides, at some sizes."""

    k: int
    interval: Bounds | None


class MemberResult(PixelScores):
    """One member alone, above 0.5."""

    rank: int
    name: str
    validation_f1: float | None


class EvaluationReport(PixelScores):
    """`metrics.json`: the delivered ensemble on the test cases, then what it is compared with.

    Args:
        size: Members of the delivered ensemble.
        selector: How they were selected.
        scale: What is averaged over them.
        calibration: Fitted on validation cases.
        threshold: Mapped is where the calibrated probability is above it.
        intervals: Of the pooled scores by pixel.
        average_precision: None without any landslide.
        recall_at_precision: The greatest recall by the least precision asked for; None where no threshold has it.
        objects: Scores by landslide, at each share of `metrics.objects.SHARES`.
        reliability: None where nothing was observed.
        confidence: What the confidence classes mean; None where the ensemble has none.
        slices: Scores of parts of the scenes, by what they are sliced by and by the name of the part.
        selectors: Every choice, the delivered one first.
        observed: The share of each case's pixels that counted.
        share_observed: The share of all pixels of the cases that counted.
        median_member_f1: Of the members alone; an undefined F1 counts as 0.
        baseline_dndvi: None where a case has no dNDVI.
        curve: Every ensemble size from 1.
        members: Each member alone, in the order of rank.
    """

    size: int
    selector: str
    scale: Scale
    calibration: Calibration | None
    threshold: float
    intervals: PixelIntervals
    average_precision: float | None
    recall_at_precision: dict[str, float | None]
    objects: tuple[ObjectResult, ...]
    reliability: ReliabilityResult | None
    confidence: tuple[ConfidenceClass, ...] | None
    slices: dict[str, dict[str, Scores]]
    selectors: tuple[SelectorResult, ...]
    observed: dict[str, float]
    share_observed: float
    median_member_f1: float
    baseline_dndvi: Baseline | None
    curve: tuple[SizeResult, ...]
    members: tuple[MemberResult, ...]

    @classmethod
    def of(cls, evaluation: Evaluation, members: Sequence[TrainedMember]) -> EvaluationReport:
        """The report of an evaluation of members in the order of rank."""
        chosen, delivered = evaluation.chosen, evaluation.delivered
        return cls(
            **dict(evaluation.scores),
            size=len(chosen.weights),
            selector=chosen.selector,
            scale=chosen.scale,
            calibration=chosen.calibration,
            threshold=chosen.threshold,
            intervals=delivered.intervals(),
            average_precision=delivered.average_precision(),
            recall_at_precision=delivered.recall_at_precision(),
            objects=delivered.objects(),
            reliability=delivered.reliability(),
            confidence=delivered.confidence(),
            slices=delivered.slices(),
            selectors=tuple(evaluation.selectors),
            observed=evaluation.observed,
            share_observed=evaluation.share_observed,
            median_member_f1=median(row.pooled.f1 or 0.0 for row in evaluation.members),
            baseline_dndvi=evaluation.baseline,
            curve=tuple(
                SizeResult(k=k, interval=evaluation.intervals.get(k), **dict(row))
                for k, row in enumerate(evaluation.curve, 1)
            ),
            members=tuple(
                MemberResult(rank=rank, name=member.spec.name, validation_f1=member.validation_f1, **dict(row))
                for rank, (member, row) in enumerate(zip(members, evaluation.members, strict=True), 1)
            ),
        )

    @classmethod
    def read(cls, folder: Path, name: str = METRICS) -> EvaluationReport:
        """Read the report in a folder; InputError where there is none, or one of another version."""
        path = folder / name
        try:
            return cls.model_validate_json(path.read_text("utf-8"))
        except OSError as error:
            raise InputError(
                f"{folder} holds no evaluation ({name}: {error.strerror}). Give the folder of an evaluated ensemble"
            ) from error
        except ValueError as error:
            raise InputError(
                f"{path} is no evaluation report of this version: {error}. Run the evaluation again"
            ) from error

    def write(self, folder: Path) -> None:
        """Write `metrics.json`."""
        write_text(folder / METRICS, self.model_dump_json(indent=1), durable=False)

    def objects_at(self, share: float) -> ObjectResult:
        """Scores by landslide, found where at least `share` of it is mapped."""
        return next(row for row in self.objects if row.share == share)


if __name__ == "__main__":
    print(json.dumps(EvaluationReport.model_json_schema(), indent=1))
