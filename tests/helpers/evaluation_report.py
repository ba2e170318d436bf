"""Evaluation reports of made-up events."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from scipy import ndimage, special

from landslide.ensembles.calibration import Platt
from landslide.ensembles.confidence import ConfidenceClass
from landslide.evaluation.results import (
    Baseline,
    Bounds,
    EvaluationReport,
    Intervals,
    MemberResult,
    ObjectIntervals,
    ObjectResult,
    PixelIntervals,
    PixelScores,
    ReliabilityResult,
    Scores,
    SelectorResult,
    SizeResult,
)
from landslide.metrics.objects import SHARES, Objects, object_scores
from landslide.metrics.pixel import Counts, total
from landslide.metrics.reliability import histogram, reliability

CASES = ("amber-ridge", "hokkaido-2018", "juniper-range", "kaikoura-2016")
COVER = ("forest", "grassland", "fields", "bare rock", "clear-cut", "harvested field", "flood", "melting snow")
SELECTORS = (
    ("forward", "probability", 12, 7.4), ("paper", "probability", 20, 20.0), ("top", "probability", 20, 20.0),
    ("diverse", "probability", 20, 20.0), ("stacked", "probability", 9, 4.2), ("logistic", "logit", 14, 6.1),
    ("all_members", "probability", 90, 90.0),
)  # fmt: skip
SLICES = {
    "slope": ("< 10°", "10–20°", "20–30°", "30–40°", "≥ 40°"),
    "cover": COVER,
    "looks of s2_post": ("not seen", "1 look", "2 looks", "3–4 looks", "≥ 5 looks"),
}
THRESHOLD = 0.41


@cache
def made_up_report(seed: int = 0, skill: float = 1.0, cases: tuple[str, ...] = CASES) -> EvaluationReport:
    """A band set's report: scores and curves of made-up scenes, intervals and gains of made-up width."""
    random = np.random.default_rng(seed)
    scenes = {case: _scene(random, skill * random.uniform(0.8, 1.2)) for case in cases}
    counts = {case: Counts.of(p > THRESHOLD, truth, np.ones_like(truth)) for case, (truth, p) in scenes.items()}
    scores = PixelScores.from_counts(counts)
    counted = np.sum([histogram(p, truth) for truth, p in scenes.values()], axis=0)
    around = {name: _intervals(value, len(cases)) for name, value in scores.pooled}
    observed = {case: float(random.uniform(0.72, 1)) for case in cases}
    return EvaluationReport(
        **dict(scores),
        size=12,
        selector="forward",
        scale="probability",
        calibration=Platt.fit(counted),
        threshold=THRESHOLD,
        intervals=PixelIntervals(
            **{name: around[name] for name in ("precision", "recall", "f1", "iou", "mcc")},
            area_bias=_intervals(1.0, len(cases)),
        ),
        average_precision=(scores.pooled.f1 or 0.0) + 0.04,
        recall_at_precision={"0.5": 0.8, "0.9": None},
        objects=tuple(_objects(scenes, share) for share in SHARES),
        reliability=ReliabilityResult(before=reliability(counted), after=reliability(np.roll(counted, 20, axis=1))),
        confidence=(
            ConfidenceClass(name="high", least=0.83, patches=41, real=39),
            ConfidenceClass(name="medium", least=0.61, patches=63, real=44),
            ConfidenceClass(name="low", least=0.0, patches=58, real=19),
        ),
        slices={name: _slices(total(list(counts.values())), labels, random) for name, labels in SLICES.items()},
        selectors=tuple(_selector(random, scores, row) for row in SELECTORS),
        observed=observed,
        share_observed=float(np.mean(list(observed.values()))),
        median_member_f1=(scores.pooled.f1 or 0.0) - 0.05,
        baseline_dndvi=Baseline(threshold=-0.21, **dict(_lower(scores, 0.22))),
        curve=tuple(SizeResult(k=k, interval=None, **dict(scores)) for k in range(1, 91)),
        members=tuple(
            MemberResult(rank=k, name=f"Unet-dice-{k}", validation_f1=0.8 - k / 400, **dict(_lower(scores, k / 500)))
            for k in range(1, 31)
        ),
    )


def changed(report: EvaluationReport, **fields: Any) -> EvaluationReport:
    """A report with other values in some fields, validated."""
    return EvaluationReport.model_validate(report.model_dump() | fields)


def undefined(scores: Scores) -> Scores:
    """The same counts without a score."""
    return scores.model_copy(update=dict.fromkeys(("precision", "recall", "f1", "iou", "mcc")))


def _scene(random: np.random.Generator, skill: float, side: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probability (y, x) of discs of many sizes, the better separated the larger they are."""
    y, x = np.mgrid[:side, :side]
    truth, signal = np.zeros((side, side), bool), np.zeros((side, side))
    for radius in random.pareto(1.3, 40).clip(0.3, 9) + 1.5:
        row, column = random.uniform(0, side, 2)
        inside = (y - row) ** 2 + (x - column) ** 2 <= radius**2
        truth |= inside
        signal[inside] = skill * (2 + radius)
    noise = ndimage.gaussian_filter(random.normal(size=(side, side)), 2)
    return truth, special.expit(0.7 * signal + 2.2 * noise / noise.std() - 5.6).astype("float32")


def _objects(scenes: Mapping[str, tuple[np.ndarray, np.ndarray]], share: float) -> ObjectResult:
    objects = Objects.pooled([Objects.of(p > THRESHOLD, t, np.ones_like(t), 100) for t, p in scenes.values()])
    rate = _intervals(0.8, len(scenes))
    intervals = ObjectIntervals(detection_rate=rate, false_alarm_ratio=rate)
    return ObjectResult(**dict(object_scores(objects, share)), intervals=intervals)


def _around(value: float, width: float) -> Bounds:
    return max(value - width, 0), min(value + 0.8 * width, 1)


def _intervals(value: float, events: int) -> Intervals:
    return Intervals(landslides=_around(value, 0.03), events=_around(value, 0.11) if events >= 3 else None)


def _slices(counts: Counts, labels: Sequence[str], random: np.random.Generator) -> dict[str, Scores]:
    """Counts divided among slices."""
    shares = {name: random.dirichlet(np.ones(len(labels))) for name in Counts.model_fields}
    return {
        label: Scores.of(Counts(**{name: int(getattr(counts, name) * share[i]) for name, share in shares.items()}))
        for i, label in enumerate(labels)
    }


def _lower(scores: PixelScores, difference: float) -> PixelScores:
    """Scores whose F1 is lower by a difference."""
    pooled = scores.pooled.model_copy(update={"f1": (scores.pooled.f1 or 0.0) - difference})
    return PixelScores(pooled=pooled, cases=scores.cases)


def _selector(random: np.random.Generator, scores: PixelScores, row: tuple[str, Any, int, float]) -> SelectorResult:
    name, scale, members, effective = row
    paper = name == "paper"
    gain = 0.0 if paper else float(random.normal(0.01, 0.015))
    f1 = scores.pooled.f1 or 0.0
    fields: Mapping[str, Any] = dict(_lower(scores, 0.01 - gain))
    return SelectorResult(
        **fields, selector=name, scale=scale, members=members, effective_size=effective, held_out_f1=0.01 + f1 + gain,
        threshold=0.5 if paper else THRESHOLD, interval=_around(f1, 0.03), gain=gain,
        gain_interval=(0.0, 0.0) if paper else (gain - 0.015, gain + 0.012),
        events_won=0 if paper else 3, events=len(scores.cases), ece=float(random.uniform(0.004, 0.03)),
    )  # fmt: skip
