"""What a choice of members is made from: a sample of the validation cases' pixels, and each member's exact counts.

A pixel that every member maps, or none does, is mapped the same by every weighted mean of them, so its place in the
counts is known without a sample. Strata are therefore group × truth × agreement (no member, some, all); of each, the
same number of pixels is drawn at random without replacement and stands for all of the stratum (Horvitz and Thompson
1952). Estimated tp, fp and fn are unbiased for every ensemble; F1 is their ratio, so its bias is of the order of one
over the number drawn, and differences between ensembles are of the same pixels. 65,536 pixels are drawn altogether:
over five scenes, 2,184 a stratum.

Groups are what stands or falls together, and is left out together: cases; scenes where there is one case alone; the
four quarters of the scene where there is one alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from landslide.ensembles.combine import mean
from landslide.ensembles.predictions import BLOCK_PIXELS, Library, PredictionBlock, single
from landslide.ensembles.scale import Scale, link
from landslide.errors import InputError
from landslide.metrics import pixel
from landslide.metrics.pixel import Floats

PIXELS = 2**16
QUARTERS = ("upper left", "upper right", "lower left", "lower right")
AGREEMENTS = 3
SOME = 1  # of them, where members disagree
PENDING = 16  # samples of blocks that are held before the lowest of all are taken

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class PixelSample:
    """Members in the order of their names, whatever the library's, so that a choice depends on no order.

    `probabilities` (member, pixel) float32, or logits where `scale` says so; `truth`, `contested` (some members
    map it, not all), `group` and `weight` (how many pixels it stands for) are (pixel,); `alone` (group, member, 4)
    exact counts, tp, fp, fn, tn; `moments` are `second_moments`.
    """

    members: tuple[str, ...]
    groups: tuple[str, ...]
    threshold: float
    probabilities: NDArray[np.float32]
    truth: NDArray[np.bool_]
    contested: NDArray[np.bool_]
    group: NDArray[np.int64]
    weight: Floats
    alone: Counts
    moments: Floats
    scale: Scale = "probability"

    @property
    def f1(self) -> Floats:
        """(member,) pooled F1 of each member alone, exact; 0 where it is undefined."""
        return np.nan_to_num(pixel.f1(self.alone.sum(0).astype("float64")))

    def of(self, groups: list[int]) -> PixelSample:
        """The part of some groups."""
        kept = np.isin(self.group, groups)
        place = np.searchsorted(groups, self.group[kept])
        return replace(
            self, groups=tuple(self.groups[group] for group in groups), probabilities=self.probabilities[:, kept],
            truth=self.truth[kept], contested=self.contested[kept], group=place, weight=self.weight[kept],
            alone=self.alone[groups], moments=self.moments[groups],
        )  # fmt: skip

    def folds(self) -> list[tuple[PixelSample, PixelSample]]:
        """Without each group, and that group alone; only where there are landslides in the rest."""
        every = range(len(self.groups))
        parts = [(self.of([other for other in every if other != group]), self.of([group])) for group in every]
        return [(rest, held) for rest, held in parts if rest.truth.any()]

    def on(self, scale: Scale) -> PixelSample:
        """The same pixels, and the threshold, on the scale that is averaged; `moments` are then of logits."""
        if scale == "probability":
            return self
        values = link(self.probabilities, scale)
        threshold = float(link(np.float32(self.threshold), scale))  # type: ignore[arg-type]
        moments = second_moments(values, self.truth, self.weight, self.group)
        return replace(self, probabilities=values, threshold=threshold, moments=moments, scale=scale)

    def counts(self, weights: Floats, threshold: float | None = None) -> Floats:
        """(4,) estimated tp, fp, fn, tn of the mean under weights (member,), at the sample's threshold or another."""
        mapped = mean(self.probabilities, weights, self.scale) > np.float32(
            self.threshold if threshold is None else threshold
        )
        outcome = 2 * ~mapped + (mapped ^ self.truth)  # tp, fp, tn, fn
        tp, fp, tn, fn = np.bincount(outcome, self.weight, 4)
        return np.array([tp, fp, fn, tn])

    def best_threshold(self, weights: Floats) -> float:
        """Where the mean under weights (member,) has the highest estimated F1: halfway between two pixels' means."""
        values = mean(self.probabilities, weights, self.scale)
        order = np.argsort(-values, kind="stable")
        hits, all_ = (np.cumsum(one[order]) for one in (self.weight * self.truth, self.weight))
        ends = np.flatnonzero(np.diff(values[order]))  # a cut between equals is none
        if not len(ends):
            return self.threshold
        best = ends[(hits[ends] / (all_[ends] + hits[-1])).argmax()]
        return float(values[order[best : best + 2]].mean())

    @classmethod
    def draw(
        cls, library: Library, threshold: float, seed: int = 0, pixels: int = PIXELS, size: int = BLOCK_PIXELS
    ) -> PixelSample:
        """Draw from all cases of a library; the same seed draws the same pixels for any order of members and cases.

        InputError where there is no landslide to find.
        """
        order = np.argsort(library.members)
        strata = _Strata.of(library, threshold)
        each = max(pixels // (len(strata.groups) * 2 * AGREEMENTS), 1)
        drawn, alone = [], np.zeros((len(strata.groups), len(order), 4), "int64")
        for case in sorted(library.cases):

            def work(block: PredictionBlock, case: str = case) -> tuple[_Drawn, Counts]:
                return strata.draw(block, case, seed, each)

            kept: list[_Drawn] = []
            for part, counts in library.each(case, work, size):
                kept = [*kept, part] if len(kept) < PENDING else [_Drawn.joined([*kept, part]).lowest(each)]
                alone += counts
            drawn += [_Drawn.joined(kept).lowest(each)] if kept else []
        if not alone[..., [0, 2]].any():
            raise InputError(
                f"{list(library.cases)} have no landslide to choose members by. Validate on a case with one"
            )
        stratum, weight = (
            np.concatenate(values) for values in zip(*((d.stratum, d.weight) for d in drawn), strict=True)
        )
        probabilities = single(np.concatenate([one.probabilities for one in drawn], axis=1)[order])
        group, truth, agreement = np.unravel_index(stratum, (len(strata.groups), 2, AGREEMENTS))
        return cls(
            members=tuple(library.members[member] for member in order), groups=strata.groups, threshold=threshold,
            probabilities=probabilities, truth=truth == 1, contested=agreement == SOME, group=group, weight=weight,
            alone=alone[:, order], moments=second_moments(probabilities, truth == 1, weight, group),
        )  # fmt: skip


def second_moments(
    probabilities: NDArray[np.float32], truth: NDArray[np.bool_], weight: Floats, group: NDArray[np.int64]
) -> Floats:
    """(group, member + 2, member + 2): Σ weight · v · vᵀ, where v is a pixel's probabilities, its truth, and 1."""
    values = np.concatenate([probabilities, [truth, np.ones(len(truth))]]) * np.sqrt(weight)
    parts = (values[:, group == one] for one in range(int(group.max()) + 1))
    return np.stack([part @ part.T for part in parts])


@dataclass(frozen=True)
class _Drawn:
    """Pixels with a random priority; `size` (stratum,) is how many there were before any was dropped."""

    stratum: NDArray[np.int64]
    priority: Floats
    probabilities: NDArray[np.float16]
    size: Counts

    @property
    def weight(self) -> Floats:
        """(pixel,) how many pixels each stands for."""
        kept = np.bincount(self.stratum, minlength=len(self.size))
        return np.asarray((self.size / np.maximum(kept, 1))[self.stratum])

    def lowest(self, each: int) -> _Drawn:
        """Of each stratum the pixels of the lowest priorities: a random sample of all that has passed so far."""
        kept = []
        for stratum in np.flatnonzero(self.size):
            inside = np.flatnonzero(self.stratum == stratum)
            if len(inside) > each:
                inside = np.sort(inside[np.argpartition(self.priority[inside], each)[:each]])
            kept.append(inside)
        chosen = np.concatenate(kept)
        return _Drawn(self.stratum[chosen], self.priority[chosen], self.probabilities[:, chosen], self.size)

    @classmethod
    def joined(cls, drawn: list[_Drawn]) -> _Drawn:
        """All, one after the other."""
        return cls(
            np.concatenate([one.stratum for one in drawn]),
            np.concatenate([one.priority for one in drawn]),
            np.concatenate([one.probabilities for one in drawn], axis=1),
            np.sum([one.size for one in drawn], axis=0),
        )


@dataclass(frozen=True)
class _Strata:
    """How pixels are grouped: by `case`, `scene` or `quarter`; `bound` is the greatest float16 that is not mapped."""

    by: str
    groups: tuple[str, ...]
    bound: np.float16

    @classmethod
    def of(cls, library: Library, threshold: float) -> _Strata:
        bound = np.float16(threshold)
        if np.float32(bound) > np.float32(threshold):
            bound = np.nextafter(bound, np.float16(-1))
        cases = tuple(sorted(library.cases))
        if len(cases) > 1:
            return cls("case", cases, bound)
        parts = tuple(part.name for case in cases for part in library.parts(case))
        return cls("scene", parts, bound) if len(parts) > 1 else cls("quarter", QUARTERS, bound)

    def draw(self, block: PredictionBlock, case: str, seed: int, each: int) -> tuple[_Drawn, Counts]:
        """A sample of a block, and exact counts (group, member, 4) of each member alone in it."""
        side = 2 * self._group(block, case) + block.truth
        sides = 2 * len(self.groups)
        bound, words = self.bound.view("uint16"), block.probabilities.view("uint16")  # from 0 on in the same order
        mapped = np.stack([np.bincount(side[np.flatnonzero(row > bound)], minlength=sides) for row in words])
        missed = np.bincount(side, minlength=sides) - mapped
        agreement = (words.max(0) > bound).astype("int64") + (words.min(0) > bound)
        stratum = AGREEMENTS * side + agreement
        random = np.random.default_rng([seed, zlib.crc32(f"{case}/{block.part.name}".encode()), int(block.pixels[0])])
        drawn = _Drawn(
            stratum,
            random.random(len(stratum)),
            block.probabilities,
            np.bincount(stratum, minlength=sides * AGREEMENTS),
        )
        fp, tp, tn, fn = mapped[:, ::2], mapped[:, 1::2], missed[:, ::2], missed[:, 1::2]
        return drawn.lowest(each), np.stack([tp.T, fp.T, fn.T, tn.T], -1)

    def _group(self, block: PredictionBlock, case: str) -> NDArray[np.int64]:
        """(pixel,) index of the group."""
        if self.by != "quarter":
            return np.full(len(block.pixels), self.groups.index(case if self.by == "case" else block.part.name))
        row, column = np.divmod(block.pixels, np.uint32(block.part.width))
        return 2 * (2 * row >= block.part.height).astype("int64") + (2 * column >= block.part.width)
