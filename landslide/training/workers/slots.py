"""Slots for members in training: one per core, or several per GPU, shared by all processes of a user on a machine.

A slot is a locked file in a temporary folder of the user. The lock is released when its process ends, however it ends.
"""

from __future__ import annotations

import getpass
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from landslide.artifacts.atomic import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

POLL_SECONDS = 0.2


def slot_devices(device: str, members_per_gpu: int) -> list[str]:
    """The device of each slot: `cpu` once per core, a GPU `members_per_gpu` times.

    `cuda` stands for all GPUs of the machine, `cuda:1` for one.
    """
    if device == "cpu":
        return ["cpu"] * cores()
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if device == "cuda" else [device]
    return [gpu for _ in range(members_per_gpu) for gpu in gpus]


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _identity(device: str) -> str:
    """The device's name on the machine: GPU numbers depend on CUDA_VISIBLE_DEVICES, UUIDs do not."""
    return device if device == "cpu" else str(torch.cuda.get_device_properties(device).uuid)


@contextmanager
def lease(device: str, members_per_gpu: int = 1) -> Iterator[str]:
    """Wait for a free slot and hold it for the block; yields its device."""
    folder = Path(tempfile.gettempdir()) / f"landslide-slots-{getpass.getuser()}"
    files: dict[str, str] = {}
    for name in slot_devices(device, members_per_gpu):
        files[f"{_identity(name)}-{list(files.values()).count(name)}"] = name
    while True:
        for file, name in files.items():
            if (lock := try_lock(folder / file)) is not None:
                try:
                    yield name
                finally:
                    lock.release()
                return
        time.sleep(POLL_SECONDS)
