import threading
import time

import pytest

from landslide.errors import InputError
from landslide.sources.earthengine import limiter as module
from landslide.sources.earthengine.limiter import RequestLimiter, shared


class Crowd:
    """Many threads that pass a limiter; what was inside at once at most."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1


def started(*targets: object) -> list[threading.Thread]:
    threads = [threading.Thread(target=target, daemon=True) for target in targets]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    return threads


def joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def until(condition: object) -> None:
    deadline = time.monotonic() + 5
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("requests", [0, -1, 41])
def test_more_than_the_service_grants_is_refused(requests: int) -> None:
    with pytest.raises(InputError, match="1 to 40"):
        RequestLimiter(requests)


def test_no_more_requests_than_slots() -> None:
    limiter, crowd = RequestLimiter(4), Crowd()

    def caller() -> None:
        for _ in range(20):
            with limiter.request(), crowd:
                time.sleep(0.0005)

    joined(started(*[caller] * 30))
    assert crowd.most == 4
    assert limiter._requests._used == 0


def test_no_more_bytes_than_there_is_room_for_and_a_giant_passes_alone() -> None:
    limiter, lock, alive, seen = RequestLimiter(40, bytes=100), threading.Lock(), [], []

    def caller(nbytes: int) -> None:
        with limiter.memory(nbytes):
            with lock:
                alive.append(nbytes)
                seen.append(tuple(alive))
            time.sleep(0.001)
            with lock:
                alive.remove(nbytes)

    joined(started(*[lambda n=n: caller(n) for n in [40, 30, 250, 40, 100, 7] * 10]))
    assert all(sum(together) <= 100 or together == (250,) for together in seen)
    assert max(map(len, seen)) > 1
    assert limiter._memory._used == 0


def test_a_giant_is_not_starved_by_smaller_ones() -> None:
    limiter, passed = RequestLimiter(bytes=10), threading.Event()

    def small() -> None:
        while not passed.is_set():
            with limiter.memory(5):
                time.sleep(0.001)

    def giant() -> None:
        with limiter.memory(50):
            passed.set()

    joined(started(small, small, small, giant))


def test_a_pause_holds_everyone_and_ends() -> None:
    limiter, times, begun = RequestLimiter(8), [], time.monotonic()
    limiter.pause(0.2)
    limiter.pause(0.05)  # a shorter one changes nothing

    def caller() -> None:
        with limiter.request() as start:
            times.append(start - begun)

    joined(started(*[caller] * 20))
    assert min(times) >= 0.2
    assert max(times) < 2


def test_a_pause_leaves_what_is_in_flight() -> None:
    limiter = RequestLimiter(2)
    with limiter.request():
        limiter.pause(60)
        assert limiter.paused > 50
    assert limiter._requests._used == 0


def test_an_overload_halves_the_slots_once_for_all_that_were_in_flight_together() -> None:
    limiter = RequestLimiter(20)
    start = time.monotonic()
    for _ in range(20):
        limiter.failed(start, overload=True)
    assert limiter.slots == 10
    for expected in (5, 2, 1, 1):
        limiter.failed(time.monotonic(), overload=True)
        assert limiter.slots == expected


def test_slots_come_back_one_by_one_up_to_the_limit() -> None:
    limiter = RequestLimiter(4)
    limiter.failed(time.monotonic(), overload=True)
    grown = []
    for _ in range(12):
        limiter.succeeded()
        grown.append(limiter.slots)
    assert grown == [2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4]


def test_fewer_slots_hold_back_who_comes_next() -> None:
    limiter, inside = RequestLimiter(4), threading.Event()
    with limiter.request() as start:
        with limiter.request(), limiter.request():
            limiter.failed(start, overload=True)
            threads = started(lambda: limiter.request().__enter__() and inside.set())
            until(lambda: limiter._requests._waiting)
            assert not inside.wait(0.05)
        joined(threads)
    assert inside.is_set()


def test_rounds_in_a_row_are_counted_until_one_succeeds() -> None:
    limiter = RequestLimiter(3)
    assert [limiter.failed(0.0, overload=False) for _ in range(7)] == [0, 0, 1, 1, 1, 2, 2]
    limiter.succeeded()
    assert limiter.failed(0.0, overload=False) == 0
    assert limiter.slots == 3


def test_a_caller_that_is_interrupted_waits_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = RequestLimiter(1)

    class Interrupted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            raise KeyboardInterrupt

    with limiter.request(), monkeypatch.context() as patch:
        patch.setattr(threading, "Event", Interrupted)
        with pytest.raises(KeyboardInterrupt), limiter.request():
            pytest.fail("there is no slot")
    with limiter.request():
        assert limiter._requests._used == 1


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_shared", None)


@pytest.mark.usefixtures("fresh")
def test_a_process_has_one_gate_and_the_smallest_limit_asked_for() -> None:
    first = shared(30)
    assert shared(12) is first
    assert shared(40).limit == first.slots == 12
    with pytest.raises(InputError, match="41 requests"):
        shared(41)
