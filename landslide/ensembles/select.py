"""The select stage: weights, calibration, threshold and confidence classes by every selector, from validation cases.

The choices of all selectors are written into `selection.json`.
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
BEST_SELECTOR = "stacked"  # with several validation events: docs/evaluation.md
MIN_VALIDATION_CASES = 3  # for weights, calibration and threshold to hold on other events

Kind = Literal["none", "platt", "isotonic"]
FITS: dict[str, type[calibration.Platt | calibration.Isotonic]] = {
    "platt": calibration.Platt,
    "isotonic": calibration.Isotonic,
}


class Rules(Keyed):
    """The settings of all choices."""

    size: Annotated[int, Field(ge=1)]
    calibration: Kind
    threshold: Rule
    seed: Annotated[int, Field(ge=0)] = 0


class Choice(Keyed):
    """The result of a selector: weights by member key in the order of rank, without zeros. The threshold applies to
    calibrated probabilities. `effective` and `held_out_f1` are as in `selectors.SelectorSummary`.
    """

    selector: str
    scale: Scale
    weights: dict[str, float]
    calibration: calibration.Calibration | None
    threshold: float
    confidence: ConfidenceThresholds | None
    effective: float
    held_out_f1: float | None = None

    def combiner(self, members: Sequence[str]) -> Combiner:
        weights = np.array([self.weights.get(member, 0.0) for member in members])
        return Combiner(weights, self.scale, self.calibration, self.threshold)


class Selection(BaseModel):
    """`selection.json`. The first choice is the paper's: the best `size` members by validation F1, with equal weights,
    threshold 0.5 and no calibration.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    validation: list[str]
    choices: list[Choice]

    @classmethod
    def read(cls, folder: Path) -> Selection:
        """Read a folder's selection; InputError if it has none."""
        try:
            return cls.model_validate_json((folder / SELECTION_FILE).read_text())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder / SELECTION_FILE} is not a readable selection: {error}. Train the experiment again"
            ) from error

    def of(self, selector: str) -> Choice:
        return next(choice for choice in self.choices if choice.selector == selector)


def resolve_selector(selector: str, validation_cases: int) -> str:
    """Replace `auto` by a selector, given the number of validation cases."""
    if selector != AUTO:
        return selector
    return BEST_SELECTOR if validation_cases >= MIN_VALIDATION_CASES else PAPER


class SelectMembers(Stage):
    """Applies every selector to the validation cases; `members` are keys in the order of rank."""

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
        return f"{self.name} {self.experiment}"

    def build(self, folder: Path, store: ArtifactStore) -> None:
        select(Library.of(self.members, self.cases, store), self.rules, folder)


def select(validation: Library, rules: Rules, folder: Path) -> None:
    """Write `selection.json`; the library's members must be in the order of rank.

    InputError if the validation cases have no landslide or nothing else, or the threshold rule finds no threshold.
    """
    weights, rows = select_all(validation, Options(size=rules.size, seed=rules.seed))
    best = np.arange(len(validation.members)) < rules.size
    weights["top"] = best / best.sum()  # by validation F1 during training
    combiners = _combiners(validation, [row.scale for row in rows], list(weights.values()), rules)
    combiners = [Combiner(weights["top"]), *combiners]
    classes = _confidence(validation, combiners)
    names, held_out = [PAPER, *weights], [None, *(row.held_out_f1 for row in rows)]
    choices = [
        Choice(
            selector=name, scale=one.scale, weights=_named(one.weights, validation), calibration=one.calibration,
            threshold=one.threshold, confidence=confidence, effective=effective_size(one.weights), held_out_f1=f1,
        )
        for name, one, confidence, f1 in zip(names, combiners, classes, held_out, strict=True)
    ]  # fmt: skip
    selection = Selection(validation=list(validation.cases), choices=choices)
    (folder / SELECTION_FILE).write_text(selection.model_dump_json(indent=1))


def _named(weights: Floats, library: Library) -> dict[str, float]:
    return {member: float(weight) for member, weight in zip(library.members, weights, strict=True) if weight > 0}


def _combiners(validation: Library, scales: Sequence[Scale], weights: Sequence[Floats], rules: Rules) -> list[Combiner]:
    """The combiner of each weighting, with its calibration and threshold."""
    by_case = histograms(validation, np.stack(weights), scales, reliability.bin_of, reliability.BINS)
    combiners = []
    for counted, scale, weight in zip(np.sum(list(by_case.values()), 0), scales, weights, strict=True):
        fitted = None if rules.calibration == "none" else FITS[rules.calibration].fit(counted)
        threshold = threshold_of(rules.threshold, calibration.forecasts(fitted), counted)
        combiners.append(Combiner(weight, scale, fitted, threshold))
    return combiners


def _confidence(validation: Library, combiners: Sequence[Combiner]) -> list[ConfidenceThresholds | None]:
    found: list[list[Patches]] = [[] for _ in combiners]
    for case in validation.cases:
        for scene in scene_predictions(validation, case, combiners):
            for one, probability, patches in zip(combiners, scene.probabilities, found, strict=True):
                patches.append(Patches.of(probability, probability > one.threshold, scene.truth))
    return [confidence_thresholds(Patches.pooled(patches)) for patches in found]
