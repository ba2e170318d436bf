"""Successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): after each rung the better half continues.

Members are compared within an architecture, to keep the ensemble diverse. The rungs are synchronous, so the result does
not depend on the order in which members finish, unlike in the asynchronous form (ASHA).
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name")


def better_half(scores: Mapping[Name, float | None], strata: Mapping[Name, Hashable]) -> list[Name]:
    """The names in the upper half of their stratum, rounded up, in the given order.

    Ties go to the earlier name. A name without a score (a diverged member) is dropped.
    """
    groups: dict[Hashable, list[Name]] = defaultdict(list)
    for name in scores:
        groups[strata[name]].append(name)
    survivors = {name for group in groups.values() for name in _upper(group, scores)}
    return [name for name in scores if name in survivors]


def _upper(group: list[Name], scores: Mapping[Name, float | None]) -> list[Name]:
    scored = sorted((name for name in group if scores[name] is not None), key=lambda name: -(scores[name] or 0.0))
    return scored[: -(-len(group) // 2)]
