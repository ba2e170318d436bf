"""Several workers of a pool and a Dask cluster on this machine; what becomes of a grid when one is killed, or no disk
is left.
"""

import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.training.train_ensemble import train_ensemble
from landslide.artifacts.remote import RemoteStore
from landslide.artifacts.store import MANIFEST, SHARED, verify
from landslide.progress import reporting
from tests.helpers.archives import toy_experiment
from tests.helpers.object_store import s3
from tests.helpers.progress import ProgressRecorder
from tests.integration.test_engines import deploy, trained, worker

pytestmark = pytest.mark.usefixtures("prefect_home")
LOSSES = ["bce", "dice", "focal", "jaccard", "lovasz"]


def descendants(process: int) -> list[int]:
    """All processes below one."""
    lists = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    children = [int(number) for text in lists for number in text.split()]
    return [*children, *(below for child in children for below in descendants(child))]


def command_of(process: int) -> str:
    return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def once(sight: Callable[[], bool], do: Callable[[], None]) -> threading.Thread:
    """A thread that does something as soon as something is to be seen."""

    def watch() -> None:
        deadline = time.monotonic() + 600
        while not sight():
            assert time.monotonic() < deadline
            time.sleep(0.2)
        do()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with s3(monkeypatch) as url:
        monkeypatch.setenv(SHARED, f"{url}/landslide")
        yield f"{url}/landslide"


@pytest.mark.parametrize("victim", ["worker", "run", "member"])
def test_a_grid_in_shards_outlives_a_kill(tmp_path: Path, bucket: str, victim: str) -> None:
    """Of two workers one is killed, or the run that it does, or a member of that, in the middle of training."""
    head, afar, heard = tmp_path / "head", tmp_path / "afar", ProgressRecorder()
    path = toy_experiment(tmp_path, device="cpu", losses=LOSSES, epochs=30, samples_per_epoch=32)
    deploy(afar)
    with worker("one") as one, worker("two"), reporting(heard):

        def kill() -> None:
            below = {command_of(process): process for process in descendants(one.pid)}
            member = next(process for command, process in below.items() if "landslide.training" in command)
            run = next(process for command, process in below.items() if "flow_runs" in command or "engine" in command)
            os.kill({"worker": one.pid, "run": run, "member": member}[victim], signal.SIGKILL)

        def training() -> bool:
            return any("landslide.training" in command_of(process) for process in descendants(one.pid)) and bool(
                list(afar.glob(".work/train-*/checkpoint.safetensors"))
            )

        killer = once(training, kill)
        train_ensemble(path, head, shards=4)
        killer.join()
    assert len(trained(head)) == len(LOSSES)
    assert trained(head) == RemoteStore(bucket).keys("train")
    assert all(verify(manifest.parent) for manifest in head.glob(f"*/[!.]*/{MANIFEST}"))


def test_a_disk_without_room_for_one_member_keeps_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The kernel refuses to let a file grow beyond a limit, as a full disk does, and the larger weights pass it."""
    path, store = (
        toy_experiment(tmp_path, architectures=["Linknet", "UnetPlusPlus"], losses=["dice"]),
        tmp_path / "store",
    )
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (22 * 2**20, before[1]))
    try:
        train_ensemble(path, store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "1 of 2 members failed: pair/UnetPlusPlus-dice-0.001" in caplog.text
    assert len(trained(store)) == 1
    assert not list(store.glob("train/.*")), "nothing half-written"
    train_ensemble(path, store)
    assert len(trained(store)) == 2, "with room again the same command trains what was missing"


def test_a_grid_on_dask_outlives_a_kill(tmp_path: Path) -> None:
    import distributed

    path, store = (
        toy_experiment(tmp_path, device="cpu", losses=LOSSES, epochs=30, samples_per_epoch=32),
        tmp_path / "store",
    )
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        victim = next(iter(cluster.workers.values())).pid
        killer = once(
            lambda: bool(list(store.glob(".work/train-*/checkpoint.safetensors"))),
            lambda: os.kill(victim, signal.SIGKILL),
        )
        train_ensemble(path, store, dask=cluster.scheduler_address)
        killer.join()
    assert len(trained(store)) == len(LOSSES)
    assert not list(store.glob("train/.*")), "what the killed worker left half-written"
