"""What can be made to go wrong with requests that compute, on purpose and repeatably."""

import random
from collections.abc import Collection
from dataclasses import dataclass, field

from .errors import ApiError

MEMORY, TIMEOUT = "User memory limit exceeded.", "Computation timed out."
TOO_MANY = "Too many concurrent aggregations."
COMPUTE = frozenset({"computePixels", "value:compute"})


@dataclass(frozen=True)
class Faults:
    """Rates are shares of requests (0 to 1), drawn by the number of the request and the seed: the same request in the
    same order meets the same fault.

    `too_many`: 429, with `retry_after` seconds in its header if given; `unavailable`: 503; `cut`: the connection closes
    without a reply; `half`: it closes in the midst of one whose length was announced; `slow`: the reply waits
    `slow_by` seconds more. `memory_pixels`: pixels (height times width) above which computePixels exceeds the memory;
    `memory`: the rate at which tiles of more than `memory_over` pixels do; `timeout_pixels`, `timeout` and
    `timeout_over`: likewise for the time. `permanent`: numbers of requests (from 1) that are refused for good, with
    `permanent_message`. `routes`: which of `computePixels`, `value:compute` and `getPixels` are concerned; all are
    counted. `failed_exports`: how many first exports fail.
    """

    seed: int = 0
    too_many: float = 0.0
    retry_after: float | None = None
    unavailable: float = 0.0
    cut: float = 0.0
    half: float = 0.0
    slow: float = 0.0
    slow_by: float = 1.0
    memory_pixels: int | None = None
    memory: float = 0.0
    memory_over: int = 0
    timeout_pixels: int | None = None
    timeout: float = 0.0
    timeout_over: int = 0
    permanent: Collection[int] = ()
    permanent_message: str = "Image.select: Band pattern 'missing' did not match any bands. Available bands: []"
    routes: Collection[str] = field(default_factory=lambda: COMPUTE)
    failed_exports: int = 0

    def decide(self, number: int) -> "Decision":
        """What happens to the request of this number, counted from 1."""
        chance = random.Random(f"{self.seed}:{number}")
        hits = {name: chance.random() < rate for name, rate in self._rates().items()}
        return Decision(self, number, hits)

    def _rates(self) -> dict[str, float]:
        return {"too_many": self.too_many, "unavailable": self.unavailable, "cut": self.cut, "half": self.half,
                "slow": self.slow, "memory": self.memory, "timeout": self.timeout}  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """One request's lot."""

    faults: Faults
    number: int
    hits: dict[str, bool]

    def refuse(self) -> None:
        """ApiError where the request is refused before it is computed."""
        if self.number in self.faults.permanent:
            raise ApiError(self.faults.permanent_message)
        if self.hits["too_many"]:
            wait = self.faults.retry_after
            raise ApiError(TOO_MANY, 429, {} if wait is None else {"Retry-After": f"{wait:g}"})
        if self.hits["unavailable"]:
            raise ApiError("The service is currently unavailable.", 503)

    def strain(self, pixels: int) -> None:
        """ApiError where that many pixels are too much."""
        faults = self.faults
        if _over(pixels, faults.memory_pixels) or (self.hits["memory"] and pixels > faults.memory_over):
            raise ApiError(MEMORY)
        if _over(pixels, faults.timeout_pixels) or (self.hits["timeout"] and pixels > faults.timeout_over):
            raise ApiError(TIMEOUT)


def _over(amount: int, limit: int | None) -> bool:
    return limit is not None and amount > limit
