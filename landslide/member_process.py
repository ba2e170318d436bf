"""One member in a process of its own: `python -m landslide.member_process` with a job on standard input.

A process each, because a member owns torch's random state and because a crash then costs one member. On a CPU it has
one thread: several single-threaded processes outrun one with several threads, and do not stall when others compete for
the cores. The child ends when its parent does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from pydantic import BaseModel

from landslide.errors import TrainingError
from landslide.models import MemberSpec
from landslide.progress import track
from landslide.training import Schedule, train

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TOLD = 2000  # characters of a dead child's last words


class Job(BaseModel):
    """What the child reads from its standard input, as one line of JSON."""

    spec: MemberSpec
    schedule: Schedule
    tiles: Path
    device: str
    folder: Path


def run(job: Job) -> None:
    """Train a member in a child process and wait; TrainingError with its last words if it dies."""
    environment = {**os.environ, **(ONE_THREAD if job.device == "cpu" else {})}
    log = job.folder / "training.log"
    with (
        log.open("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
        ) as child,
    ):  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(job.model_dump_json() + "\n")
        child.stdin.flush()
        for _ in track(range(job.schedule.epochs), f"Training {job.spec.name}"):
            if not child.stdout.readline():  # fewer epochs than allowed, or the end of it
                break
        child.wait()  # with its standard input still open: the end of it would end the child
    if child.returncode != 0:
        words = log.read_text()[-TOLD:].strip() or "no message"
        raise TrainingError(
            f"member {job.spec.name} ended with status {child.returncode}: {words}. "
            "A negative status is a signal (-9: killed, often for memory). Run again; finished members are kept"
        )
    log.unlink()


def _die_with_parent() -> None:
    """Wait for the end of standard input, which comes when the parent is gone."""
    sys.stdin.read()
    os._exit(1)


def main() -> None:
    """The child: train the job on standard input, one line on standard output an epoch."""
    from landslide.tiles import Tiles

    job = Job.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_die_with_parent, daemon=True).start()
    train(
        job.spec, job.schedule, Tiles(job.tiles), job.device, job.folder,
        tell=lambda epoch: print(epoch.model_dump_json(), flush=True),
    )  # fmt: skip
    sys.stdout.flush()
    os._exit(0)  # without waiting for the watching thread


if __name__ == "__main__":
    main()
