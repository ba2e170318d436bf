"""Ways to choose and weigh members, from validation cases alone, side by side.

A way takes a sample of the validation pixels and returns weights (member,) that sum to 1; 0 is not chosen. It sees
members in the order of their names and random numbers of one seed, so neither the library's order nor a rerun changes
the choice. No way sees a test case: nothing here takes one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize, nnls
from scipy.special import expit

from landslide.ensembles.predictions import Library
from landslide.ensembles.sampling import PixelSample
from landslide.ensembles.scale import Scale
from landslide.metrics import pixel
from landslide.metrics.pixel import Floats

MIN_DEVIATION = 1e-6  # a standard deviation that is rounding
LOOPS = 200


class Options(BaseModel):
    """What the ways may be told.

    `size`: members of `top` and `diverse`; `relevance`: what F1 weighs in `diverse`, the rest is for being different;
    `steps` and `bags` of `forward`; `ridge` of `stacked` and `logistic`, as a share of the members' mean square.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(0.5, gt=0, lt=1)
    size: int = Field(20, ge=1)
    relevance: float = Field(0.7, ge=0, le=1)
    steps: int = Field(30, ge=1)
    bags: int = Field(10, ge=1)
    ridge: float = Field(1e-3, gt=0)
    seed: int = Field(0, ge=0)


class Row(BaseModel):
    """A way at a glance. `effective` is 1 / Σ w² (Kish 1965): as many members of equal weight spread the vote as far.

    `held_out_f1` is of groups that had no part in the choice nor in that of the threshold, each in turn, pooled,
    estimated from the sample: what ways are compared by.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    selector: str
    scale: Scale
    members: int
    effective: float
    held_out_f1: float | None


def top(sample: PixelSample, options: Options) -> Floats:
    """The best `size` members by F1, equal votes: the published way (arXiv 2310.05959)."""
    return _equal(np.argsort(-sample.f1, kind="stable")[: options.size], sample)


def all_members(sample: PixelSample, options: Options) -> Floats:
    """Every member, equal votes."""
    return _equal(np.arange(len(sample.members)), sample)


def diverse(sample: PixelSample, options: Options) -> Floats:
    """`size` members, each the best trade of F1 against likeness to those before it; equal votes.

    Maximal marginal relevance (Carbonell and Goldstein 1998): relevance · F1 / best F1 − (1 − relevance) · the greatest
    correlation of its error, probability − truth, with that of a chosen member. The first is the best by F1.
    """
    merit = options.relevance * sample.f1 / max(sample.f1.max(), np.finfo(float).tiny)
    alike = (1 - options.relevance) * error_correlation(sample)
    chosen = [int(merit.argmax())]
    while len(chosen) < min(options.size, len(merit)):
        gain = merit - alike[chosen].max(0)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
    return _equal(np.array(chosen), sample)


def error_correlation(sample: PixelSample) -> Floats:
    """(member, member) correlation of probability − truth over all pixels; 0 with one whose error never changes."""
    moments = sample.moments.sum(0)
    difference = np.eye(len(moments))[:-2]  # (member, v): probability − truth − the mean of that
    difference[:, -2] = -1
    difference[:, -1] = -(difference @ moments[:, -1]) / moments[-1, -1]
    covariance = difference @ moments @ difference.T
    deviation = np.sqrt(np.maximum(covariance.diagonal(), 0))
    scale = np.divide(
        1, deviation, out=np.zeros_like(deviation), where=deviation > MIN_DEVIATION * np.sqrt(moments[-1, -1])
    )
    return np.asarray(scale[:, None] * covariance * scale)


def stacked(sample: PixelSample, options: Options) -> Floats:
    """Weights of the least Brier score, 0 or above: stacking by non-negative least squares (Breiman 1996), convex.

    A small ridge keeps it unique where members are copies of each other; the weights are then scaled to sum to 1.
    """
    moments = sample.moments.sum(0)
    gram, aim = moments[:-2, :-2], moments[:-2, -2]
    ridge = options.ridge * max(gram.trace() / len(gram), np.finfo(float).tiny)
    root = cholesky(gram + ridge * np.eye(len(gram)))  # ‖Rw − R⁻ᵀb‖² is the squared error but for a constant
    weights, _ = nnls(root, solve_triangular(root, aim, trans="T"))
    return np.asarray(weights / weights.sum()) if weights.any() else all_members(sample, options)


def logistic(sample: PixelSample, options: Options) -> Floats:
    """Weights of the greatest likelihood, 0 or above: logistic regression of the truth on the members' logits.

    What stacking is to probabilities (van der Laan et al. 2007, Super Learner). A small ridge keeps it unique where
    members are copies of each other; the weights are then scaled to sum to 1, for a calibration follows.
    """
    values, truth, weight = sample.probabilities, sample.truth, sample.weight / sample.weight.sum()
    ridge = options.ridge * max(float(weight @ np.square(values, dtype="float64").mean(0)), np.finfo(float).tiny)
    members = len(values)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights, bias = parameters[:-1], parameters[-1]
        z = (weights.astype("float32") @ values).astype("float64") + bias
        slope = weight * (expit(z) - truth)
        value = weight @ (np.logaddexp(0, z) - truth * z) + ridge * (weights @ weights)
        return float(value), np.append(values @ slope.astype("float32") + 2 * ridge * weights, slope.sum())

    start = np.append(np.full(members, 1 / members), 0.0)
    bounds = [*[(0.0, None)] * members, (None, None)]
    weights = minimize(loss, start, jac=True, bounds=bounds, options={"maxiter": LOOPS}).x[:-1]
    return np.asarray(weights / weights.sum()) if weights.any() else all_members(sample, options)


def forward(sample: PixelSample, options: Options) -> Floats:
    """Greedy selection with replacement by F1, in bags (Caruana et al. 2004), stopped where it stops helping others.

    From each bag, a random half of the members, members are added one by one, each the one whose mean with those before
    has the best F1, and may be added again. This is done without each group in turn; the number of steps is the one
    whose F1 on the groups left out, over all bags, is best. The weights are the mean over all bags and groups.
    """
    folds = [(Greedy.of(rest), Greedy.of(held)) for rest, held in sample.folds()]
    folds = folds or [(Greedy.of(sample), Greedy.of(sample))]
    members, steps = len(sample.members), options.steps
    picks, counts = [], np.zeros((steps, 4))
    for bag in range(options.bags):
        random = np.random.default_rng([options.seed, bag])
        bagged = np.sort(random.permutation(members)[: -(-members // 2)])
        for rest, held in folds:
            picks.append(bagged[rest.path(bagged, steps)])
            counts += held.along(picks[-1])
    best = int(np.nan_to_num(pixel.f1(counts)).argmax()) + 1
    votes = np.bincount(np.concatenate([path[:best] for path in picks]), minlength=members)
    return np.asarray(votes / votes.sum())


@dataclass(frozen=True)
class Greedy:
    """A sample for adding members one by one: only where they disagree; elsewhere the counts are `fixed` (4,).

    `probabilities` (member, pixel) float32 are sorted by stratum, each from its `starts` on; a pixel of it stands for
    `tp` and `fp` (stratum,) pixels, one of which is 0.
    """

    probabilities: NDArray[np.float32]
    starts: NDArray[np.int64]
    tp: Floats
    fp: Floats
    fixed: Floats
    threshold: np.float32

    @classmethod
    def of(cls, sample: PixelSample) -> Greedy:
        """From a sample; the counts of what no member, or every member, maps are exact."""
        stratum = np.where(sample.contested, 2 * sample.group + sample.truth, -1)
        order = np.argsort(stratum, kind="stable")[np.count_nonzero(~sample.contested) :]
        found, starts = np.unique(stratum[order], return_index=True)
        weight, truth = sample.weight[order][starts], found % 2 == 1
        mapped = sample.probabilities[0] > np.float32(sample.threshold)
        tp = sample.weight[~sample.contested & mapped & sample.truth].sum()
        fp = sample.weight[~sample.contested & mapped & ~sample.truth].sum()
        positives, all_ = sample.weight[sample.truth].sum(), sample.weight.sum()
        fixed = np.array([tp, fp, positives - tp, all_ - positives - fp])
        values = np.ascontiguousarray(sample.probabilities[:, order])
        return cls(values, starts, weight * truth, weight * ~truth, fixed, np.float32(sample.threshold))

    def counts(self, above: NDArray[np.bool_]) -> Floats:
        """(…, 4) estimated tp, fp, fn, tn of what is mapped (…, pixel)."""
        if not len(self.starts):
            return np.broadcast_to(self.fixed, (*above.shape[:-1], 4))
        number = np.add.reduceat(above.view("uint8"), self.starts, axis=-1, dtype="int32")
        tp, fp = number @ self.tp, number @ self.fp
        return self.fixed + np.stack([tp, fp, -tp, -fp], -1)

    def path(self, members: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
        """(step,) which of the members is added at each step, as its place among them; among equals the first."""
        values = self.probabilities[members]
        total = np.zeros(values.shape[1], "float32")
        picks = np.empty(steps, "int64")
        for step in range(steps):
            least = np.float32(step + 1) * self.threshold - total
            picks[step] = np.nan_to_num(pixel.f1(self.counts(values > least))).argmax()
            total += values[picks[step]]
        return picks

    def along(self, picks: NDArray[np.int64]) -> Floats:
        """(step, 4) estimated counts of the mean of the first picks."""
        total = np.cumsum(self.probabilities[picks], axis=0)
        return self.counts(total > np.arange(1, len(picks) + 1, dtype="float32")[:, None] * self.threshold)


def _equal(chosen: NDArray[np.int64], sample: PixelSample) -> Floats:
    weights = np.zeros(len(sample.members))
    weights[chosen] = 1 / len(chosen)
    return weights


@dataclass(frozen=True)
class Selector:
    """How weights (member,) that sum to 1 are found from a sample, and what they average."""

    choose: Callable[[PixelSample, Options], Floats]
    scale: Scale = "probability"

    def __call__(self, sample: PixelSample, options: Options) -> Floats:
        """Weights in the order of the sample's members."""
        return self.choose(sample.on(self.scale), options)

    def held_out(self, sample: PixelSample, options: Options) -> float | None:
        """Pooled F1 of the groups that are left out in turn, of what the others chose; None without such groups."""
        counts = []
        for rest, held in ((rest.on(self.scale), held.on(self.scale)) for rest, held in sample.folds()):
            weights = self.choose(rest, options)
            counts.append(held.counts(weights, rest.best_threshold(weights)))
        f1 = float(pixel.f1(np.sum(counts, axis=0))) if counts else float("nan")
        return f1 if np.isfinite(f1) else None


SELECTORS = {
    "top": Selector(top),
    "forward": Selector(forward),
    "diverse": Selector(diverse),
    "stacked": Selector(stacked),
    "logistic": Selector(logistic, "logit"),
    "all_members": Selector(all_members),
}


def select_all(validation: Library, options: Options) -> tuple[dict[str, Floats], list[Row]]:
    """Weights (member,) of every way by its name, in the library's order, and a row of each.

    InputError where there is no landslide to choose by.
    """
    sample = PixelSample.draw(validation, options.threshold, options.seed)
    weights, rows = {}, []
    for name, way in SELECTORS.items():
        chosen = way(sample, options)
        weights[name] = in_order(chosen, validation)
        rows.append(
            Row(
                selector=name,
                scale=way.scale,
                members=int(np.count_nonzero(chosen)),
                effective=effective(chosen),
                held_out_f1=way.held_out(sample, options),
            )
        )
    return weights, rows


def effective(weights: Floats) -> float:
    """1 / Σ w² of weights (member,) that sum to 1 (Kish 1965)."""
    return float(1 / (weights**2).sum())


def in_order(weights: Floats, library: Library) -> Floats:
    """Weights in the order of a library's members, of weights in the order of their names."""
    ordered = np.empty_like(weights)
    ordered[np.argsort(library.members)] = weights
    return ordered
