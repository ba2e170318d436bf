"""Faults on purpose: what a service does to its clients on a bad day."""

import random
from collections.abc import Collection
from dataclasses import dataclass

from .replies import ApiError

COMPUTE = frozenset({"computePixels", "value:compute"})
RATES = ("too_many", "unavailable", "cut", "half", "slow", "memory")


@dataclass(frozen=True)
class Faults:
    """Rates are shares of requests (0 to 1), drawn by the number of the request and the seed: the same request in the
    same order meets the same fault.

    `too_many`: 429, with `retry_after` seconds in its header if given; `unavailable`: 503; `cut`: the connection closes
    without a reply; `half`: it closes in the midst of one whose length was announced; `slow`: the reply waits
    `slow_by` seconds more; `memory`: tiles of more than `memory_over` pixels (height times width) exceed the memory.
    `permanent`: numbers of requests (from 1) that are refused for good. `routes`: which of `computePixels`,
    `value:compute` and `getPixels` are concerned; all are counted. `failed_exports`: how many first exports fail.
    """

    seed: int = 0
    too_many: float = 0.0
    retry_after: float | None = None
    unavailable: float = 0.0
    cut: float = 0.0
    half: float = 0.0
    slow: float = 0.0
    slow_by: float = 1.0
    memory: float = 0.0
    memory_over: int = 0
    permanent: Collection[int] = ()
    routes: Collection[str] = COMPUTE
    failed_exports: int = 0

    def decide(self, number: int) -> "Decision":
        """What happens to the request of this number, counted from 1."""
        chance = random.Random(f"{self.seed}:{number}")
        return Decision(self, number, {name: chance.random() < getattr(self, name) for name in RATES})


@dataclass(frozen=True)
class Decision:
    """One request's lot."""

    faults: Faults
    number: int
    hits: dict[str, bool]

    def refuse(self) -> None:
        """ApiError where the request is refused before it is computed."""
        if self.number in self.faults.permanent:
            raise ApiError("Image.select: Band pattern 'missing' did not match any bands. Available bands: []")
        if self.hits["too_many"]:
            wait = self.faults.retry_after
            headers = {} if wait is None else {"Retry-After": f"{wait:g}"}
            raise ApiError("Too many concurrent aggregations.", 429, headers)
        if self.hits["unavailable"]:
            raise ApiError("The service is currently unavailable.", 503)

    def strain(self, pixels: int) -> None:
        """ApiError where that many pixels are too much."""
        if self.hits["memory"] and pixels > self.faults.memory_over:
            raise ApiError("User memory limit exceeded.")
