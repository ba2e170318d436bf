"""A pool of worker processes that train members.

A member has a process of its own because it sets torch's global random state, and so that a crash costs one member. On
a CPU a process has one thread: several such processes are faster than one with several threads. Importing torch takes
seconds, so an idle process is reused for the next member. After a crash, training resumes from the checkpoint.
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

DETERMINISTIC_CUBLAS = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}  # without it the order of sums on a GPU varies
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
LOG_LINES = 20  # last lines of a dead process's log, for the error message


class Job(BaseModel):
    """One line to a worker: the arguments of `trainer.train`, and the member's name for messages."""

    name: str
    spec: MemberSpec
    schedule: Schedule
    tiles: Path
    device: str
    folder: Path
    workspace: Path | None = None
    until: int | None = None


class WorkerMessage(BaseModel):
    """One line from a worker: an epoch, or finally `done`, with the error as `refusal` if the job cannot be trained."""

    epoch: Epoch | None = None
    done: bool = False
    refusal: str | None = None


def environment(device: str) -> dict[str, str]:
    """The environment of a process that trains on a device."""
    return {**os.environ, **(ONE_THREAD if device == "cpu" else DETERMINISTIC_CUBLAS)}


class WorkerPool:
    """Worker processes, as many as concurrent jobs. Idle ones are reused; `busy` is the number in training.

    The processes end with `close()`, or with the process that started them.
    """

    def __init__(self) -> None:
        self.busy = 0
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()

    def run(
        self,
        job: Job,
        on_log: Callable[[str], None] = lambda line: None,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    ) -> None:
        """Train a member and wait for it. `on_log` is called with each line of its log, `on_epoch` with each epoch.

        Raises CrashError with the end of the log if the process dies, TrainingError if the job cannot be trained. The
        process is killed if the wait is interrupted, also by an exception of `on_epoch`.
        """
        worker = self._take(job.device)
        try:
            refusal = worker.train(job, on_log, on_epoch)
        except BaseException:
            worker.kill()
            raise
        finally:
            with self._lock:
                self.busy -= 1
        with self._lock:
            self._idle.append(worker)
        if refusal is not None:
            raise TrainingError(f"member {job.name}: {refusal}")

    def close(self) -> None:
        """Kill the idle processes."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.kill()

    def _take(self, device: str) -> _Worker:
        with self._lock:
            self.busy += 1
            for worker in self._idle:
                if worker.device == device and worker.alive:
                    self._idle.remove(worker)
                    return worker
        return _Worker(device)


WORKER_POOL = WorkerPool()  # of this process


class _Worker:
    def __init__(self, device: str) -> None:
        self.device = device
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._on_log: Callable[[str], None] = lambda line: None
        self._process = subprocess.Popen(
            [sys.executable, "-m", "landslide.training.workers"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(device),
        )  # fmt: skip
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def train(self, job: Job, on_log: Callable[[str], None], on_epoch: Callable[[Epoch], None]) -> str | None:
        """Train a member and wait for it; returns the error if the job cannot be trained."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._log.clear()
        self._on_log, best = on_log, 0.0
        try:
            print(job.model_dump_json(), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._crash(job) from None
        with meter(job.name, job.until or job.schedule.epochs) as update:
            for line in self._process.stdout:
                message = WorkerMessage.model_validate_json(line)
                if message.done:
                    return message.refusal
                if message.epoch is not None:
                    best = max(best, message.epoch.validation_f1 or 0.0)
                    update(message.epoch.epoch, f"F1 {best:.3f}")
                    on_epoch(message.epoch)
        raise self._crash(job)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # its end has been reported already

    def _crash(self, job: Job) -> CrashError:
        status = self._process.wait()
        self._listener.join()
        return CrashError(f"member {job.name} {_ending(status)}: {' '.join(self._log) or 'no message'}")

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._log.append(line.rstrip())
            self._on_log(line.rstrip())


def _ending(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed (signal 9), often for want of memory"
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
