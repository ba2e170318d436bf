"""A member's process: how it ends, and what another attempt finds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from landslide.errors import CrashError, TrainingError
from landslide.progress import reporting
from landslide.training.records import MEMBER_FILE, WEIGHTS
from landslide.training.workers.pool import WorkerPool
from tests.helpers.pool import children, job, toy_tiles
from tests.helpers.progress import ProgressRecorder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_tiles(tmp_path_factory.mktemp("world"))


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool()
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def warm() -> Iterator[WorkerPool]:
    """Processes that earlier tests have started."""
    pool = WorkerPool()
    yield pool
    pool.close()


def test_its_epochs_are_reported(tiles: Path, tmp_path: Path, warm: WorkerPool) -> None:
    progress = ProgressRecorder()
    with reporting(progress):
        warm.run(job(tiles, tmp_path / "a"))
    best = max(epoch["validation_f1"] for epoch in json.loads((tmp_path / "a" / MEMBER_FILE).read_text())["epochs"])
    assert progress.totals == {"PSPNet-dice-0.001": 12}
    assert len(progress.notes["PSPNet-dice-0.001"]) == 12
    assert progress.notes["PSPNet-dice-0.001"][-1] == f"F1 {best:.3f}"


def test_one_process_trains_one_member_after_another(tiles: Path, tmp_path: Path, pool: WorkerPool) -> None:
    """What it trained or refused before makes no difference."""
    first, again = job(tiles, tmp_path / "first"), job(tiles, tmp_path / "again")
    before = children()
    pool.run(first)
    (process,) = children() - before
    with pytest.raises(TrainingError, match="vh_pre"):
        pool.run(job(tiles, tmp_path / "refused", bands=("vh_pre",)))
    pool.run(job(tiles, tmp_path / "other", architecture="Linknet", seed=7))
    pool.run(again)
    assert children() - before == {process}
    assert (first.folder / WEIGHTS).read_bytes() == (again.folder / WEIGHTS).read_bytes()
    pool.close()
    assert children() == before


def test_a_job_that_cannot_be_done_is_refused_and_no_crash(tiles: Path, tmp_path: Path, warm: WorkerPool) -> None:
    with pytest.raises(TrainingError, match=r"member .* has no band \['vh_pre'\]") as refusal:
        warm.run(job(tiles, tmp_path / "a", bands=("vh_pre",)))
    assert not isinstance(refusal.value, CrashError)


def test_the_log_of_a_dying_process_is_passed_on(tiles: Path, tmp_path: Path, warm: WorkerPool) -> None:
    log: list[str] = []
    with pytest.raises(CrashError, match=r"ended with status 1: .*FileNotFoundError"):
        warm.run(job(tiles / "nowhere", tmp_path / "a"), log.append)
    assert any("FileNotFoundError" in line for line in log)
