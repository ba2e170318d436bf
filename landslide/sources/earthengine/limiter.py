"""How much of Earth Engine this process uses at once: requests in flight and bytes in memory, over all its exports.

One client slows down as a whole. When the service says 429, the slots are halved, once for all requests that were in
flight together, and come back one at a time, as in TCP's congestion control (Chiu and Jain 1989); and `pause` holds
every request that has not started. Callers are let through in the order they came.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from landslide.errors import InputError

REQUESTS = 20
MAX_REQUESTS = 40  # the service's quota of concurrent interactive requests for a project
MEMORY = 832 * 2**20  # twenty of the largest tiles and their replies


class _Line:
    """Callers of some amount each, let through in order of arrival as far as `fits(in use, amount)` says."""

    def __init__(self, fits: Callable[[int, int], bool]) -> None:
        self._fits = fits
        self._lock = threading.Lock()
        self._used = 0
        self._waiting: deque[tuple[int, threading.Event]] = deque()

    @property
    def used(self) -> int:
        return self._used

    def admit(self) -> None:
        """Let in whoever fits now. Only they wake: with hundreds of threads in line, waking all would be the load."""
        with self._lock:
            while self._waiting and self._fits(self._used, self._waiting[0][0]):
                amount, turn = self._waiting.popleft()
                self._used += amount
                turn.set()

    @contextmanager
    def take(self, amount: int) -> Iterator[None]:
        """Hold the amount, waiting for it first."""
        turn = threading.Event()
        with self._lock:
            self._waiting.append((amount, turn))
        self.admit()
        try:
            turn.wait()
            yield
        finally:
            self._leave(amount, turn)

    def _leave(self, amount: int, turn: threading.Event) -> None:
        with self._lock:
            if turn.is_set():
                self._used -= amount
            else:  # Ctrl-C while in line
                self._waiting.remove((amount, turn))
        self.admit()


class RequestLimiter:
    """Bounds the requests in flight (`requests`, 40 at most) and the memory that tiles take (`bytes`).

    Raises InputError for a number of requests that the service would not grant.
    """

    def __init__(self, requests: int = REQUESTS, bytes: int = MEMORY) -> None:
        self.limit = _checked(requests)
        self.bytes = bytes
        self.slots = requests
        self._resume = 0.0
        self._halved = 0.0
        self._delivered = 0
        self._failed = 0
        self._lock = threading.Lock()
        self._callers = _Line(lambda used, _: used < self.slots and not self.paused)
        self._memory = _Line(lambda used, amount: used == 0 or used + amount <= self.bytes)

    @property
    def paused(self) -> float:
        """Seconds until requests may start; 0 where they may."""
        return max(0.0, self._resume - time.monotonic())

    @property
    def in_flight(self) -> int:
        """Requests at the service now."""
        return self._callers.used

    @property
    def held(self) -> int:
        """Bytes of tiles in flight, in the hand-over queues and in consumers' hands."""
        return self._memory.used

    @contextmanager
    def request(self) -> Iterator[float]:
        """One slot, and the time (monotonic) at which the request started, for `failed`."""
        with self._callers.take(1):
            yield time.monotonic()

    @contextmanager
    def memory(self, nbytes: int) -> Iterator[None]:
        """Room for so many bytes; more than there is in all passes alone."""
        with self._memory.take(nbytes):
            yield

    def pause(self, seconds: float) -> None:
        """Start no request for so long. What is in flight goes on."""
        with self._lock:
            until = time.monotonic() + seconds
            if until <= self._resume:
                return
            self._resume = until
        timer = threading.Timer(seconds, self._callers.admit)
        timer.daemon = True
        timer.start()

    def succeeded(self) -> None:
        """A request was answered: after as many answers as there are slots, one slot more, up to the limit."""
        with self._lock:
            self._failed = 0
            self._delivered += 1
            if self._delivered >= self.slots and self.slots < self.limit:
                self.slots, self._delivered = self.slots + 1, 0
        self._callers.admit()

    def failed(self, started: float, overload: bool) -> int:
        """A request that started at `started` failed in passing; how many rounds of requests have failed in a row.

        A round is as many requests as there are slots. `overload` halves the slots, but not for a request that was
        under way when they were halved last: it tells of the load before.
        """
        with self._lock:
            self._failed += 1
            rounds = self._failed // self.slots
            if overload and started > self._halved:
                self.slots, self._delivered, self._halved = max(1, self.slots // 2), 0, time.monotonic()
            return rounds

    def tighten(self, requests: int) -> None:
        """Lower the limit to `requests` if it is higher."""
        with self._lock:
            self.limit = min(self.limit, _checked(requests))
            self.slots = min(self.slots, self.limit)


def _checked(requests: int) -> int:
    if not 1 <= requests <= MAX_REQUESTS:
        raise InputError(
            f"{requests} requests at once: Earth Engine grants a project {MAX_REQUESTS}. Set `requests` to 1 to {MAX_REQUESTS}"
        )
    return requests


_shared: RequestLimiter | None = None
_shared_lock = threading.Lock()


def shared(requests: int = REQUESTS) -> RequestLimiter:
    """The gate of this process: all its exports share one limit, the smallest that any of them asked for."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = RequestLimiter(requests)
        _shared.tighten(requests)
        return _shared
