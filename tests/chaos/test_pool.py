"""Members whose process is killed."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from landslide.errors import CrashError
from landslide.training.checkpoint import CHECKPOINT_FILE
from landslide.training.records import MEMBER_FILE, WEIGHTS, Member
from landslide.training.workers.pool import WorkerPool
from tests.helpers.pool import children, job, toy_tiles

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_tiles(tmp_path_factory.mktemp("world"))


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool()
    yield pool
    pool.close()


def kill_once_it_has_a_checkpoint(folder: Path, before: set[int]) -> None:
    while not (folder / "work" / CHECKPOINT_FILE).exists():
        time.sleep(0.01)
    (child,) = children() - before
    os.kill(child, signal.SIGKILL)


def test_a_killed_process_is_a_crash_and_the_next_goes_on(tiles: Path, tmp_path: Path, pool: WorkerPool) -> None:
    whole, cut = job(tiles, tmp_path / "whole"), job(tiles, tmp_path / "cut")
    pool.run(whole)
    pool.close()
    killer = threading.Thread(target=kill_once_it_has_a_checkpoint, args=(cut.folder, children()))
    killer.start()
    with pytest.raises(CrashError, match=r"member PSPNet-dice-0\.001 was killed \(signal 9\)"):
        pool.run(cut)
    killer.join()
    assert not (cut.folder / WEIGHTS).exists()
    pool.run(cut)
    assert (cut.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()
    members = [Member.model_validate_json((one.folder / MEMBER_FILE).read_text()) for one in (whole, cut)]
    f1s = [[epoch.validation_f1 for epoch in member.epochs] for member in members]
    assert f1s[0] == f1s[1]


WITHOUT_MEMORY = """
import pathlib, torch
from landslide.training.step import Step
mark, learn, done = pathlib.Path({mark!r}), Step.__call__, []
def step(self, draws):
    done.append(1)
    if len(done) == 8 and not mark.exists():
        mark.touch()
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    learn(self, draws)
Step.__call__ = step
"""


def test_a_gpu_out_of_memory_is_a_crash_and_the_next_goes_on(
    tiles: Path, tmp_path: Path, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated: what torch raises then, in the fourth epoch of the first attempt."""
    (tmp_path / "site").mkdir()
    mark = str(tmp_path / "mark")
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT_MEMORY.format(mark=mark))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    one = job(tiles, tmp_path / "a")
    with pytest.raises(CrashError, match=r"ended with status 1: .*OutOfMemoryError: CUDA out of memory"):
        pool.run(one)
    assert not (one.folder / MEMBER_FILE).exists()
    pool.run(one)
    assert len(Member.model_validate_json((one.folder / MEMBER_FILE).read_text()).epochs) == 12


def test_a_process_that_died_while_it_waited_is_replaced(tiles: Path, tmp_path: Path, pool: WorkerPool) -> None:
    before = children()
    pool.run(job(tiles, tmp_path / "a"))
    (process,) = children() - before
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # all its threads, and it is left for its owner to bury
    pool.run(job(tiles, tmp_path / "b"))
    assert (tmp_path / "b" / WEIGHTS).exists()
