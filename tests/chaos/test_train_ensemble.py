"""A training flow that is interrupted, or whose processes are killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.training.train_ensemble import train_ensemble
from landslide.artifacts.store import MANIFEST
from landslide.training.checkpoint import CHECKPOINT_FILE
from tests.helpers.archives import toy_experiment
from tests.helpers.artifacts import built, rebuilt

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_home")]


def started(experiment: Path, store: Path) -> subprocess.Popen[bytes]:
    """`landslide train` in a process group and a Prefect home of its own."""
    environment: dict[str, Any] = {**os.environ, "PREFECT_HOME": str(store.parent / "home")}
    for name in ("PREFECT_API_URL", "PREFECT_API_DATABASE_CONNECTION_URL"):
        environment.pop(name, None)
    command = [
        sys.executable,
        "-c",
        "from flows.cli.main import main; main()",
        "train",
        str(experiment),
        "--store",
        str(store),
    ]
    return subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)


def wait_for(process: subprocess.Popen[bytes], sight: Callable[[], object]) -> None:
    """Until something is to be seen; the run must still be going then."""
    deadline = time.monotonic() + 240
    while not sight():
        assert process.poll() is None, "the flow ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ctrl_c_ends_a_run_at_once(tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = started(toy_experiment(tmp_path, epochs=400, samples_per_epoch=32), store)
    wait_for(process, lambda: list(store.glob(f".work/train-*/{CHECKPOINT_FILE}")))
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(10) == 130
    assert not list(store.glob(f"train/[!.]*/{MANIFEST}"))


def members_of(run: subprocess.Popen[bytes]) -> list[int]:
    """The members' processes of a run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, session = (folder / "cmdline").read_bytes(), os.getsid(int(folder.name))
        except OSError:  # it has ended meanwhile
            continue
        if b"landslide.training" in command and session == run.pid:
            found.append(int(folder.name))
    return found


def test_a_killed_member_is_trained_all_the_same(tmp_path: Path) -> None:
    store = tmp_path / "store"
    process = started(toy_experiment(tmp_path, epochs=15, samples_per_epoch=32), store)
    wait_for(process, lambda: list(store.glob(f".work/train-*/{CHECKPOINT_FILE}")))
    os.kill(members_of(process)[0], signal.SIGKILL)
    assert process.wait(240) == 0
    assert len(list(store.glob(f"train/[!.]*/{MANIFEST}"))) == 2
    assert not list(store.glob(".work/*"))


def test_a_killed_flow_goes_on_where_it_was(tmp_path: Path) -> None:
    path = toy_experiment(tmp_path, losses=["dice", "bce", "jaccard"])
    store = tmp_path / "store"
    process = started(path, store)
    wait_for(process, lambda: list(store.glob(f"train/[!.]*/{MANIFEST}")))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = built(store)
    finished = [name for name in before if name.startswith("train/")]
    assert 1 <= len(finished) < 3
    train_ensemble(path, store)
    scored = [name for name in rebuilt(before, store) if name not in ("predict", "truth")]
    assert scored == ["assemble", "evaluate", "select", *["train"] * (3 - len(finished))]
    assert not list(store.glob("*/.*"))
