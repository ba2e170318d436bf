import errno
import itertools
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import IncompleteRead
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landslide.errors import ServiceError, SourceError, StoreError
from landslide.geo.grid import Roi, blocks
from landslide.sources.earthengine.export import journal as journals
from landslide.sources.earthengine.export.journal import Journal, bounds
from landslide.sources.earthengine.export.stats import ExportProgress, ExportStats
from landslide.sources.earthengine.export.tiles import WRITER_THREADS, RetryPolicy, deliver, tile_side
from landslide.sources.earthengine.limiter import RequestLimiter
from tests.helpers.faults import refusal

BANDS = ("vv", "vh")
QUICK = RetryPolicy(base=0.002, cap=0.02)
IN_FLIGHT = 8 + WRITER_THREADS  # of a `Run` by its own limiter: at the service, or not yet on disk
TOO_LARGE = refusal(400, "User memory limit exceeded.")
TRANSIENT: dict[str, Callable[[], Exception]] = {
    "429": lambda: refusal(429, "Too Many Requests", {"Retry-After": "0.01"}),
    "503": lambda: refusal(503, "The service is currently unavailable."),
    "connection": lambda: ConnectionError("reset by peer"),
    "timeout": lambda: TimeoutError("read timed out"),
    "broken reply": lambda: IncompleteRead(b"12", 100),
}


def pixels(roi: Roi) -> NDArray[np.float32]:
    """(band, y, x): what every pixel of the world is, whoever asks."""
    rows, columns = np.mgrid[roi]
    return np.stack([rows * 7.0 + columns, np.where(columns % 5 == 0, np.nan, rows - columns)]).astype("float32")


class Service:
    """A service that delivers `pixels`, as far as `fault(roi, how often it was asked for before)` raises nothing."""

    def __init__(self, fault: Callable[[Roi, int], Exception | None] = lambda roi, tries: None, seconds: float = 0):
        self.asked: Counter[tuple[int, ...]] = Counter()
        self.answered: list[tuple[int, ...]] = []
        self.again: list[tuple[int, ...]] = []
        self.busy = self.most = 0
        self._fault, self._seconds, self._lock = fault, seconds, threading.Lock()

    def __call__(self, roi: Roi) -> NDArray[np.float32]:
        with self._lock:
            self.busy += 1
            self.most = max(self.most, self.busy)
            if bounds(roi) in self.answered:
                self.again.append(bounds(roi))
            tries = self.asked[bounds(roi)]
            self.asked[bounds(roi)] += 1
            error = self._fault(roi, tries)
        try:
            time.sleep(self._seconds)
            if error is not None:
                raise error
            with self._lock:
                self.answered.append(bounds(roi))
            return pixels(roi)
        finally:
            with self._lock:
                self.busy -= 1


class Run:
    """One export into a folder; what it gave and what it cost."""

    def __init__(
        self, folder: Path, shape: tuple[int, int], side: int = 64, limiter: RequestLimiter | None = None
    ) -> None:
        self.folder, self.shape, self.side, self.limiter = folder, shape, side, limiter or RequestLimiter(8)
        self.stats = ExportStats()
        self.values = np.full((2, *shape), -1, "float32")
        self.given = np.zeros(shape, int)

    def tiles(self, fetch: Callable[[Roi], NDArray[np.float32]], **options: object) -> Iterator[tuple[Roi, object]]:
        options = {"retry": QUICK, **options}
        with Journal(self.folder, "request", self.shape, BANDS) as journal:
            for roi, values in deliver(
                fetch, self.shape, len(BANDS), journal, self.limiter, side=self.side, stats=self.stats, **options
            ):
                self.values[:, roi[0], roi[1]] = values
                self.given[roi] += 1
                yield roi, values

    def all(self, fetch: Callable[[Roi], NDArray[np.float32]], **options: object) -> "Run":
        for _ in self.tiles(fetch, **options):
            continue
        return self

    def check(self) -> None:
        assert (self.given == 1).all()
        np.testing.assert_array_equal(self.values, pixels(np.s_[0 : self.shape[0], 0 : self.shape[1]]))
        until(lambda: self.limiter._memory._used == 0 == self.limiter._requests._used)


def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def random_faults(seed: int, transient: float, too_large: float = 0) -> Callable[[Roi, int], Exception | None]:
    """Each kind of transient fault with that probability, and tiles that are too large whenever they are asked for."""
    chance = random.Random(seed)

    def fault(roi: Roi, tries: int) -> Exception | None:
        if max(part.stop - part.start for part in roi) >= 64 and random.Random(f"{seed}{roi}").random() < too_large:
            return TOO_LARGE
        for make in TRANSIENT.values():
            if chance.random() < transient:
                return make()
        return None

    return fault


@pytest.mark.parametrize(
    ("bands", "limit", "largest", "side"),
    [(2, 32, 2048, 1792), (15, 32, 2048, 512), (15, 48, 2048, 768), (1, 48, 2048, 2048), (15, 1, 2048, 64),
     (100, 32, 2048, 256), (120, 32, 2048, 128), (5000, 1, 2048, 32), (2, 32, 100, 64), (2, 32, 1000, 768)],
)  # fmt: skip
def test_a_tile_stays_under_the_limit(bands: int, limit: int, largest: int, side: int) -> None:
    assert tile_side(bands, limit * 2**20, largest) == side
    assert side == 32 or side**2 * bands * 5 <= limit * 2**20


def test_a_clean_run_asks_once_for_every_tile(tmp_path: Path) -> None:
    service = Service()
    run = Run(tmp_path, (200, 330)).all(service)
    run.check()
    assert set(service.asked.values()) == {1}
    stats = run.stats
    assert (stats.tiles, stats.requests, stats.retries, stats.splits) == (24, 24, {}, 0)
    assert stats.bytes == run.values.nbytes


def test_five_hundred_tiles_with_random_faults_come_whole(tmp_path: Path) -> None:
    service = Service(random_faults(1, transient=0.1, too_large=0.02))
    run = Run(tmp_path, (20 * 64, 25 * 64), limiter=RequestLimiter(20)).all(service)
    run.check()
    assert service.again == []
    assert service.most <= 20
    split = [tile for tile in service.asked if tile not in service.answered]
    assert 2 <= len(split) == run.stats.splits
    assert set(run.stats.retries) == set(TRANSIENT)
    assert sum(run.stats.retries.values()) == run.stats.requests - run.stats.tiles - run.stats.splits > 100
    assert {service.asked[tile] for tile in split} == {1}


def test_ten_exports_share_one_limit(tmp_path: Path) -> None:
    service = Service(random_faults(2, transient=0.02), seconds=0.002)
    limiter = RequestLimiter(6)
    runs = [Run(tmp_path / str(number), (320, 320), limiter=limiter) for number in range(10)]
    service.answered = _Nothing()  # ten exports ask for the same tiles
    threads = [threading.Thread(target=run.all, args=(service,), daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    for run in runs:
        run.check()
    assert 4 <= service.most <= 6


class _Nothing(list):  # type: ignore[type-arg]
    def append(self, _: object) -> None:
        return


def test_a_permanent_error_comes_out_while_others_hang(tmp_path: Path) -> None:
    released, first = threading.Event(), threading.Lock()

    def fetch(roi: Roi) -> NDArray[np.float32]:
        if roi[0].start == roi[1].start == 0:
            raise refusal(400, "Band 'VX' not found, Bearer abc.")
        with first:
            released.wait(5)
        return pixels(roi)

    run, begun = Run(tmp_path, (640, 640)), time.monotonic()
    with pytest.raises(SourceError, match=r"rows 0–64 and columns 0–64: Band 'VX' not found, Bearer …") as caught:
        run.all(fetch)
    assert time.monotonic() - begun < 2
    assert type(caught.value.__cause__).__name__ == "EEException"
    assert run.stats.requests <= 8
    released.set()
    until(lambda: run.limiter._memory._used == 0)


@pytest.mark.parametrize("error", [SourceError("of our own"), StoreError("of our own")])
def test_our_own_errors_come_out_as_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error), match=r"^of our own$"):
        Run(tmp_path, (64, 64)).all(Service(lambda roi, tries: error))


@pytest.mark.parametrize(
    "wrong",
    [lambda roi: pixels(roi)[:1], lambda roi: pixels(roi)[:, 1:], lambda roi: pixels(roi).astype("float64")],
    ids=["bands", "rows", "dtype"],
)
def test_another_shape_is_an_error_that_names_the_tile(
    tmp_path: Path, wrong: Callable[[Roi], NDArray[np.float32]]
) -> None:
    with pytest.raises(SourceError, match="rows 0–64 and columns 0–64 came as float"):
        Run(tmp_path, (64, 64)).all(wrong)


def test_an_image_that_is_too_large_for_the_smallest_tile(tmp_path: Path) -> None:
    service = Service(lambda roi, tries: TOO_LARGE)
    with pytest.raises(SourceError, match=r"even the tile of .*: User memory limit exceeded.*bucket.*shorten"):
        Run(tmp_path, (64, 100)).all(service)
    assert min(min(bottom - top, right - left) for top, bottom, left, right in service.asked) >= 32
    assert set(service.asked.values()) == {1}


def test_a_single_tile_that_is_too_large_is_still_asked_for_in_parallel(tmp_path: Path) -> None:
    service = Service(lambda roi, tries: TOO_LARGE if roi[0].stop - roi[0].start > 64 else None, seconds=0.02)
    run = Run(tmp_path, (256, 256), side=256).all(service)
    run.check()
    assert service.most > 2


def test_a_service_that_is_down_ends_the_run_and_is_not_stormed(tmp_path: Path) -> None:
    service, policy = Service(lambda roi, tries: TRANSIENT["503"]()), RetryPolicy(3, timeout=1.0, base=0.02, cap=0.1)
    run = Run(tmp_path, (64 * 40, 64 * 50))
    with pytest.raises(ServiceError, match=r"delivered nothing for .*unavailable.*goes on from here"):
        run.all(service, retry=policy)
    assert len(service.asked) < 100  # of 2000 tiles: what failed is asked again before anything new is
    assert max(service.asked.values()) >= 3


def test_a_service_that_drops_half_of_the_requests_ends_no_run(tmp_path: Path) -> None:
    service = Service(random_faults(3, transient=0.13))
    run = Run(tmp_path, (64 * 15, 64 * 20)).all(service, retry=RetryPolicy(2, timeout=5, base=0.001, cap=0.01))
    run.check()
    assert max(service.asked.values()) > 4


def test_a_tile_that_always_fails_stops_the_run_last(tmp_path: Path) -> None:
    run = Run(tmp_path, (640, 640))
    with pytest.raises(ServiceError, match="rows 64–128 and columns 128–192 failed"):
        run.all(
            Service(lambda roi, tries: TRANSIENT["503"]() if bounds(roi) == (64, 128, 128, 192) else None),
            retry=RetryPolicy(3, timeout=0.2, base=0.002, cap=0.02),
        )
    assert run.stats.tiles == 99
    Run(tmp_path, (640, 640)).all(Service()).check()


def test_the_client_as_a_whole_waits_as_long_as_the_service_asks(tmp_path: Path) -> None:
    times: list[float] = []
    lock, refused = threading.Lock(), threading.Event()

    def fetch(roi: Roi) -> NDArray[np.float32]:
        with lock:
            if not refused.is_set():
                refused.set()
                times.append(time.monotonic())
                raise refusal(429, "Too Many Requests", {"Retry-After": "0.3"})
        times.append(time.monotonic())
        time.sleep(0.01)
        return pixels(roi)

    run = Run(tmp_path, (640, 640), limiter=RequestLimiter(4)).all(fetch)
    run.check()
    first, *later = sorted(times)
    assert sum(moment - first < 0.3 for moment in later) <= 3 + 4  # in flight already, or started before it was refused
    assert sum(moment - first >= 0.3 for moment in later) >= 90


def test_a_wait_beyond_the_timeout_ends_the_run_at_once(tmp_path: Path) -> None:
    error = refusal(429, "Too Many Requests", {"Retry-After": "3600"})
    with pytest.raises(ServiceError, match="asks to wait 3600 s"):
        Run(tmp_path, (640, 640)).all(Service(lambda roi, tries: error))


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    faults = random_faults(5, transient=0, too_large=0.2)
    first, second = Service(faults), Service(faults)
    for _ in itertools.islice(Run(tmp_path, (640, 640)).tiles(first), 40):
        continue
    run = Run(tmp_path, (640, 640)).all(second)
    run.check()
    assert run.stats.resumed >= 40
    assert len(set(first.asked) & set(second.asked)) <= IN_FLIGHT, "too large ones are not asked for whole again either"
    third = Service()
    again = Run(tmp_path, (640, 640), side=128).all(third)
    again.check()
    assert third.asked == {}
    assert again.stats.resumed == run.stats.resumed + run.stats.tiles


def test_a_damaged_tile_is_asked_for_again(tmp_path: Path) -> None:
    Run(tmp_path, (256, 256)).all(Service())
    path = tmp_path / "r00064_c00128_h00064_w00064.f32"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    service = Service()
    Run(tmp_path, (256, 256)).all(service).check()
    assert list(service.asked) == [(64, 128, 128, 192)]


@pytest.mark.slow
def test_after_a_kill_only_the_tiles_in_flight_are_asked_for_anew(tmp_path: Path) -> None:
    folder, asked = tmp_path / "journal", tmp_path / "asked"
    program = textwrap.dedent(f"""
        import os, time
        from pathlib import Path
        from landslide.sources.earthengine.limiter import RequestLimiter
        from landslide.sources.earthengine.export.journal import bounds
        from tests.unit.sources.earthengine.export.test_tiles import Run, pixels
        log = os.open({str(asked)!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        def fetch(roi):
            os.write(log, (" ".join(map(str, bounds(roi))) + "\\n").encode())
            time.sleep(0.02)
            return pixels(roi)
        Run(Path({str(folder)!r}), (1280, 640), limiter=RequestLimiter(6)).all(fetch)
    """)
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        lines = folder / "tiles.jsonl"
        until(lambda: lines.exists() and lines.read_text().count("\n") > 50, 20)
        process.send_signal(signal.SIGKILL)
    before = {tuple(map(int, line.split())) for line in asked.read_text().splitlines()}
    assert 50 < len(before) < 200
    service = Service()
    run = Run(folder, (1280, 640), limiter=RequestLimiter(6)).all(service)
    run.check()
    assert run.stats.resumed > 50
    assert len(before & set(service.asked)) <= 6 + WRITER_THREADS
    assert len(before | set(service.asked)) == 200


@pytest.mark.slow
def test_ctrl_c_ends_a_run_whose_requests_hang(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import signal, time
        from pathlib import Path
        from tests.unit.sources.earthengine.export.test_tiles import Run
        def fetch(roi):
            print("asked", flush=True)
            time.sleep(30)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start without it
        Run(Path({str(tmp_path)!r}), (640, 640)).all(fetch)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0, "it ends long before the 30 s that a request takes"
        assert "KeyboardInterrupt" in process.stderr.read()


def test_a_full_disk_ends_the_run_and_it_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, written = journals._write, itertools.count()

    def write(file: object, data: object) -> None:
        if next(written) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        usual(file, data)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(journals, "_write", write)
        with pytest.raises(StoreError, match=r"No space left.*is kept"):
            Run(tmp_path, (640, 640)).all(Service())
    until(lambda: not list(tmp_path.glob("*.draft")))
    run = Run(tmp_path, (640, 640)).all(Service())
    run.check()
    assert 0 < run.stats.resumed < 20


def test_a_slow_consumer_stalls_the_requests_and_bounds_the_memory(tmp_path: Path) -> None:
    tile, alive, most, lock = 2 * 64 * 64 * 4, [0], [0], threading.Lock()

    def changed(by: int) -> None:
        with lock:
            alive[0] += by
            most[0] = max(most[0], alive[0])

    def fetch(roi: Roi) -> NDArray[np.float32]:
        values = pixels(roi)
        changed(values.nbytes)
        weakref.finalize(values, changed, -values.nbytes)
        return values

    run = Run(tmp_path, (640, 640), limiter=RequestLimiter(20, bytes=5 * 2 * tile + 7))
    tiles = run.tiles(fetch)
    next(tiles)
    until(lambda: run.stats.requests == 5)
    time.sleep(0.1)
    assert run.stats.requests == 5
    for _ in tiles:
        time.sleep(0.002)
    run.check()
    assert 4 * tile <= most[0] <= 6 * tile, "the room there is, and the tile that the consumer holds while it waits"


def test_a_tile_larger_than_all_memory_passes(tmp_path: Path) -> None:
    Run(tmp_path, (300, 300), limiter=RequestLimiter(4, bytes=1)).all(Service()).check()


@pytest.mark.parametrize("how", ["closed", "raises"])
def test_a_consumer_that_leaves_early_stops_everything(tmp_path: Path, how: str) -> None:
    before = threading.active_count()
    service = Service(seconds=0.005)
    run = Run(tmp_path, (64 * 30, 64 * 30))
    tiles = run.tiles(service)
    next(tiles)
    if how == "closed":
        tiles.close()
    else:
        with pytest.raises(ZeroDivisionError):
            tiles.throw(ZeroDivisionError())
    until(lambda: run.limiter._memory._used == 0 == service.busy)
    until(lambda: threading.active_count() <= before)
    assert sum(service.asked.values()) < 100


def test_progress_is_reported_at_times(tmp_path: Path) -> None:
    reported: list[ExportProgress] = []
    service = Service(random_faults(4, transient=0.02, too_large=0.1), seconds=0.02)
    begun = time.monotonic()
    run = Run(tmp_path, (640, 640), limiter=RequestLimiter(4)).all(service, progress=reported.append)
    assert 2 <= len(reported) <= 2 + 5 * (time.monotonic() - begun)
    assert [snapshot.done for snapshot in reported] == sorted(snapshot.done for snapshot in reported)
    assert reported[-1].done == pytest.approx(reported[-1].total) == pytest.approx(100)
    assert reported[-1].bytes == run.values.nbytes
    assert "requests/s" in str(reported[-1])


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 300), st.integers(1, 300), st.sampled_from([32, 48, 64, 96, 128, 256]),
    st.integers(0, 10**6), st.sampled_from([0, 0.3, 0.9]), st.integers(0, 12), st.sampled_from([32, 64, 256]),
)  # fmt: skip
def test_the_tiles_are_the_grid_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    height: int, width: int, side: int, seed: int, too_large: float, first: int, later: int,
) -> None:  # fmt: skip
    """Whatever is halved, wherever the first run was left, and with whatever tiles the second goes on."""
    folder = tmp_path_factory.mktemp("journal")
    service = Service(random_faults(seed, transient=0, too_large=too_large))
    for _ in itertools.islice(Run(folder, (height, width), side).tiles(service), first):
        continue
    run = Run(folder, (height, width), later).all(service)
    run.check()
    assert run.stats.resumed >= min(first, len(blocks((height, width), side)))
