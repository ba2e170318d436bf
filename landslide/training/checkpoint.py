"""What a killed member goes on from: one safetensors file, tensors and a line of JSON, there whole or not at all.

Everything random in an epoch follows from the seed and the epoch's number, so no generator's state needs keeping.
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
SHARE = 0.01  # of a member's time goes into its checkpoints, at most
STATE = "state"

log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one member in a folder; without a folder there are none."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / CHECKPOINT_FILE
        self._last, self._cost = time.monotonic(), 0.0

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and state of the last checkpoint; None where there is none that can be read."""
        if self._path is None or not self._path.exists():
            return None
        try:
            with safe_open(self._path, "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                state: dict[str, Any] = json.loads(file.metadata()[STATE])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            log.warning("%s cannot be read (%s): the member starts anew", self._path, error)
            return None
        return tensors, state

    def due(self) -> bool:
        """Whether another checkpoint keeps within its share of the time, going by what the last one took."""
        return self._path is not None and time.monotonic() - self._last >= self._cost / SHARE

    def save(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write one. A full disk costs a warning and this checkpoint, not the member."""
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
