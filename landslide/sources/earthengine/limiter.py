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
MEMORY = 832 * 2**20  # sixteen of the largest tiles and their replies


class _FifoSemaphore:
    """Lets callers with an amount each through, in order of arrival, as far as `fits(in use, amount)` says."""

    def __init__(self, fits: Callable[[int, int], bool]) -> None:
        self._fits = fits
        self._lock = threading.Lock()
        self._used = 0
        self._waiting: deque[tuple[int, threading.Event]] = deque()

    def admit(self) -> None:
        """Wake the callers that fit now. Only they wake: to wake all of some hundred threads would be a load."""
        with self._lock:
            while self._waiting and self._fits(self._used, self._waiting[0][0]):
                amount, admitted = self._waiting.popleft()
                self._used += amount
                admitted.set()

    @contextmanager
    def acquire(self, amount: int) -> Iterator[None]:
        """Wait for the amount and hold it inside the block."""
        admitted = threading.Event()
        with self._lock:
            self._waiting.append((amount, admitted))
        self.admit()
        try:
            admitted.wait()
            yield
        finally:
            self._release(amount, admitted)

    def _release(self, amount: int, admitted: threading.Event) -> None:
        with self._lock:
            if admitted.is_set():
                self._used -= amount
            else:  # Ctrl-C while waiting
                self._waiting.remove((amount, admitted))
        self.admit()


class RequestLimiter:
    """Bounds the requests in flight (`requests`, 40 at most) and the memory that tiles take (`bytes`).

    Raises InputError for a number of requests that the service would not grant.
    """

    def __init__(self, requests: int = REQUESTS, bytes: int = MEMORY) -> None:
        self.limit = _checked(requests)
        self.bytes = bytes
        self.slots = requests
        self._paused_until = 0.0
        self._halved_at = 0.0
        self._succeeded = 0
        self._failed = 0
        self._lock = threading.Lock()
        self._requests = _FifoSemaphore(lambda used, _: used < self.slots and not self.paused)
        self._memory = _FifoSemaphore(lambda used, amount: used == 0 or used + amount <= self.bytes)

    @property
    def paused(self) -> float:
        """Seconds until requests may start; 0 where they may."""
        return max(0.0, self._paused_until - time.monotonic())

    @contextmanager
    def request(self) -> Iterator[float]:
        """One slot, and the time (monotonic) at which the request started, for `failed`."""
        with self._requests.acquire(1):
            yield time.monotonic()

    @contextmanager
    def memory(self, nbytes: int) -> Iterator[None]:
        """Memory for so many bytes; a caller that wants more than there is in all is let through when none is used."""
        with self._memory.acquire(nbytes):
            yield

    def pause(self, seconds: float) -> None:
        """Start no request for so long. What is in flight goes on."""
        with self._lock:
            until = time.monotonic() + seconds
            if until <= self._paused_until:
                return
            self._paused_until = until
        timer = threading.Timer(seconds, self._requests.admit)
        timer.daemon = True
        timer.start()

    def succeeded(self) -> None:
        """A request was answered: after as many answers as there are slots, one slot more, up to the limit."""
        with self._lock:
            self._failed = 0
            self._succeeded += 1
            if self._succeeded >= self.slots and self.slots < self.limit:
                self.slots, self._succeeded = self.slots + 1, 0
        self._requests.admit()

    def failed(self, started: float, overload: bool) -> int:
        """A request that started at `started` met a transient error; how many rounds have failed in a row.

        A round is as many requests as there are slots. `overload` halves the slots, but not for a request that was in
        flight when they were halved last, as it shows the load before.
        """
        with self._lock:
            self._failed += 1
            rounds = self._failed // self.slots
            if overload and started > self._halved_at:
                self.slots, self._succeeded, self._halved_at = max(1, self.slots // 2), 0, time.monotonic()
            return rounds

    def tighten(self, requests: int) -> None:
        """Lower the limit to `requests` if it is higher."""
        with self._lock:
            self.limit = min(self.limit, _checked(requests))
            self.slots = min(self.slots, self.limit)


def _checked(requests: int) -> int:
    if not 1 <= requests <= MAX_REQUESTS:
        raise InputError(
            f"{requests} requests at once: Earth Engine grants a project {MAX_REQUESTS}. Set `requests` to 1 to "
            f"{MAX_REQUESTS}"
        )
    return requests


_shared: RequestLimiter | None = None
_shared_lock = threading.Lock()


def shared(requests: int = REQUESTS) -> RequestLimiter:
    """The limiter of this process: all its exports share it, with the smallest limit that any of them asked for."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = RequestLimiter(requests)
        _shared.tighten(requests)
        return _shared
