"""How many members should share a GPU: a short trial with one, two, four and eight, on the experiment's own tiles.

Small batches leave most of a large GPU idle, and more processes use it better. The measured throughput includes how the
driver shares the GPU: by time slices, or concurrently under NVIDIA MPS.
"""

from __future__ import annotations

import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel

from landslide.artifacts.stage import Artifact, NotInKey, Stage
from landslide.errors import CrashError, TrainingError
from landslide.models.member import MemberSpec
from landslide.training.records import Schedule
from landslide.training.workers.pool import Job, WorkerPool
from landslide.training.workers.slots import lease

if TYPE_CHECKING:
    from landslide.artifacts.store import ArtifactStore

SHARING_FILE = "sharing.json"
MEMBER_COUNTS = (1, 2, 4, 8)
MIN_GAIN = 1.1  # minimum speed-up from doubling the number of members
STEPS = 100  # per epoch of the trial
EPOCHS = 5  # measured epochs of each member, after all members have finished their first
UNLIMITED = 10**6  # epochs: the trial ends its members itself


class _TrialComplete(Exception):
    """Ends a member of the trial from its `on_epoch` callback."""


class Sharing(BaseModel):
    """Samples per second of all members together, by the number of members that were tried."""

    samples_per_second: dict[int, float]

    @property
    def choice(self) -> int:
        """The number of members to use: the largest that was clearly faster than the choice before it."""
        best = 1
        for number, rate in sorted(self.samples_per_second.items()):
            if rate > MIN_GAIN * self.samples_per_second[best]:
                best = number
        return best


class MeasureSharing(Stage):
    """The trial on a GPU model, `gpu`."""

    name: ClassVar[str] = "gpu-sharing"
    version: ClassVar[int] = 3
    packages: ClassVar[tuple[str, ...]] = ("torch", "segmentation-models-pytorch")
    sources: ClassVar[tuple[str, ...]] = ("landslide.training.tuning.gpu_sharing",)

    spec: MemberSpec
    batch: int
    crop: int
    precision: str
    compiled: bool
    gpu: str
    tiles: Artifact
    schedule: Annotated[Schedule, NotInKey]
    device: Annotated[str, NotInKey]

    @classmethod
    def of(cls, spec: MemberSpec, schedule: Schedule, tiles: Artifact, device: str, gpu: str) -> MeasureSharing:
        """The trial of one member.

        Args:
            spec: The member.
            schedule: Its schedule; batch, crop, precision and compilation are part of the key.
            tiles: The training store.
            device: Where it runs.
            gpu: The model of the GPU.
        """
        parameters = schedule.model_dump(include={"batch", "crop", "precision", "compiled"})
        return cls(spec=spec, gpu=gpu, tiles=tiles, schedule=schedule, device=device, **parameters)

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Wait for a free GPU, run the trial and write `sharing.json`."""
        with lease(self.device) as device:
            measure(self.spec, self.schedule, store.path(self.tiles), device, folder)


def measure(spec: MemberSpec, schedule: Schedule, tiles: Path, device: str, folder: Path) -> None:
    """Train 1, 2, 4 and 8 members at once, until more are no faster or do not fit, and write `sharing.json`.

    Args:
        spec: The member; all processes train copies of it.
        schedule: How it is trained.
        tiles: The folder of the training store.
        device: The GPU.
        folder: The folder to write into.

    Raises:
        CrashError: Even one member does not fit.
    """
    throughput: dict[int, float] = {}
    for number in MEMBER_COUNTS:
        try:
            throughput[number] = rate(spec, schedule, tiles, device, number)
        except CrashError:
            if number == 1:
                raise
            break  # out of memory
        if number > 1 and throughput[number] <= MIN_GAIN * throughput[number // 2]:
            break
    (folder / SHARING_FILE).write_text(Sharing(samples_per_second=throughput).model_dump_json())


def read_sharing(folder: Path) -> Sharing:
    """Read `sharing.json`."""
    return Sharing.model_validate_json((folder / SHARING_FILE).read_text())


def rate(spec: MemberSpec, schedule: Schedule, tiles: Path, device: str, number: int) -> float:
    """Measure the throughput of several members on one GPU, while all of them train.

    Args:
        spec: The member.
        schedule: How it is trained.
        tiles: The folder of the training store.
        device: The GPU.
        number: How many members train at once.

    Returns:
        Samples per second of all members together. CrashError if a process dies, TrainingError if a member diverges.
    """
    unlimited = {"epochs": UNLIMITED, "min_epochs": UNLIMITED, "validate_every": UNLIMITED, "lr_schedule": "plateau"}
    short = schedule.model_copy(update=unlimited | {"samples_per_epoch": STEPS * schedule.batch})
    trial, workers = _Trial(number), WorkerPool()

    def train(index: int, folder: str) -> None:
        name = f"trial {index + 1} of {number}"
        job = Job(name=name, spec=spec, schedule=short, tiles=tiles, device=device, folder=Path(folder))
        with suppress(_TrialComplete):
            try:
                workers.run(job, on_epoch=lambda _: trial.epoch_ended(index))
            finally:
                trial.complete.set()  # without one member the others measure nothing

    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(number) as pool:
        list(pool.map(train, range(number), [temporary] * number))
    if trial.steps is None:
        raise TrainingError("the trial of members per GPU ended early. Set `members_per_gpu:` in the experiment")
    return trial.steps * schedule.batch


class _Trial:
    """The times at which epochs ended, of each of several members that train at once."""

    def __init__(self, members: int) -> None:
        self.complete = threading.Event()
        self.steps: float | None = None  # per second
        self._ended: list[list[float]] = [[] for _ in range(members)]
        self._lock = threading.Lock()

    def epoch_ended(self, member: int) -> None:
        """Raises _TrialComplete once there are enough epochs for the number of steps per second."""
        with self._lock:
            self._ended[member].append(time.monotonic())
            if self.steps is None:
                self.steps = steps_per_second(self._ended)
        if self.steps is not None:
            self.complete.set()
        if self.complete.is_set():
            raise _TrialComplete


def steps_per_second(ended: list[list[float]]) -> float | None:
    """Steps per second of all members, from the epochs after all had finished their first; None if too few."""
    if not all(ended):
        return None
    start = max(times[0] for times in ended)
    measured = [[time for time in times if time >= start] for times in ended]
    if min(len(times) for times in measured) <= EPOCHS:
        return None
    return sum(STEPS * (len(times) - 1) / (times[-1] - times[0]) for times in measured)
