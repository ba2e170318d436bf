"""Fault injection: errors, closed connections and slow replies."""

import random
from collections.abc import Collection
from dataclasses import dataclass

from .replies import ApiError

COMPUTE = frozenset({"computePixels", "value:compute"})
RATES = ("too_many", "unavailable", "cut", "half", "slow", "memory")


@dataclass(frozen=True)
class Faults:
    """The faults to inject.

    Rates are shares of requests, 0 to 1. They are drawn from the seed and the number of the request, so the same
    sequence of requests meets the same faults.

    Attributes:
        seed: Seed of the draws.
        too_many: Rate of status 429.
        retry_after: Seconds in the Retry-After header of a 429, if any.
        unavailable: Rate of status 503.
        cut: Rate of connections closed without a reply.
        half: Rate of connections closed after half of the announced reply.
        slow: Rate of delayed replies.
        slow_by: Delay in seconds.
        memory: Rate of "User memory limit exceeded" for tiles of more than `memory_over` pixels.
        memory_over: Pixels (height times width) of a tile that never exceed the memory.
        permanent: Numbers of requests, from 1, that are always refused with status 400.
        routes: The routes to which faults apply, of `computePixels`, `value:compute` and `getPixels`. Requests of all
            routes are counted.
        failed_exports: Number of first exports that fail.
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

    def decide(self, number: int) -> "FaultDecision":
        """The faults of a request by its number, from 1."""
        rng = random.Random(f"{self.seed}:{number}")
        return FaultDecision(self, number, {name: rng.random() < getattr(self, name) for name in RATES})


@dataclass(frozen=True)
class FaultDecision:
    """The faults of one request."""

    faults: Faults
    number: int
    hits: dict[str, bool]

    def check_refusal(self) -> None:
        """Raise ApiError if the request is refused before it is computed."""
        if self.number in self.faults.permanent:
            raise ApiError("Image.select: Band pattern 'missing' did not match any bands. Available bands: []")
        if self.hits["too_many"]:
            wait = self.faults.retry_after
            headers = {} if wait is None else {"Retry-After": f"{wait:g}"}
            raise ApiError("Too many concurrent aggregations.", 429, headers)
        if self.hits["unavailable"]:
            raise ApiError("The service is currently unavailable.", 503)

    def check_memory(self, pixels: int) -> None:
        """Raise ApiError if a tile of that many pixels exceeds the memory."""
        if self.hits["memory"] and pixels > self.faults.memory_over:
            raise ApiError("User memory limit exceeded.")
