"""The leakage audit: are the same pixels in two roles of an experiment?

Published archives contain duplicate chips, and chips that overlap at any offset. The audit compares squares of 5 × 5
pixels in which every band is observed: the float32 values of each pixel are hashed to 64 bits, and the sum of the 25
hashes is hashed again. Copies are detected at any position, also rotated or flipped, but only if they are exact to the
bit, not after resampling, scaling or lossy compression. Single pixels are not enough: of two scenes with three 8-bit
bands, most colours of one occur in the other. Flat squares, such as padding, are left out for the same reason.
docs/evaluation.md has the figures.

Memory is bounded by sampling hashes that are multiples of a power of two, which selects the same squares in every case;
the power depends on the size of all cases together. Each case counts a hash once, so repeated patterns have no weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, field_validator

from landslide.artifacts.stage import Artifact, Stage
from landslide.bands import band_indices
from landslide.cases.fields import ROLES
from landslide.datasets.stack import Stack, StackPart, open_stacks
from landslide.errors import InputError
from landslide.geo.grid import blocks, distance_km
from landslide.progress import track

AUDIT_FILE = "audit.json"
MAX_SHARE = 0.01  # of a case's squares, also in cases of other roles
MIN_SQUARES = 10  # distinct repeated squares, for a share to be meaningful
SQUARE = 5  # pixels
MIN_CHANGES = 8  # differing pairs of neighbours, of 20 along the rows or columns of a square; else it is flat
SAMPLE = 2**21  # squares of all cases together
READ_SIDE = 1024
PARTS_LISTED = 10  # pairs of parts

if TYPE_CHECKING:
    from landslide.artifacts.store import ArtifactStore

Hashes = NDArray[np.uint64]
NO_HASHES: Hashes = np.zeros(0, "uint64")


class Audited(BaseModel):
    """A case: the number of its observed squares that are not flat, of distinct sampled ones, and of repeated ones.

    A square is repeated if a case of an earlier role (train, validation, test) has it; None for training cases.
    """

    case: str
    role: str
    squares: int
    sampled: int
    repeated: int | None = None

    @property
    def share(self) -> float:
        """Repeated squares as a share of the sampled ones; 0 if none were sampled."""
        return (self.repeated or 0) / max(self.sampled, 1)


class Parts(BaseModel):
    """A part of the case, the first part of the other case with the same squares, and their number."""

    part: str
    other: str
    repeated: int


class Pair(BaseModel):
    """A case compared with a case of an earlier role.

    `distance_km` and `same_date` are None if a case has no location or date; `share` is of the case's sampled squares,
    None if it has none; `parts` are those with the most repeated squares.
    """

    case: str
    role: str
    other: str
    other_role: str
    distance_km: float | None
    same_date: bool | None
    repeated: int
    share: float | None
    parts: list[Parts]


class Audit(BaseModel):
    """`audit.json`. One in `one_in` distinct squares was compared."""

    bands: tuple[str, ...]
    one_in: int
    cases: list[Audited]
    pairs: list[Pair]

    def summary(self) -> str:
        """One line for the log: the number of pairs, the nearest cases and the case with the most repeated pixels."""
        lines = [f"{len(self.cases)} cases, {len(self.pairs)} pairs across roles"]
        placed = [pair.distance_km for pair in self.pairs if pair.distance_km is not None]
        lines.append(f"nearest {min(placed):,.0f} km apart" if placed else "no distance known")
        dated = [pair.same_date for pair in self.pairs if pair.same_date is not None]
        lines.append(f"{sum(dated)} of {len(dated)} dated ones of one date" if dated else "no dates known")
        worst = max((case for case in self.cases if case.repeated is not None), key=_share, default=None)
        if worst is not None:
            lines.append(
                f"at most {worst.share:.2%} of a case's pixels repeated ({worst.case}, {worst.sampled:,} compared)"
            )
        if empty := [case.case for case in self.cases if not case.sampled]:
            lines.append(f"nothing to compare in {empty}")
        return "; ".join(lines)


class AuditCases(Stage):
    """The audit of an experiment's cases: stacks by role and case id. The order of the bands does not matter."""

    name: ClassVar[str] = "audit"
    version: ClassVar[int] = 2
    sources: ClassVar[tuple[str, ...]] = ("landslide.datasets.leakage", "landslide.datasets.stack")

    bands: tuple[str, ...]
    stacks: dict[str, dict[str, Artifact]]

    @field_validator("bands")
    @classmethod
    def _sorted(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(bands))

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Write `audit.json`. Repeated pixels are not an error here; `refuse_duplicates` raises."""
        audit(self.bands, open_stacks(self.stacks, store), folder)


def audit(bands: Sequence[str], stacks: dict[str, list[Stack]], folder: Path) -> None:
    """Write `audit.json` of the stacks by role. It depends neither on the order of the bands nor of the cases.

    BandError if a stack lacks a band.
    """
    ordered = tuple(sorted(bands))
    cases = [(role, stack) for role in ROLES for stack in sorted(stacks.get(role, []), key=_id)]
    for _, stack in cases:
        band_indices(ordered, stack.info.bands, f"case {_id(stack)}")
    one_in = _one_in(sum(part.height * part.width for _, stack in cases for part in stack.info.parts))
    samples = [_CaseHashes.of(role, stack, ordered, one_in) for role, stack in track(cases, "Auditing for leakage")]
    common = _in_common(samples)
    pairs = [_pair(early, late) for early, late in combinations(common, 2) if early.role != late.role]
    found = Audit(bands=ordered, one_in=one_in, cases=[_audited(one, common) for one in common], pairs=pairs)
    (folder / AUDIT_FILE).write_text(found.model_dump_json(indent=1))


def refuse_duplicates(folder: Path) -> Audit:
    """Read the audit; InputError if a case shares more than `MAX_SHARE` of its pixels with cases of earlier roles."""
    path = folder / AUDIT_FILE
    found = Audit.model_validate_json(path.read_text())
    repeating = [case for case in found.cases if (case.repeated or 0) >= MIN_SQUARES and case.share > MAX_SHARE]
    if not repeating:
        return found
    worst = max(repeating, key=_share)
    pair = max((pair for pair in found.pairs if pair.case == worst.case), key=lambda pair: pair.repeated)
    more = f" So do {len(repeating) - 1} other case(s)." if len(repeating) > 1 else ""
    parts = ", ".join(f"{one.part} with {one.other}" for one in pair.parts[:3])
    raise InputError(
        f"case {pair.case} ({pair.role}) has {worst.share:.1%} of its pixels in common with cases of other roles, "
        f"{pair.share or 0:.1%} with case {pair.other} ({pair.other_role}), more than {MAX_SHARE:.0%}.{more} Give them "
        f"one role, or leave one of each two parts out ({parts}; all in {path})"
    )


def square_hashes(values: NDArray[np.float32]) -> Hashes:
    """64-bit hashes (square,) of all squares of an image (band, y, x) float32 that are observed and not flat.

    A pixel is observed if every band is finite; -0 counts as 0. Images narrower than five pixels have no squares.
    """
    words, seen = np.zeros(values.shape[1:], "uint64"), np.ones(values.shape[1:], bool)
    for plane in values:
        seen &= np.isfinite(plane)
        words ^= (plane + np.float32(0)).view("uint32")
        words *= np.uint64(0x9E3779B97F4A7C15)
        words ^= words >> np.uint64(29)
    whole = _over_squares(seen, np.logical_and, (SQUARE, SQUARE))
    squares: Hashes = _mixed(_over_squares(_mixed(words), np.add, (SQUARE, SQUARE)))
    return squares[whole & _textured(words)]


def _textured(pixels: Hashes) -> NDArray[np.bool_]:
    """Whether at least `MIN_CHANGES` neighbours differ along the rows of a square, and as many along its columns."""
    along, down = (pixels[:, 1:] != pixels[:, :-1]).view("uint8"), (pixels[1:] != pixels[:-1]).view("uint8")
    changes = np.minimum(
        _over_squares(along, np.add, (SQUARE, SQUARE - 1)), _over_squares(down, np.add, (SQUARE - 1, SQUARE))
    )
    return np.asarray(changes >= MIN_CHANGES)


def _mixed(words: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _over_squares(pixels: NDArray[Any], combine: Callable[..., NDArray[Any]], sides: tuple[int, int]) -> NDArray[Any]:
    """Combine the pixels of the rectangle of these sides that starts at each pixel (y, x) where it fits."""
    for side in sides:
        length = max(len(pixels) - side + 1, 0)
        combined = pixels[:length].copy()
        for shift in range(1, side):
            combine(combined, pixels[shift : shift + length], out=combined)
        pixels = combined.T
    return pixels


def _one_in(pixels: int) -> int:
    """The sampling interval, a power of two, that leaves about `SAMPLE` squares at most."""
    return 1 << max(math.ceil(math.log2(max(pixels, 1) / SAMPLE)), 0)


@dataclass(frozen=True)
class _CaseHashes:
    """The distinct sampled hashes of a case in ascending order, and the index of the first part with each.

    `squares` and `sampled` are the numbers before `among` dropped any.
    """

    role: str
    stack: Stack
    squares: int
    sampled: int
    hashes: Hashes
    part: NDArray[np.intp]

    @classmethod
    def of(cls, role: str, stack: Stack, bands: Sequence[str], one_in: int) -> _CaseHashes:
        counts, sampled = zip(*(_part(stack, part, bands, one_in) for part in stack.info.parts), strict=True)
        hashes, first = np.unique(np.concatenate(sampled), return_index=True)
        part = np.repeat(np.arange(len(sampled)), [len(one) for one in sampled])
        return cls(role, stack, sum(counts), len(hashes), hashes, part[first])

    def among(self, hashes: Hashes) -> _CaseHashes:
        among = np.isin(self.hashes, hashes, assume_unique=True)
        return replace(self, hashes=self.hashes[among], part=self.part[among])


def _part(stack: Stack, part: StackPart, bands: Sequence[str], one_in: int) -> tuple[int, Hashes]:
    """The number of squares of a part, and its distinct sampled hashes. Squares across blocks are left out."""
    squares, sampled = 0, []
    with stack.reader(part.name) as reader:
        for roi in blocks((part.height, part.width), READ_SIDE):
            found = square_hashes(reader.read(bands, roi))
            squares += len(found)
            sampled.append(_distinct(found[found & np.uint64(one_in - 1) == 0]))
    return squares, _distinct(np.concatenate(sampled))


def _distinct(hashes: Hashes) -> Hashes:
    """Distinct hashes in ascending order; several times as fast as numpy.unique, which builds a hash table."""
    ordered = np.sort(hashes)
    first = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    return np.asarray(ordered[first])


def _in_common(samples: list[_CaseHashes]) -> list[_CaseHashes]:
    """Each sample reduced to hashes that another sample has too, so that comparing pairs is fast."""
    every = np.sort(np.concatenate([sample.hashes for sample in samples]))
    shared = _distinct(every[1:][every[1:] == every[:-1]])
    return [sample.among(shared) for sample in samples]


def _audited(sample: _CaseHashes, samples: list[_CaseHashes]) -> Audited:
    repeated = None
    if sample.role != ROLES[0]:
        earlier = [other.hashes for other in samples if _role_index(other) < _role_index(sample)]
        repeated = int(
            np.isin(sample.hashes, _distinct(np.concatenate([NO_HASHES, *earlier])), assume_unique=True).sum()
        )
    return Audited(
        case=_id(sample.stack), role=sample.role, squares=sample.squares, sampled=sample.sampled, repeated=repeated
    )


def _pair(early: _CaseHashes, late: _CaseHashes) -> Pair:
    _, mine, theirs = np.intersect1d(late.hashes, early.hashes, assume_unique=True, return_indices=True)
    case, other = late.stack.info.case, early.stack.info.case
    dates = (case.event_date, other.event_date)
    return Pair(
        case=case.id, role=late.role, other=other.id, other_role=early.role, distance_km=distance_km(case, other),
        same_date=None if None in dates else dates[0] == dates[1], repeated=len(mine),
        share=len(mine) / late.sampled if late.sampled else None,
        parts=_alike(late, late.part[mine], early, early.part[theirs]),
    )  # fmt: skip


def _alike(late: _CaseHashes, mine: NDArray[np.intp], early: _CaseHashes, theirs: NDArray[np.intp]) -> list[Parts]:
    """The pairs of parts with the most repeated squares, given the part of each on both sides."""
    names, others = ([part.name for part in sample.stack.info.parts] for sample in (late, early))
    pairs, counts = np.unique(mine * len(others) + theirs, return_counts=True)
    most = np.argsort(-counts, kind="stable")[:PARTS_LISTED]
    return [
        Parts(part=names[pair // len(others)], other=others[pair % len(others)], repeated=int(count))
        for pair, count in zip(pairs[most], counts[most], strict=True)
    ]


def _role_index(sample: _CaseHashes) -> int:
    roles: tuple[str, ...] = ROLES
    return roles.index(sample.role)


def _share(case: Audited) -> float:
    return case.share


def _id(stack: Stack) -> str:
    return stack.info.case.id
