"""Scores over the ensemble's size, from one forward pass a member and scene.

Members are taken in the order of their rank; a running mean of their probabilities is cut after each, so that every
size k is scored on the way. Only pixels that were observed and are not marked to ignore count; their share is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from landslide.ensemble import Normalisation, load_member, observed
from landslide.errors import InputError
from landslide.evaluation.counts import Counts, total
from landslide.evaluation.delivered import Delivered
from landslide.evaluation.slices import Slices, by_looks, by_slope
from landslide.grid import Roi, blocks
from landslide.mapping.windows import probability_rows
from landslide.models import MemberSpec
from landslide.progress import track
from landslide.raster import Reader
from landslide.sources import SEEN
from landslide.stack import IGNORE, UNKNOWN, Stack

if TYPE_CHECKING:
    from torch import nn

DNDVI = "dndvi_median"
BINS = 4000
BLOCK = 1024


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
class Ranked:
    """A member at its rank: `load()` gives its network in evaluation mode."""

    name: str
    validation_f1: float
    load: Callable[[], nn.Module]

    @classmethod
    def from_weights(cls, spec: MemberSpec, validation_f1: float, weights: Path, device: str) -> Ranked:
        """A trained member whose weights are read when its turn comes."""
        return cls(spec.name, validation_f1, lambda: load_member(spec, weights, device))


@dataclass(frozen=True)
class Evaluation:
    """`curve[k - 1]` is the mean of the best k members, `members` each alone; `observed` the share that counted;
    `delivered` tells more of the ensemble of `size`.
    """

    curve: list[Scored]
    members: list[Scored]
    observed: dict[str, float]
    baseline: tuple[float, Scored] | None
    size: int
    delivered: Delivered

    def median_member_f1(self) -> float:
        """Median over members of the pooled F1 (an undefined F1 counts as 0)."""
        return median(member.pooled.f1 or 0.0 for member in self.members)


@dataclass(frozen=True)
class Scene:
    """One raster of a test case: `read(roi)` gives z-scores (band, y, x); truth and what counts are (y, x) in memory,
    and so is dNDVI where the stack has it. `slices()` reads what parts the scene, by what it parts it by."""

    case: str
    read: Callable[[Roi], NDArray[np.float32]]
    truth: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    dndvi: NDArray[np.float32] | None
    slices: Callable[[], dict[str, Slices]] = dict


def scenes(
    stacks: Sequence[Stack], bands: Sequence[str], normalisation: Normalisation, open_files: ExitStack
) -> Iterator[Scene]:
    """The rasters of prepared cases; InputError where a case has no label, BandError where a band is missing."""
    for stack in stacks:
        for part in stack.info.parts:
            label = stack.label(part.name)
            if label is None:
                name = stack.info.case.id
                raise InputError(f"case {name} has no inventory to score against. Add one, or use `landslide map`")
            reader = open_files.enter_context(stack.reader(part.name))
            valid = np.zeros(label.shape, bool)
            for roi in blocks(reader.shape, BLOCK):
                valid[roi] = observed(reader.read(bands, roi)) & (label[roi] != IGNORE)
            dndvi = reader.read([DNDVI])[0] if DNDVI in reader.bands else None
            read, slices = _scores(reader, bands, normalisation), _slices(stack, part.name, reader)
            yield Scene(stack.info.case.id, read, label == 1, valid, dndvi, slices)


def _scores(reader: Reader, bands: Sequence[str], normalisation: Normalisation) -> Callable[[Roi], NDArray[np.float32]]:
    return lambda roi: normalisation.apply(reader.read(bands, roi))


def _slices(stack: Stack, part: str, reader: Reader) -> Callable[[], dict[str, Slices]]:
    def read() -> dict[str, Slices]:
        with stack.seen(part) as seen:
            found = {f"looks of {name}": by_looks(seen.read([name])[0], UNKNOWN) for name in SEEN}
        slope = {"slope": by_slope(reader.read(["slope"])[0])} if "slope" in reader.bands else {}
        return slope | found

    return read


def evaluate(
    members: Sequence[Ranked],
    stacks: Sequence[Stack],
    bands: Sequence[str],
    normalisation: Normalisation,
    threshold: float,
    size: int,
) -> Evaluation:
    """Score every ensemble size, every member and the dNDVI threshold on labelled cases.

    `size` is how many members the delivered ensemble has, or all where there are fewer.
    """
    with ExitStack() as open_files:
        loaded = list(scenes(stacks, bands, normalisation, open_files))
        return _evaluate(members, loaded, threshold, min(size, len(members)))


def _evaluate(members: Sequence[Ranked], loaded: Sequence[Scene], threshold: float, size: int) -> Evaluation:
    sums = [np.zeros(scene.truth.shape, "float64") for scene in loaded]
    curve, alone = [], []
    for k, member in enumerate(track(members, "Evaluating members"), 1):
        network = member.load()
        single, ensemble = [], []
        for scene, running in zip(loaded, sums, strict=True):
            probability = _probability(network, scene)
            running += probability
            single.append(Counts.of(probability > threshold, scene.truth, scene.valid))
            ensemble.append(Counts.of(running / k > threshold, scene.truth, scene.valid))
        alone.append(_per_case(loaded, single))
        curve.append(_per_case(loaded, ensemble))
        if k == size:
            delivered = Delivered.of(loaded, [running / k for running in sums], threshold)
    return Evaluation(curve, alone, _observed(loaded), best_dndvi_threshold(loaded), size, delivered)


def _probability(network: nn.Module, scene: Scene) -> NDArray[np.float32]:
    rows = probability_rows(network, scene.read, scene.truth.shape)
    return np.concatenate([block for _, block in rows])


def _per_case(loaded: Sequence[Scene], counts: Sequence[Counts]) -> Scored:
    cases: dict[str, Counts] = {}
    for scene, count in zip(loaded, counts, strict=True):
        cases[scene.case] = cases.get(scene.case, Counts()) + count
    return Scored(cases=cases)


def _observed(loaded: Sequence[Scene]) -> dict[str, float]:
    pixels: dict[str, tuple[int, int]] = {}
    for scene in loaded:
        seen, all_ = pixels.get(scene.case, (0, 0))
        pixels[scene.case] = seen + int(scene.valid.sum()), all_ + scene.valid.size
    return {name: seen / all_ for name, (seen, all_) in pixels.items()}


def best_dndvi_threshold(loaded: Sequence[Scene]) -> tuple[float, Scored] | None:
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
    counts = [Counts.of(_below(scene, threshold), scene.truth, scene.valid) for scene in loaded]
    return threshold, _per_case(loaded, counts)


def _histogram(scene: Scene, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    assert scene.dndvi is not None
    chosen = scene.dndvi[where & scene.valid & np.isfinite(scene.dndvi)]
    counts, _ = np.histogram(np.clip(chosen, -1, 1), BINS, (-1, 1))
    return counts.astype("float64")


def _below(scene: Scene, threshold: float) -> NDArray[np.bool_]:
    assert scene.dndvi is not None
    return np.asarray(np.nan_to_num(scene.dndvi, nan=np.inf) < threshold)
