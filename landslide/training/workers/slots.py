"""Places on this machine where members train, each held by one member at a time: a core, or a share of a GPU.

A place is a locked file in a folder of the user's, so that all runs and workers of a machine share its places; the lock
falls with the process that holds it, however that ends.
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

POLL_SECONDS = 0.2  # seconds between two looks at the places


def places(device: str, members_per_gpu: int) -> list[str]:
    """The devices of all places: a processor is named once for each member that it carries at a time.

    On a CPU that is one member a core, since several processes of one thread outrun one with several threads. `cuda`
    means every GPU there is, `cuda:1` that one alone.
    """
    if device == "cpu":
        return ["cpu"] * cores()
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if device == "cuda" else [device]
    return [gpu for _ in range(members_per_gpu) for gpu in gpus]


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _identity(device: str) -> str:
    """What a processor is called on the whole machine: CUDA_VISIBLE_DEVICES has each process number GPUs anew."""
    return device if device == "cpu" else str(torch.cuda.get_device_properties(device).uuid)


@contextmanager
def lease(device: str, members_per_gpu: int = 1) -> Iterator[str]:
    """Wait for a free place and hold it; gives its device."""
    folder = Path(tempfile.gettempdir()) / f"landslide-places-{getpass.getuser()}"
    files: dict[str, str] = {}
    for name in places(device, members_per_gpu):
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
