"""Members in processes of their own: started, watched, and their end explained.

A process, because a member owns torch's random state and because a crash then costs one member. On a CPU it has one
thread: several single-threaded processes outrun one with several threads, and do not stall when others compete for the
cores. Importing torch takes seconds, so a process that is done trains the next member. A member's checkpoints outlast
it, so that another attempt goes on where it ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from landslide.errors import CrashError, TrainingError
from landslide.models.member import MemberSpec
from landslide.progress import meter
from landslide.training.records import Epoch, Schedule

if TYPE_CHECKING:
    from collections.abc import Callable

IN_ORDER = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # without it a GPU may add up in another order each time
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
LAST_LINES = 20  # of a dead process's last lines


class Job(BaseModel):
    """What a process is told, as one line: see `member.train`. `folder` takes the result, `workspace` checkpoints."""

    name: str
    spec: MemberSpec
    schedule: Schedule
    tiles: Path
    device: str
    folder: Path
    workspace: Path | None = None
    until: int | None = None


class Told(BaseModel):
    """What a process tells, as one line: an epoch, or at the end `done`, with a reason where it refused the job."""

    epoch: Epoch | None = None
    done: bool = False
    refusal: str | None = None


def environment(device: str) -> dict[str, str]:
    """The environment of a process that trains there."""
    return {**os.environ, **(ONE_THREAD if device == "cpu" else IN_ORDER)}


class Trainers:
    """Processes that train members, as many as jobs at a time; one that is done waits for another job.

    They end with `close()`, or with the process that started them. `busy` is how many train.
    """

    def __init__(self) -> None:
        self.busy = 0
        self._idle: list[_Trainer] = []
        self._lock = threading.Lock()

    def run(
        self,
        job: Job,
        say: Callable[[str], None] = lambda line: None,
        hear: Callable[[Epoch], None] = lambda epoch: None,
    ) -> None:
        """Train a member and wait for it; `say` is told what its process logs, line by line, `hear` its epochs.

        Raises CrashError with its last words if the process dies, TrainingError if it refuses the job. If waiting is
        interrupted, also by what `hear` raises, the process ends, too.
        """
        trainer = self._take(job.device)
        try:
            refusal = trainer.train(job, say, hear)
        except BaseException:
            trainer.end()
            raise
        finally:
            with self._lock:
                self.busy -= 1
        with self._lock:
            self._idle.append(trainer)
        if refusal is not None:
            raise TrainingError(f"member {job.name}: {refusal}")

    def close(self) -> None:
        """End the processes that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for trainer in idle:
            trainer.end()

    def _take(self, device: str) -> _Trainer:
        with self._lock:
            self.busy += 1
            for trainer in self._idle:
                if trainer.device == device and trainer.alive:
                    self._idle.remove(trainer)
                    return trainer
        return _Trainer(device)


TRAINERS = Trainers()  # of this process


class _Trainer:
    """One process."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._words: deque[str] = deque(maxlen=LAST_LINES)
        self._say: Callable[[str], None] = lambda line: None
        self._child = subprocess.Popen(
            [sys.executable, "-m", "landslide.training.workers"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(device),
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        return self._child.poll() is None

    def train(self, job: Job, say: Callable[[str], None], hear: Callable[[Epoch], None]) -> str | None:
        """Wait for a member; why it was refused, if it was."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._words.clear()
        self._say, best = say, 0.0
        try:
            print(job.model_dump_json(), file=self._child.stdin, flush=True)
        except BrokenPipeError:
            raise self._crash(job) from None
        with meter(job.name, job.until or job.schedule.epochs) as update:
            for line in self._child.stdout:
                told = Told.model_validate_json(line)
                if told.done:
                    return told.refusal
                if told.epoch is not None:
                    best = max(best, told.epoch.validation_f1 or 0.0)
                    update(told.epoch.epoch, f"F1 {best:.3f}")
                    hear(told.epoch)
        raise self._crash(job)

    def end(self) -> None:
        """Kill the process, if it lives, and close what leads to it."""
        self._child.kill()
        self._child.wait()
        self._listener.join()
        for pipe in (self._child.stdin, self._child.stdout, self._child.stderr):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # it was written to after its end; that is told already

    def _crash(self, job: Job) -> CrashError:
        status = self._child.wait()
        self._listener.join()
        return CrashError(f"member {job.name} {_ending(status)}: {' '.join(self._words) or 'no message'}")

    def _listen(self) -> None:
        assert self._child.stderr is not None
        for line in self._child.stderr:
            self._words.append(line.rstrip())
            self._say(line.rstrip())


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed (signal 9), often for want of memory"
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
