"""Slots are shared by all runs of a machine, and the slot of a dead process is free."""

import threading
import time
from pathlib import Path

import pytest

from landslide.training.workers import slots


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(slots, "POLL_SECONDS", 0.01)


def test_no_more_members_than_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "cores", lambda: 3)
    running, most, lock = 0, 0, threading.Lock()

    def member() -> None:
        nonlocal running, most
        with slots.lease("cpu") as device:
            assert device == "cpu"
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.05)
            with lock:
                running -= 1

    threads = [threading.Thread(target=member) for _ in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3


class Properties:
    def __init__(self, uuid: str) -> None:
        self.uuid = uuid


def visible(monkeypatch: pytest.MonkeyPatch, *gpus: str) -> None:
    """As CUDA_VISIBLE_DEVICES numbers the GPUs of a machine."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: len(gpus))
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: Properties(gpus[int(device[-1])]))


def test_gpus_are_filled_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    visible(monkeypatch, "a", "b")
    assert slots.slot_devices("cuda", 2) == ["cuda:0", "cuda:1", "cuda:0", "cuda:1"]
    assert slots.slot_devices("cuda:1", 3) == ["cuda:1"] * 3
    with slots.lease("cuda", 2) as first, slots.lease("cuda", 2) as second, slots.lease("cuda", 2) as third:
        assert [first, second, third] == ["cuda:0", "cuda:1", "cuda:0"]


def test_workers_that_number_gpus_differently_share_their_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    visible(monkeypatch, "a", "b")
    with slots.lease("cuda") as first:
        visible(monkeypatch, "b", "a")
        with slots.lease("cuda") as second:
            assert (first, second) == ("cuda:0", "cuda:0"), "the GPU that the other does not hold"
