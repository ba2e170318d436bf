"""A member's process: how it ends, and what another attempt finds."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from landslide.datasets.training_store import tile
from landslide.errors import CrashError, TrainingError
from landslide.models.member import MemberSpec
from landslide.progress import reporting
from landslide.training.checkpoint import MEMBER_FILE as CHECKPOINT
from landslide.training.records import MEMBER_FILE, WEIGHTS, Member, Schedule
from landslide.training.workers.pool import Job, Trainers
from tests.helpers.browser import Heard
from tests.helpers.stacks import BANDS, toy_stack

SCHEDULE = Schedule(
    epochs=12, min_epochs=12, patience=12, lr_patience=9, samples_per_epoch=8, crop=32, batch=4, background_fraction=0.0
)
SPEC = MemberSpec(architecture="PSPNet", loss="dice", learning_rate=1e-3, bands=BANDS, encoder="resnet18")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    stacks = {"train": [toy_stack(folder / "a", "a", seed=1)], "validation": [toy_stack(folder / "b", "b", seed=2)]}
    (folder / "tiles").mkdir()
    tile(BANDS, stacks, folder / "tiles")
    return folder / "tiles"


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


def job(tiles: Path, folder: Path, **spec: object) -> Job:
    folder.mkdir()
    one = SPEC.model_copy(update=spec)
    return Job(
        name=one.name, spec=one, schedule=SCHEDULE, tiles=tiles, device="cpu", folder=folder, workspace=folder / "work"
    )


def children() -> set[int]:
    lists = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    return {int(number) for text in lists for number in text.split()}


def kill_once_it_has_a_checkpoint(folder: Path, before: set[int]) -> None:
    while not (folder / "work" / CHECKPOINT).exists():
        time.sleep(0.01)
    (child,) = children() - before
    os.kill(child, signal.SIGKILL)


def test_a_killed_process_is_a_crash_and_the_next_goes_on(tiles: Path, tmp_path: Path, trainers: Trainers) -> None:
    whole, cut = job(tiles, tmp_path / "whole"), job(tiles, tmp_path / "cut")
    trainers.run(whole)
    trainers.close()
    killer = threading.Thread(target=kill_once_it_has_a_checkpoint, args=(cut.folder, children()))
    killer.start()
    with pytest.raises(CrashError, match=r"member PSPNet-dice-0\.001 was killed \(signal 9\)"):
        trainers.run(cut)
    killer.join()
    assert not (cut.folder / WEIGHTS).exists()
    trainers.run(cut)
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
    tiles: Path, tmp_path: Path, trainers: Trainers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated: what torch raises then, in the fourth epoch of the first attempt."""
    (tmp_path / "site").mkdir()
    mark = str(tmp_path / "mark")
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT_MEMORY.format(mark=mark))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    one = job(tiles, tmp_path / "a")
    with pytest.raises(CrashError, match=r"ended with status 1: .*OutOfMemoryError: CUDA out of memory"):
        trainers.run(one)
    assert not (one.folder / MEMBER_FILE).exists()
    trainers.run(one)
    assert len(Member.model_validate_json((one.folder / MEMBER_FILE).read_text()).epochs) == 12


def test_its_epochs_are_told(tiles: Path, tmp_path: Path, warm: Trainers) -> None:
    heard = Heard()
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


def test_a_process_that_died_while_it_waited_is_replaced(tiles: Path, tmp_path: Path, trainers: Trainers) -> None:
    before = children()
    trainers.run(job(tiles, tmp_path / "a"))
    (process,) = children() - before
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)  # all its threads, and it is left for its owner to bury
    trainers.run(job(tiles, tmp_path / "b"))
    assert (tmp_path / "b" / WEIGHTS).exists()


def test_a_job_that_cannot_be_done_is_refused_and_no_crash(tiles: Path, tmp_path: Path, warm: Trainers) -> None:
    with pytest.raises(TrainingError, match=r"member .* has no band \['vh_pre'\]") as refusal:
        warm.run(job(tiles, tmp_path / "a", bands=("vh_pre",)))
    assert not isinstance(refusal.value, CrashError)


def test_what_a_dying_process_says_is_passed_on(tiles: Path, tmp_path: Path, warm: Trainers) -> None:
    said: list[str] = []
    with pytest.raises(CrashError, match=r"ended with status 1: .*FileNotFoundError"):
        warm.run(job(tiles / "nowhere", tmp_path / "a"), said.append)
    assert any("FileNotFoundError" in line for line in said)
