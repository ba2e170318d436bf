"""How many members a GPU carries at a time: a short trial of one, two, four and eight, on the tiles that they train on.

A batch of four leaves most of a large GPU idle; a second process fills a part of that. Whether the processes share the
GPU by turns or at once (NVIDIA's MPS, where its daemon runs) shows in what they achieve.
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
from landslide.training.workers.pool import Job, Trainers
from landslide.training.workers.slots import lease

if TYPE_CHECKING:
    from landslide.artifacts.store import ArtifactStore
    from landslide.training.records import Epoch

SHARING_FILE = "sharing.json"
NUMBERS = (1, 2, 4, 8)
MIN_GAIN = 1.1  # the least that twice as many have to be faster by
STEPS = 100  # an epoch of the trial
EPOCHS = 5  # of each member that are watched, once all members are through their first
ENDLESS = 10**6  # epochs, and none is validated: a trial ends its members


class _Enough(Exception):
    """A trial has seen what it wanted."""


class Sharing(BaseModel):
    """Samples a second of all members together, by their number. Ends where more did not pay, or did not fit."""

    samples_per_second: dict[int, float]

    @property
    def choice(self) -> int:
        """The largest number that was worth it."""
        best = 1
        for number, rate in sorted(self.samples_per_second.items()):
            if rate > MIN_GAIN * self.samples_per_second[best]:
                best = number
        return best


class MeasureSharing(Stage):
    """The trial of how many members a GPU carries; `gpu` is the name of the product."""

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
        """The trial of a member on the tiles that it will train on."""
        decisive = schedule.model_dump(include={"batch", "crop", "precision", "compiled"})
        return cls(spec=spec, gpu=gpu, tiles=tiles, schedule=schedule, device=device, **decisive)

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Wait for a free GPU and try; writes `sharing.json`."""
        with lease(self.device) as place:
            measure(self.spec, self.schedule, store.path(self.tiles), place, folder)


def measure(spec: MemberSpec, schedule: Schedule, tiles: Path, device: str, folder: Path) -> None:
    """Train ever more members at once, until more do not pay or do not fit; `sharing.json` into a folder."""
    found: dict[int, float] = {}
    for number in NUMBERS:
        try:
            found[number] = rate(spec, schedule, tiles, device, number)
        except CrashError:
            if number == 1:
                raise
            break  # as many do not fit
        if number > 1 and found[number] <= MIN_GAIN * found[number // 2]:
            break
    (folder / SHARING_FILE).write_text(Sharing(samples_per_second=found).model_dump_json())


def read(folder: Path) -> Sharing:
    """What a trial found."""
    return Sharing.model_validate_json((folder / SHARING_FILE).read_text())


def rate(spec: MemberSpec, schedule: Schedule, tiles: Path, device: str, number: int) -> float:
    """Samples a second of so many members at once, watched while all of them train.

    Raises CrashError if one dies, TrainingError if one ends by itself, which only one that diverges does.
    """
    unending = {"epochs": ENDLESS, "min_epochs": ENDLESS, "validate_every": ENDLESS, "lr_schedule": "plateau"}
    short = schedule.model_copy(update={**unending, "samples_per_epoch": STEPS * schedule.batch})
    ended: list[list[float]] = [[] for _ in range(number)]  # when the epochs of each member did
    lock, over = threading.Lock(), threading.Event()
    found: list[float] = []
    trainers = Trainers()

    def train(index: int, folder: str) -> None:
        def hear(_: Epoch) -> None:
            with lock:
                ended[index].append(time.monotonic())
                if not found and (steps := steps_a_second(ended)):
                    found.append(steps * schedule.batch)
                    over.set()
            if over.is_set():
                raise _Enough

        name = f"trial {index + 1} of {number}"
        job = Job(name=name, spec=spec, schedule=short, tiles=tiles, device=device, folder=Path(folder))
        try:
            with suppress(_Enough):
                trainers.run(job, hear=hear)
        finally:
            over.set()  # without one of them the others tell nothing

    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(number) as pool:
        list(pool.map(train, range(number), [temporary] * number))
    if not found:
        raise TrainingError(
            "a trial of how many members a GPU carries came to an early end. State `members_per_gpu:` instead"
        )
    return found[0]


def steps_a_second(ended: list[list[float]]) -> float | None:
    """Of all members together, by the epochs that ended since each was through its first; None before `EPOCHS` did."""
    if not all(ended):
        return None
    start = max(times[0] for times in ended)
    watched = [[moment for moment in times if moment >= start] for times in ended]
    if min(len(times) for times in watched) <= EPOCHS:
        return None
    return sum(STEPS * (len(times) - 1) / (times[-1] - times[0]) for times in watched)
