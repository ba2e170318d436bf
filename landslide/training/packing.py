"""How many members a GPU carries at a time: a short trial of one, two, four and eight, on the tiles that they train on.

A batch of four leaves most of a large GPU idle; a second process fills a part of that. Whether the processes share the
GPU by turns or at once (NVIDIA's MPS, where its daemon runs) shows in what they achieve.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from landslide.errors import CrashError
from landslide.store import Request
from landslide.training.process import Job, Trainers
from landslide.training.records import FILE as MEMBER
from landslide.training.records import Member

if TYPE_CHECKING:
    from landslide.models import MemberSpec
    from landslide.training.records import Schedule

VERSION = 1
FILE = "packing.json"
NUMBERS = (1, 2, 4, 8)
GAIN = 1.1  # the least that twice as many have to be faster by
STEPS = 100  # an epoch of the trial


class Packing(BaseModel):
    """Samples a second of all members together, by their number. Ends where more did not pay, or did not fit."""

    samples_per_second: dict[int, float]

    @property
    def choice(self) -> int:
        """The largest number that was worth it."""
        best = 1
        for number, rate in sorted(self.samples_per_second.items()):
            if rate > GAIN * self.samples_per_second[best]:
                best = number
        return best


def packing_request(spec: MemberSpec, schedule: Schedule, tiles_key: str, gpu: str) -> Request:
    """What a trial depends on; `gpu` is the name of the product."""
    parameters = {
        "spec": spec.model_dump(mode="json"),
        "batch": schedule.batch,
        "crop": schedule.crop,
        "precision": schedule.precision,
        "gpu": gpu,
    }
    return Request(stage="packing", version=VERSION, parameters=parameters, inputs={"tiles": tiles_key})


def measure(spec: MemberSpec, schedule: Schedule, tiles: Path, device: str, folder: Path) -> None:
    """Train ever more members at once for three short epochs; `packing.json` into a folder."""
    short = schedule.model_copy(
        update={"epochs": 3, "min_epochs": 3, "samples": STEPS * schedule.batch, "validate_every": 3, "rate": "plateau"}
    )
    found: dict[int, float] = {}
    trainers = Trainers()
    try:
        for number in NUMBERS:
            try:
                found[number] = _rate(spec, short, tiles, device, number, trainers)
            except CrashError:
                if number == 1:
                    raise
                break  # as many do not fit
            if number > 1 and found[number] <= GAIN * found[number // 2]:
                break
    finally:
        trainers.close()
    (folder / FILE).write_text(Packing(samples_per_second=found).model_dump_json())


def read(folder: Path) -> Packing:
    """What a trial found."""
    return Packing.model_validate_json((folder / FILE).read_text())


def _rate(spec: MemberSpec, schedule: Schedule, tiles: Path, device: str, number: int, trainers: Trainers) -> float:
    """Samples a second of so many members at once, by their second epochs: the first warms up, the third validates."""
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(number) as pool:

        def train(index: int) -> float:
            out = Path(temporary) / str(index)
            out.mkdir()
            name = f"trial {index + 1} of {number}"
            trainers.run(Job(name=name, spec=spec, schedule=schedule, tiles=tiles, device=device, folder=out))
            member = Member.model_validate_json((out / MEMBER).read_text())
            return schedule.samples / member.epochs[1].seconds

        return sum(pool.map(train, range(number)))
