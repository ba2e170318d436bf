"""Successive halving: after a rung the better half of the members of each architecture goes on.

After Jamieson and Talwalkar 2016 (arXiv 1502.07943), an architecture at a time, since an ensemble lives by members that
differ. All members of a rung are waited for: who goes on depends on no clock, and a run repeated halves alike. The
asynchronous form that libraries for hyperparameters offer prunes by the order in which members happen to end.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name")


def better_half(scores: Mapping[Name, float | None], strata: Mapping[Name, Hashable]) -> list[Name]:
    """The names in the upper half of their stratum, rounded up, in the order given; ties go to the earlier one.

    A name without a score, of a member that diverged, goes no further.
    """
    groups: dict[Hashable, list[Name]] = defaultdict(list)
    for name in scores:
        groups[strata[name]].append(name)
    kept = {name for group in groups.values() for name in _upper(group, scores)}
    return [name for name in scores if name in kept]


def _upper(group: list[Name], scores: Mapping[Name, float | None]) -> list[Name]:
    scored = sorted((name for name in group if scores[name] is not None), key=lambda name: -(scores[name] or 0.0))
    return scored[: -(-len(group) // 2)]
