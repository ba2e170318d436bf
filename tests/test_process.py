"""A member's process: how it ends, and what another attempt finds."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from landslide.errors import CrashError, TrainingError
from landslide.models import MemberSpec
from landslide.progress import reporting
from landslide.tiles import tile
from landslide.training.checkpoint import FILE as CHECKPOINT
from landslide.training.process import Job, run
from landslide.training.records import FILE, WEIGHTS, Member, Schedule
from tests.reports import Heard
from tests.stacks import BANDS, toy_stack

SCHEDULE = Schedule(epochs=30, min_epochs=30, patience=30, plateau=9, samples=8, crop=32, batch=4, background=0.0)
SPEC = MemberSpec(architecture="PSPNet", loss="dice", learning_rate=1e-3, bands=BANDS, encoder="resnet18")


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    stacks = {"train": [toy_stack(folder / "a", "a", seed=1)], "validation": [toy_stack(folder / "b", "b", seed=2)]}
    (folder / "tiles").mkdir()
    tile(BANDS, stacks, folder / "tiles")
    return folder / "tiles"


def job(tiles: Path, folder: Path, **spec: object) -> Job:
    folder.mkdir()
    one = SPEC.model_copy(update=spec)
    return Job(spec=one, schedule=SCHEDULE, tiles=tiles, device="cpu", folder=folder, workspace=folder / "work")


def children() -> set[int]:
    lists = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    return {int(number) for text in lists for number in text.split()}


def kill_once_it_has_a_checkpoint(folder: Path, before: set[int]) -> None:
    while not (folder / "work" / CHECKPOINT).exists():
        time.sleep(0.01)
    (child,) = children() - before
    os.kill(child, signal.SIGKILL)


def test_a_killed_process_is_a_crash_and_the_next_goes_on(tiles: Path, tmp_path: Path) -> None:
    whole, cut = job(tiles, tmp_path / "whole"), job(tiles, tmp_path / "cut")
    run(whole)
    killer = threading.Thread(target=kill_once_it_has_a_checkpoint, args=(cut.folder, children()))
    killer.start()
    with pytest.raises(CrashError, match=r"member PSPNet-dice-0\.001 was killed \(signal 9\)"):
        run(cut)
    killer.join()
    assert not (cut.folder / WEIGHTS).exists()
    run(cut)
    assert (cut.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()
    members = [Member.model_validate_json((one.folder / FILE).read_text()) for one in (whole, cut)]
    f1s = [[epoch.validation_f1 for epoch in member.epochs] for member in members]
    assert f1s[0] == f1s[1]


def test_its_epochs_are_told(tiles: Path, tmp_path: Path) -> None:
    heard = Heard()
    with reporting(heard):
        run(job(tiles, tmp_path / "a"))
    best = max(epoch["validation_f1"] for epoch in json.loads((tmp_path / "a" / FILE).read_text())["epochs"])
    assert heard.totals == {"Training PSPNet-dice-0.001": 30}
    assert heard.last == (30, f"F1 {best:.3f}")


def test_a_job_that_cannot_be_done_is_refused_and_no_crash(tiles: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(TrainingError, match=r"member .* has no band \['vh_pre'\]") as refusal:
        run(job(tiles, tmp_path / "a", bands=("vh_pre",)), said.append)
    assert not isinstance(refusal.value, CrashError)
    assert any("vh_pre" in line for line in said)


def test_what_a_dying_process_says_is_passed_on(tiles: Path, tmp_path: Path) -> None:
    with pytest.raises(CrashError, match=r"ended with status 1: .*FileNotFoundError"):
        run(job(tiles / "nowhere", tmp_path / "a"))
