"""The select stage: from validation cases alone, what each way of choosing members makes of them: weights, calibration,
threshold, confidence classes. `selection.json` holds them side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from landslide.artifacts.stage import Keyed, NotInKey, Stage
from landslide.ensembles import calibration
from landslide.ensembles.combine import Combiner, histograms, scene_predictions
from landslide.ensembles.confidence import ConfidenceThresholds, Patches, confidence_thresholds
from landslide.ensembles.predictions import CasePredictions, Library
from landslide.ensembles.scale import Scale
from landslide.ensembles.selectors import Options, effective_size, select_all
from landslide.ensembles.thresholds import Rule, threshold_of
from landslide.errors import InputError
from landslide.metrics import reliability
from landslide.metrics.pixel import Floats

if TYPE_CHECKING:
    from landslide.artifacts.store import ArtifactStore

SELECTION_FILE = "selection.json"
PAPER, AUTO = "paper", "auto"
BEST_SELECTOR = "stacked"  # of the ways where several events validate: docs/evaluation.md
FEWEST_VALIDATION_CASES = 3  # validation cases, below which weights, calibration and threshold are one event's

Kind = Literal["none", "platt", "isotonic"]
FITS: dict[str, type[calibration.Platt | calibration.Isotonic]] = {
    "platt": calibration.Platt,
    "isotonic": calibration.Isotonic,
}


class Rules(Keyed):
    """What is asked of every choice."""

    size: Annotated[int, Field(ge=1)]
    calibration: Kind
    threshold: Rule
    seed: Annotated[int, Field(ge=0)] = 0


class Choice(Keyed):
    """What a way made: weights by member's key, zeros left out, in the order of rank; the threshold is one of
    calibrated probabilities. `effective` and `held_out_f1` are as in `selection.Row`.
    """

    selector: str
    scale: Scale
    weights: dict[str, float]
    calibration: calibration.Calibration | None
    threshold: float
    confidence: ConfidenceThresholds | None
    effective: float
    held_out_f1: float | None = None

    def vote(self, members: Sequence[str]) -> Combiner:
        """As a vote of a library's members, in its order."""
        weights = np.array([self.weights.get(member, 0.0) for member in members])
        return Combiner(weights, self.scale, self.calibration, self.threshold)


class Selection(BaseModel):
    """`selection.json`. The first choice is the published way: the best `size` by validation F1, equal votes, cut at
    0.5, not calibrated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    validation: list[str]
    choices: list[Choice]

    @classmethod
    def read(cls, folder: Path) -> Selection:
        """InputError if the folder holds none."""
        try:
            return cls.model_validate_json((folder / SELECTION_FILE).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{folder / SELECTION_FILE} is no selection: {error}. Select anew") from error

    def of(self, way: str) -> Choice:
        """What a way made."""
        return next(choice for choice in self.choices if choice.selector == way)


def decided(way: str, validating: int) -> str:
    """What `auto` stands for, given how many cases validate; any other way is itself."""
    if way != AUTO:
        return way
    return BEST_SELECTOR if validating >= FEWEST_VALIDATION_CASES else PAPER


class SelectMembers(Stage):
    """What each selector makes of the validation cases; `members` are keys in the order of rank."""

    name: ClassVar[str] = "select"
    version: ClassVar[int] = 2
    sources: ClassVar[tuple[str, ...]] = tuple(
        f"landslide.ensembles.{name}"
        for name in ("select", "selectors", "sampling", "combine", "calibration", "thresholds", "confidence", "scale")
    )

    experiment: Annotated[str, NotInKey]
    members: tuple[str, ...]
    cases: dict[str, CasePredictions]
    rules: Rules

    @property
    def title(self) -> str:
        """`select simulated-world-all`."""
        return f"{self.name} {self.experiment}"

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Write `selection.json`; raises as `select`."""
        select(Library.of(self.members, self.cases, store), self.rules, folder)


def select(validation: Library, rules: Rules, folder: Path) -> None:
    """Write `selection.json`; the library's members are in the order of rank.

    InputError where the validation cases have no landslide, or nothing else, or the rule has no threshold.
    """
    weights, rows = select_all(validation, Options(size=rules.size, seed=rules.seed))
    best = np.arange(len(validation.members)) < rules.size
    weights["top"] = best / best.sum()  # the training's own ranking
    votes = _votes(validation, [row.scale for row in rows], list(weights.values()), rules)
    votes = [Combiner(weights["top"]), *votes]
    classes = _confidence(validation, votes)
    names, held_out = [PAPER, *weights], [None, *(row.held_out_f1 for row in rows)]
    choices = [
        Choice(
            selector=name, scale=vote.scale, weights=_named(vote.weights, validation), calibration=vote.calibration,
            threshold=vote.threshold, confidence=confidence, effective=effective_size(vote.weights), held_out_f1=f1,
        )
        for name, vote, confidence, f1 in zip(names, votes, classes, held_out, strict=True)
    ]  # fmt: skip
    selection = Selection(validation=list(validation.cases), choices=choices)
    (folder / SELECTION_FILE).write_text(selection.model_dump_json(indent=1))


def _named(weights: Floats, library: Library) -> dict[str, float]:
    return {member: float(weight) for member, weight in zip(library.members, weights, strict=True) if weight > 0}


def _votes(validation: Library, scales: Sequence[Scale], weights: Sequence[Floats], rules: Rules) -> list[Combiner]:
    """Each with its calibration and threshold."""
    by_case = histograms(validation, np.stack(weights), scales, reliability.bin_of, reliability.BINS)
    votes = []
    for counted, scale, weight in zip(np.sum(list(by_case.values()), 0), scales, weights, strict=True):
        fitted = None if rules.calibration == "none" else FITS[rules.calibration].fit(counted)
        threshold = threshold_of(rules.threshold, calibration.forecasts(fitted), counted)
        votes.append(Combiner(weight, scale, fitted, threshold))
    return votes


def _confidence(validation: Library, votes: Sequence[Combiner]) -> list[ConfidenceThresholds | None]:
    """Of each vote, the confidence classes."""
    found: list[list[Patches]] = [[] for _ in votes]
    for case in validation.cases:
        for picture in scene_predictions(validation, case, votes):
            for vote, probability, patches in zip(votes, picture.probabilities, found, strict=True):
                patches.append(Patches.of(probability, probability > vote.threshold, picture.truth))
    return [confidence_thresholds(Patches.pooled(patches)) for patches in found]
