"""Selectors: how members are selected and weighted, from validation cases only.

A selector takes a sample of the validation pixels and returns weights (member,) that sum to 1; a weight of 0 leaves a
member out. Members are sorted by name and random numbers come from one seed, so the result depends neither on the order
of the library nor on the run.
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

MIN_DEVIATION = 1e-6  # smaller standard deviations are rounding errors
MAX_ITERATIONS = 200  # of `logistic`


class Options(BaseModel):
    """Options of the selectors.

    Attributes:
        threshold: The probability above which a pixel is mapped.
        size: Number of members of `top` and `diverse`.
        relevance: Weight of F1 in `diverse`; the rest is the weight of diversity.
        steps: Maximum number of steps of `forward`.
        bags: Number of bags of `forward`.
        ridge: Ridge penalty of `stacked` and `logistic`, as a share of the members' mean square.
        seed: Seed of the sample and of the bags.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(0.5, gt=0, lt=1)
    size: int = Field(20, ge=1)
    relevance: float = Field(0.7, ge=0, le=1)
    steps: int = Field(30, ge=1)
    bags: int = Field(10, ge=1)
    ridge: float = Field(1e-3, gt=0)
    seed: int = Field(0, ge=0)


class SelectorSummary(BaseModel):
    """What a selector chose.

    `members` is the number of members with a weight. `held_out_f1`, by which selectors are compared, is the pooled F1
    of the groups, each left out in turn from the selection and from the choice of the threshold, estimated from the
    sample.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    selector: str
    scale: Scale
    members: int
    effective_size: float
    held_out_f1: float | None


def top(sample: PixelSample, options: Options) -> Floats:
    """The best `size` members by F1, equally weighted, as published (arXiv 2310.05959)."""
    return _equal(np.argsort(-sample.f1, kind="stable")[: options.size], sample)


def all_members(sample: PixelSample, options: Options) -> Floats:
    """All members, equally weighted."""
    return _equal(np.arange(len(sample.members)), sample)


def diverse(sample: PixelSample, options: Options) -> Floats:
    """`size` members that are good and different from each other, equally weighted.

    Maximal marginal relevance (Carbonell and Goldstein 1998). The first member is the best by F1. Each further member
    maximises relevance · F1 / best F1 − (1 − relevance) · its largest error correlation with a chosen member, where the
    error is probability − truth.
    """
    merit = options.relevance * sample.f1 / max(sample.f1.max(), np.finfo(float).tiny)
    similarity = (1 - options.relevance) * error_correlation(sample)
    chosen = [int(merit.argmax())]
    while len(chosen) < min(options.size, len(merit)):
        gain = merit - similarity[chosen].max(0)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
    return _equal(np.array(chosen), sample)


def error_correlation(sample: PixelSample) -> Floats:
    """Correlation (member, member) of the members' errors, probability − truth, over all pixels.

    It is 0 for a member whose error is constant.
    """
    moments = sample.moments.sum(0)
    error = np.eye(len(moments))[:-2]  # (member, v): the error minus its mean, as coefficients of `second_moments`' v
    error[:, -2] = -1
    error[:, -1] = -(error @ moments[:, -1]) / moments[-1, -1]
    covariance = error @ moments @ error.T
    deviation = np.sqrt(np.maximum(covariance.diagonal(), 0))
    scale = np.divide(
        1, deviation, out=np.zeros_like(deviation), where=deviation > MIN_DEVIATION * np.sqrt(moments[-1, -1])
    )
    return np.asarray(scale[:, None] * covariance * scale)


def stacked(sample: PixelSample, options: Options) -> Floats:
    """Non-negative weights with the lowest Brier score: stacking by non-negative least squares (Breiman 1996).

    A small ridge penalty makes the solution unique if members are copies of each other. The weights are then scaled to
    a sum of 1.
    """
    moments = sample.moments.sum(0)
    gram, target = moments[:-2, :-2], moments[:-2, -2]
    ridge = options.ridge * max(gram.trace() / len(gram), np.finfo(float).tiny)
    root = cholesky(gram + ridge * np.eye(len(gram)))  # ‖Rw − R⁻ᵀb‖² equals the squared error up to a constant
    weights, _ = nnls(root, solve_triangular(root, target, trans="T"))
    return np.asarray(weights / weights.sum()) if weights.any() else all_members(sample, options)


def logistic(sample: PixelSample, options: Options) -> Floats:
    """Non-negative weights of a logistic regression of the truth on the members' logits.

    Stacking on the logit scale (van der Laan et al. 2007, Super Learner). A small ridge penalty makes the solution
    unique if members are copies of each other. The weights are then scaled to a sum of 1; the bias is dropped, because
    the mean is calibrated later.
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
    weights = minimize(loss, start, jac=True, bounds=bounds, options={"maxiter": MAX_ITERATIONS}).x[:-1]
    return np.asarray(weights / weights.sum()) if weights.any() else all_members(sample, options)


def forward(sample: PixelSample, options: Options) -> Floats:
    """Greedy forward selection with replacement by F1, with bagging (Caruana et al. 2004) and early stopping.

    Each bag is a random half of the members. In each step the member that gives the mean the best F1 is added; it may
    be added again. This is repeated with each group left out in turn. The number of steps is the one with the best F1
    on the groups left out, over all bags. The weights are the mean over all bags and groups.
    """
    folds = [(GreedySample.of(rest), GreedySample.of(held_out)) for rest, held_out in sample.folds()]
    folds = folds or [(GreedySample.of(sample), GreedySample.of(sample))]
    members, steps = len(sample.members), options.steps
    paths, counts = [], np.zeros((steps, 4))
    for bag in range(options.bags):
        random = np.random.default_rng([options.seed, bag])
        bagged = np.sort(random.permutation(members)[: -(-members // 2)])
        for rest, held_out in folds:
            paths.append(bagged[rest.path(bagged, steps)])
            counts += held_out.path_counts(paths[-1])
    best = int(np.nan_to_num(pixel.f1(counts)).argmax()) + 1
    added = np.bincount(np.concatenate([path[:best] for path in paths]), minlength=members)
    return np.asarray(added / added.sum())


@dataclass(frozen=True)
class GreedySample:
    """A sample prepared for greedy selection: only the pixels that members disagree on are kept.

    Attributes:
        probabilities: Values (member, pixel), float32, sorted by stratum.
        starts: Index (stratum,) of the first pixel of each stratum.
        tp: Number (stratum,) of true positives that a mapped pixel of the stratum represents; 0 where truth is false.
        fp: The same for false positives; 0 where truth is true.
        fixed: Counts (4,) of tp, fp, fn and tn if no contested pixel is mapped.
        threshold: Where means are cut.
    """

    probabilities: NDArray[np.float32]
    starts: NDArray[np.int64]
    tp: Floats
    fp: Floats
    fixed: Floats
    threshold: np.float32

    @classmethod
    def of(cls, sample: PixelSample) -> GreedySample:
        """Prepare a sample. The counts of pixels that all members, or none, map are exact."""
        stratum = np.where(sample.contested, 2 * sample.group + sample.truth, -1)
        order = np.argsort(stratum, kind="stable")[np.count_nonzero(~sample.contested) :]
        strata, starts = np.unique(stratum[order], return_index=True)
        weight, truth = sample.weight[order][starts], strata % 2 == 1
        mapped = sample.probabilities[0] > np.float32(sample.threshold)
        tp = sample.weight[~sample.contested & mapped & sample.truth].sum()
        fp = sample.weight[~sample.contested & mapped & ~sample.truth].sum()
        positives, total = sample.weight[sample.truth].sum(), sample.weight.sum()
        fixed = np.array([tp, fp, positives - tp, total - positives - fp])
        values = np.ascontiguousarray(sample.probabilities[:, order])
        return cls(values, starts, weight * truth, weight * ~truth, fixed, np.float32(sample.threshold))

    def counts(self, mapped: NDArray[np.bool_]) -> Floats:
        """Estimated counts (…, 4) of tp, fp, fn and tn of mapped pixels (…, pixel)."""
        if not len(self.starts):
            return np.broadcast_to(self.fixed, (*mapped.shape[:-1], 4))
        number = np.add.reduceat(mapped.view("uint8"), self.starts, axis=-1, dtype="int32")
        tp, fp = number @ self.tp, number @ self.fp
        return self.fixed + np.stack([tp, fp, -tp, -fp], -1)

    def path(self, members: NDArray[np.int64], steps: int) -> NDArray[np.int64]:
        """Index (step,) into `members` of the member that is added at each step; the first one of a tie."""
        values = self.probabilities[members]
        total = np.zeros(values.shape[1], "float32")
        path = np.empty(steps, "int64")
        for step in range(steps):
            minimum = np.float32(step + 1) * self.threshold - total  # what a member has to add for the mean to be above
            path[step] = np.nan_to_num(pixel.f1(self.counts(values > minimum))).argmax()
            total += values[path[step]]
        return path

    def path_counts(self, path: NDArray[np.int64]) -> Floats:
        """Estimated counts (step, 4) of the mean of the first 1, 2, … members of a path (step,)."""
        total = np.cumsum(self.probabilities[path], axis=0)
        return self.counts(total > np.arange(1, len(path) + 1, dtype="float32")[:, None] * self.threshold)


def _equal(chosen: NDArray[np.int64], sample: PixelSample) -> Floats:
    weights = np.zeros(len(sample.members))
    weights[chosen] = 1 / len(chosen)
    return weights


@dataclass(frozen=True)
class Selector:
    """A function from a sample to weights (member,) that sum to 1, and the scale on which members are averaged."""

    choose: Callable[[PixelSample, Options], Floats]
    scale: Scale = "probability"

    def __call__(self, sample: PixelSample, options: Options) -> Floats:
        """Weights in the order of the sample's members."""
        return self.choose(sample.to_scale(self.scale), options)

    def held_out(self, sample: PixelSample, options: Options) -> float | None:
        """Pooled F1 of the groups, each left out in turn; None if there is only one group or the F1 is undefined."""
        counts = []
        for rest, held_out in sample.folds():
            scaled = rest.to_scale(self.scale)
            weights = self.choose(scaled, options)
            counts.append(held_out.to_scale(self.scale).counts(weights, scaled.best_threshold(weights)))
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


def select_all(validation: Library, options: Options) -> tuple[dict[str, Floats], list[SelectorSummary]]:
    """Weights (member,) of every selector, in the library's order, by its name, and a summary of each.

    Raises InputError if the validation cases have no landslide.
    """
    sample = PixelSample.draw(validation, options.threshold, options.seed)
    weights, summaries = {}, []
    for name, selector in SELECTORS.items():
        chosen = selector(sample, options)
        weights[name] = _in_library_order(chosen, validation)
        summaries.append(
            SelectorSummary(
                selector=name,
                scale=selector.scale,
                members=int(np.count_nonzero(chosen)),
                effective_size=effective_size(chosen),
                held_out_f1=selector.held_out(sample, options),
            )
        )
    return weights, summaries


def effective_size(weights: Floats) -> float:
    """The effective number of members, 1 / Σ w², of weights (member,) that sum to 1 (Kish 1965)."""
    return float(1 / (weights**2).sum())


def _in_library_order(weights: Floats, library: Library) -> Floats:
    """Weights in the order of a library's members, from weights in the order of their names."""
    ordered = np.empty_like(weights)
    ordered[np.argsort(library.members)] = weights
    return ordered
