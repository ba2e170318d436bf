"""The sample from which members are selected: pixels of the validation cases, and each member's exact counts.

A pixel that every member maps, or that no member maps, is mapped the same by every weighted mean, so its contribution
to the counts is known without a sample. Strata are therefore group × truth × agreement (no, some or all members). The
same number of pixels is drawn from each stratum, at random without replacement, and weighted to represent all of it
(Horvitz and Thompson 1952). The estimates of tp, fp and fn are unbiased for every ensemble; F1 is a ratio of them, so
its bias is of the order of 1 / sample size. Differences between ensembles are measured on the same pixels. 65,536
pixels are drawn in total: 2,184 a stratum with five scenes.

Groups are the units that are left out in cross-validation: cases; the scenes of a single case; or the four quarters of
a single scene.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from landslide.ensembles.combine import weighted_mean
from landslide.ensembles.predictions import BLOCK_PIXELS, Library, PredictionBlock, single
from landslide.ensembles.scale import Scale, link
from landslide.errors import InputError
from landslide.metrics import pixel
from landslide.metrics.pixel import Floats

PIXELS = 2**16
QUARTERS = ("upper left", "upper right", "lower left", "lower right")
AGREEMENTS, SOME = 3, 1  # no member, some members, all members; the index of `some`
MAX_PENDING = 16  # samples of blocks that are held before they are merged and thinned

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class PixelSample:
    """A weighted sample of pixels.

    Members are sorted by name, whatever their order in the library, so that a selection does not depend on that order.

    Attributes:
        members: Names of the members.
        groups: Names of the groups.
        threshold: Where means are cut, on the sample's scale.
        probabilities: Values (member, pixel), float32, on `scale`.
        truth: Whether each pixel (pixel,) is landslide.
        contested: Whether some, but not all, members map each pixel (pixel,).
        group: Index (pixel,) of each pixel's group.
        weight: Number of pixels (pixel,) that each represents.
        member_counts: Exact counts (group, member, 4) of tp, fp, fn and tn of each member.
        moments: `second_moments` of the sample.
        scale: The scale of `probabilities`, `threshold` and `moments`.
    """

    members: tuple[str, ...]
    groups: tuple[str, ...]
    threshold: float
    probabilities: NDArray[np.float32]
    truth: NDArray[np.bool_]
    contested: NDArray[np.bool_]
    group: NDArray[np.int64]
    weight: Floats
    member_counts: Counts
    moments: Floats
    scale: Scale = "probability"

    @property
    def f1(self) -> Floats:
        """Exact pooled F1 (member,) of each member; 0 where it is undefined."""
        return np.nan_to_num(pixel.f1(self.member_counts.sum(0).astype("float64")))

    def subset(self, groups: list[int]) -> PixelSample:
        """The sample of some groups, given by index."""
        selected = np.isin(self.group, groups)
        return replace(
            self, groups=tuple(self.groups[group] for group in groups), probabilities=self.probabilities[:, selected],
            truth=self.truth[selected], contested=self.contested[selected],
            group=np.searchsorted(groups, self.group[selected]), weight=self.weight[selected],
            member_counts=self.member_counts[groups], moments=self.moments[groups],
        )  # fmt: skip

    def folds(self) -> list[tuple[PixelSample, PixelSample]]:
        """For each group, the sample without it and the sample of it alone, if there are landslides without it."""
        indices = range(len(self.groups))
        parts = [(self.subset([i for i in indices if i != group]), self.subset([group])) for group in indices]
        return [(rest, held_out) for rest, held_out in parts if rest.truth.any()]

    def to_scale(self, scale: Scale) -> PixelSample:
        """The sample with its probabilities, threshold and moments on another scale."""
        if scale == "probability":
            return self
        values = link(self.probabilities, scale)
        threshold = float(link(np.float32(self.threshold), scale))  # type: ignore[arg-type]
        moments = second_moments(values, self.truth, self.weight, self.group)
        return replace(self, probabilities=values, threshold=threshold, moments=moments, scale=scale)

    def counts(self, weights: Floats, threshold: float | None = None) -> Floats:
        """Estimated counts (4,) of tp, fp, fn and tn of the mean under weights (member,).

        The mean is cut at the sample's threshold, or at another one on the sample's scale.
        """
        mapped = weighted_mean(self.probabilities, weights, self.scale) > np.float32(
            self.threshold if threshold is None else threshold
        )
        outcome = 2 * ~mapped + (mapped ^ self.truth)  # tp, fp, tn, fn
        tp, fp, tn, fn = np.bincount(outcome, self.weight, 4)
        return np.array([tp, fp, fn, tn])

    def best_threshold(self, weights: Floats) -> float:
        """The threshold with the highest estimated F1 of the mean under weights (member,).

        It lies halfway between the means of two pixels.
        """
        values = weighted_mean(self.probabilities, weights, self.scale)
        order = np.argsort(-values, kind="stable")
        tp, mapped = (np.cumsum(one[order]) for one in (self.weight * self.truth, self.weight))
        ends = np.flatnonzero(np.diff(values[order]))  # pixels with equal means cannot be separated
        if not len(ends):
            return self.threshold
        best = ends[(tp[ends] / (mapped[ends] + tp[-1])).argmax()]
        return float(values[order[best : best + 2]].mean())

    @classmethod
    def draw(
        cls, library: Library, threshold: float, seed: int = 0, pixels: int = PIXELS, size: int = BLOCK_PIXELS
    ) -> PixelSample:
        """Draw a sample from all cases of a library.

        Args:
            library: The predictions of the members.
            threshold: The probability above which a pixel is mapped.
            seed: The same seed draws the same pixels, whatever the order of members and cases.
            pixels: Maximum number of pixels to draw.
            size: Pixels of a block that is read at once.

        Raises:
            InputError: No case has a landslide.
        """
        order = np.argsort(library.members)
        strata = _Strata.of(library, threshold)
        per_stratum = max(pixels // (len(strata.groups) * 2 * AGREEMENTS), 1)
        drawn, member_counts = [], np.zeros((len(strata.groups), len(order), 4), "int64")
        for case in sorted(library.cases):
            pending: list[_Draw] = []
            for part, counts in library.each(case, partial(strata.draw, case, seed, per_stratum), size):
                member_counts += counts
                pending.append(part)
                if len(pending) > MAX_PENDING:
                    pending = [_Draw.joined(pending).lowest(per_stratum)]
            drawn += [_Draw.joined(pending).lowest(per_stratum)] if pending else []
        if not member_counts[..., [0, 2]].any():
            raise InputError(
                f"{list(library.cases)} have no landslide to choose members by. Validate on a case with one"
            )
        stratum, weight = (
            np.concatenate(values) for values in zip(*((one.stratum, one.weight) for one in drawn), strict=True)
        )
        probabilities = single(np.concatenate([one.probabilities for one in drawn], axis=1)[order])
        group, truth, agreement = np.unravel_index(stratum, (len(strata.groups), 2, AGREEMENTS))
        return cls(
            members=tuple(library.members[member] for member in order), groups=strata.groups, threshold=threshold,
            probabilities=probabilities, truth=truth == 1, contested=agreement == SOME, group=group, weight=weight,
            member_counts=member_counts[:, order], moments=second_moments(probabilities, truth == 1, weight, group),
        )  # fmt: skip


def second_moments(
    probabilities: NDArray[np.float32], truth: NDArray[np.bool_], weight: Floats, group: NDArray[np.int64]
) -> Floats:
    """Weighted second moments Σ weight · v · vᵀ of each group.

    The vector v of a pixel is its values of all members, its truth, and 1.

    Args:
        probabilities: Values (member, pixel).
        truth: Whether each pixel (pixel,) is landslide.
        weight: Weight (pixel,) of each pixel.
        group: Index (pixel,) of each pixel's group.

    Returns:
        Moments (group, member + 2, member + 2).
    """
    values = np.concatenate([probabilities, [truth, np.ones(len(truth))]]) * np.sqrt(weight)
    parts = (values[:, group == one] for one in range(int(group.max()) + 1))
    return np.stack([part @ part.T for part in parts])


@dataclass(frozen=True)
class _Draw:
    """Pixels with a random priority each; `size` (stratum,) is the number of pixels before any was dropped."""

    stratum: NDArray[np.int64]
    priority: Floats
    probabilities: NDArray[np.float16]
    size: Counts

    @property
    def weight(self) -> Floats:
        """Number of pixels (pixel,) that each represents."""
        drawn = np.bincount(self.stratum, minlength=len(self.size))
        return np.asarray((self.size / np.maximum(drawn, 1))[self.stratum])

    def lowest(self, count: int) -> _Draw:
        """The `count` pixels of lowest priority of each stratum: a random sample of all pixels so far."""
        parts = []
        for stratum in np.flatnonzero(self.size):
            indices = np.flatnonzero(self.stratum == stratum)
            if len(indices) > count:
                indices = np.sort(indices[np.argpartition(self.priority[indices], count)[:count]])
            parts.append(indices)
        drawn = np.concatenate(parts)
        return _Draw(self.stratum[drawn], self.priority[drawn], self.probabilities[:, drawn], self.size)

    @classmethod
    def joined(cls, draws: list[_Draw]) -> _Draw:
        """The concatenation of several draws."""
        return cls(
            np.concatenate([one.stratum for one in draws]),
            np.concatenate([one.priority for one in draws]),
            np.concatenate([one.probabilities for one in draws], axis=1),
            np.sum([one.size for one in draws], axis=0),
        )


@dataclass(frozen=True)
class _Strata:
    """How pixels are stratified.

    Groups are by `case`, `scene` or `quarter`; `bound` is the largest float16 that is not above the threshold.
    """

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

    def draw(self, case: str, seed: int, count: int, block: PredictionBlock) -> tuple[_Draw, Counts]:
        """A sample of a block, `count` pixels a stratum, and the exact counts (group, member, 4) of each member."""
        classes = 2 * len(self.groups)
        group_truth = 2 * self._group(block, case) + block.truth
        # Floats that are not negative sort like their bit patterns, and integers are faster to compare than float16.
        bound, bits = self.bound.view("uint16"), block.probabilities.view("uint16")
        mapped = np.stack([np.bincount(group_truth[np.flatnonzero(row > bound)], minlength=classes) for row in bits])
        missed = np.bincount(group_truth, minlength=classes) - mapped
        agreement = (bits.max(0) > bound).astype("int64") + (bits.min(0) > bound)
        stratum = AGREEMENTS * group_truth + agreement
        random = np.random.default_rng([seed, zlib.crc32(f"{case}/{block.part.name}".encode()), int(block.pixels[0])])
        draw = _Draw(
            stratum,
            random.random(len(stratum)),
            block.probabilities,
            np.bincount(stratum, minlength=classes * AGREEMENTS),
        )
        fp, tp, tn, fn = mapped[:, ::2], mapped[:, 1::2], missed[:, ::2], missed[:, 1::2]
        return draw.lowest(count), np.stack([tp.T, fp.T, fn.T, tn.T], -1)

    def _group(self, block: PredictionBlock, case: str) -> NDArray[np.int64]:
        """Index (pixel,) of each pixel's group."""
        if self.by != "quarter":
            return np.full(len(block.pixels), self.groups.index(case if self.by == "case" else block.part.name))
        row, column = np.divmod(block.pixels, np.uint32(block.part.width))
        return 2 * (2 * row >= block.part.height).astype("int64") + (2 * column >= block.part.width)
