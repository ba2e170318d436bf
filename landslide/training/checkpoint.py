"""Checkpoints from which the training of a killed member resumes: one safetensors file, written atomically.

All randomness of an epoch follows from the seed and the epoch's number, so no generator state is stored.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from landslide.artifacts.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

CHECKPOINT_FILE = "checkpoint.safetensors"
MAX_TIME_SHARE = 0.01  # of a member's training time, for writing checkpoints
STATE = "state"

log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoint of one member in a folder; without a folder nothing is saved or loaded."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / CHECKPOINT_FILE
        self._last, self._cost = time.monotonic(), 0.0

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and state of the last checkpoint; None without a readable one."""
        if self._path is None or not self._path.exists():
            return None
        try:
            with safe_open(self._path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                state: dict[str, Any] = json.loads(file.metadata()[STATE])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            log.warning("%s cannot be read (%s): training starts again from epoch 1", self._path, error)
            return None
        return tensors, state

    def due(self) -> bool:
        """Whether a checkpoint as slow as the last one stays within `MAX_TIME_SHARE`."""
        return self._path is not None and time.monotonic() - self._last >= self._cost / MAX_TIME_SHARE

    def save(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write the checkpoint. A failed write, as on a full disk, only logs a warning."""
        if self._path is None:
            return
        started = time.monotonic()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            with atomic_file(self._path, durable=False) as draft:
                save_file(flat, draft, {STATE: json.dumps(state)})
        except (OSError, SafetensorError) as error:
            log.warning("no checkpoint written: %s", error)
        self._last = time.monotonic()
        self._cost = self._last - started
