"""A member's process: how it ends, and what another attempt finds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from landslide.errors import CrashError, TrainingError
from landslide.progress import reporting
from landslide.training.records import MEMBER_FILE, WEIGHTS
from landslide.training.workers.pool import Trainers
from tests.helpers.pool import children, job, toy_tiles
from tests.helpers.progress import ProgressRecorder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_tiles(tmp_path_factory.mktemp("world"))


@pytest.fixture
def trainers() -> Iterator[Trainers]:
    trainers = Trainers()
    yield trainers
    trainers.close()


@pytest.fixture(scope="module")
def warm() -> Iterator[Trainers]:
    """Processes that earlier tests have started."""
    trainers = Trainers()
    yield trainers
    trainers.close()


def test_its_epochs_are_told(tiles: Path, tmp_path: Path, warm: Trainers) -> None:
    heard = ProgressRecorder()
    with reporting(heard):
        warm.run(job(tiles, tmp_path / "a"))
    best = max(epoch["validation_f1"] for epoch in json.loads((tmp_path / "a" / MEMBER_FILE).read_text())["epochs"])
    assert heard.totals == {"PSPNet-dice-0.001": 12}
    assert len(heard.notes["PSPNet-dice-0.001"]) == 12
    assert heard.notes["PSPNet-dice-0.001"][-1] == f"F1 {best:.3f}"


def test_one_process_trains_one_member_after_another(tiles: Path, tmp_path: Path, trainers: Trainers) -> None:
    """What it trained or refused before makes no difference."""
    first, again = job(tiles, tmp_path / "first"), job(tiles, tmp_path / "again")
    before = children()
    trainers.run(first)
    (process,) = children() - before
    with pytest.raises(TrainingError, match="vh_pre"):
        trainers.run(job(tiles, tmp_path / "refused", bands=("vh_pre",)))
    trainers.run(job(tiles, tmp_path / "other", architecture="Linknet", seed=7))
    trainers.run(again)
    assert children() - before == {process}
    assert (first.folder / WEIGHTS).read_bytes() == (again.folder / WEIGHTS).read_bytes()
    trainers.close()
    assert children() == before


def test_a_job_that_cannot_be_done_is_refused_and_no_crash(tiles: Path, tmp_path: Path, warm: Trainers) -> None:
    with pytest.raises(TrainingError, match=r"member .* has no band \['vh_pre'\]") as refusal:
        warm.run(job(tiles, tmp_path / "a", bands=("vh_pre",)))
    assert not isinstance(refusal.value, CrashError)


def test_what_a_dying_process_says_is_passed_on(tiles: Path, tmp_path: Path, warm: Trainers) -> None:
    said: list[str] = []
    with pytest.raises(CrashError, match=r"ended with status 1: .*FileNotFoundError"):
        warm.run(job(tiles / "nowhere", tmp_path / "a"), said.append)
    assert any("FileNotFoundError" in line for line in said)
