"""A member in a process of its own: started, watched, and its end explained.

A process each, because a member owns torch's random state and because a crash then costs one member. On a CPU it has
one thread: several single-threaded processes outrun one with several threads, and do not stall when others compete for
the cores. Its checkpoints outlast it, so that another attempt goes on where it ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pydantic import BaseModel

from landslide.errors import CrashError, TrainingError
from landslide.models import MemberSpec
from landslide.progress import meter
from landslide.training.records import Epoch, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TOLD = 20  # of a dead process's last lines
REFUSED = 3  # the status of a process that cannot train on what it was given; another attempt would not, either


class Job(BaseModel):
    """What a member's process is told. `folder` takes the result, `workspace` the checkpoints."""

    spec: MemberSpec
    schedule: Schedule
    tiles: Path
    device: str
    folder: Path
    workspace: Path | None = None


def run(job: Job, say: Callable[[str], None] = lambda line: None) -> None:
    """Train a member in a child process and wait for it; `say` hears what it logs, line by line.

    Raises CrashError with its last words if it dies, TrainingError if it refuses the job. If waiting is interrupted,
    the child ends, too.
    """
    words: deque[str] = deque(maxlen=TOLD)
    with subprocess.Popen(
        [sys.executable, "-m", "landslide.training"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment(job.device),
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        listener = threading.Thread(target=_listen, args=(child.stderr, words, say), daemon=True)
        listener.start()
        try:
            child.stdin.write(job.model_dump_json() + "\n")
            child.stdin.flush()
            _follow(child.stdout, job)
        except BrokenPipeError:
            pass  # it died at once: its status and its last words tell why
        except BaseException:
            child.kill()
            raise
        child.wait()  # with its standard input still open: the end of it would end the child
        listener.join()
    if child.returncode == REFUSED:
        raise TrainingError(f"member {job.spec.name}: {' '.join(words)}")
    if child.returncode != 0:
        raise CrashError(f"member {job.spec.name} {_ending(child.returncode)}: {' '.join(words) or 'no message'}")


def environment(device: str) -> dict[str, str]:
    """The environment of a process that trains there."""
    return {**os.environ, **(ONE_THREAD if device == "cpu" else {})}


def _follow(epochs: IO[str], job: Job) -> None:
    best = 0.0
    with meter(f"Training {job.spec.name}", job.schedule.epochs) as update:
        for line in epochs:
            epoch = Epoch.model_validate_json(line)
            best = max(best, epoch.validation_f1 or 0.0)
            update(epoch.epoch, f"F1 {best:.3f}")


def _listen(errors: IO[str], words: deque[str], say: Callable[[str], None]) -> None:
    for line in errors:
        words.append(line.rstrip())
        say(line.rstrip())


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed (signal 9), often for want of memory"
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
