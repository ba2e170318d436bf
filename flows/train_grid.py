"""The members of all band sets, as many at a time as the machine has places for, the longest first."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

from prefect import flow, get_run_logger
from prefect.futures import as_completed
from prefect.task_runners import ThreadPoolTaskRunner

from landslide.errors import LandslideError, TrainingError
from landslide.experiment import Experiment
from landslide.models import ARCHITECTURES, MemberSpec, grid
from landslide.progress import also_reporting, meter
from landslide.store import Store
from landslide.training.devices import choose_device
from landslide.training.probe import Probe, probe_request, read
from landslide.training.records import Schedule, candidate, train_request
from landslide.training.slots import places
from tasks.progress import in_ui
from tasks.stage import path, submit
from tasks.train import TRAINERS, probe_precision, train_member

Reference = dict[str, str]


@dataclass(frozen=True)
class Work:
    """One member of one band set. `there`: it had been trained before."""

    band_set: str
    spec: MemberSpec
    future: Any
    there: bool

    @property
    def cost(self) -> float:
        """How long it takes, beside others."""
        return ARCHITECTURES[self.spec.architecture]


def train_grid(settings: Experiment, tiles: Reference, store: Path) -> dict[str, list[Reference]]:
    """The finished members of each band set, in the grid's order."""
    at_once = len(places(choose_device(settings.device), settings.per_gpu))
    in_places = _train_grid.with_options(task_runner=ThreadPoolTaskRunner(max_workers=at_once))  # type: ignore[arg-type]
    members: dict[str, list[Reference]] = in_places(settings, tiles, store)
    return members


@flow(name="train-grid", flow_run_name="train the grid of {settings.id}")
def _train_grid(settings: Experiment, tiles: Reference, store: Path) -> dict[str, list[Reference]]:
    device = choose_device(settings.device)
    schedules = _schedules(settings, device, store)
    specs = [
        (name, spec)
        for name, bands in settings.band_sets.items()
        for spec in grid(
            settings.architectures, settings.losses, settings.learning_rates, bands,
            encoder=settings.encoder, seed=settings.seed,
        )
    ]  # fmt: skip
    longest_first = sorted(specs, key=lambda pair: -ARCHITECTURES[pair[1].architecture])
    work = []
    for name, spec in longest_first:
        request = train_request(spec, schedules[spec.architecture], tiles["key"], device)
        there = Store(store).path(request).exists()
        future = submit(
            train_member, request, store, spec=spec, schedule=schedules[spec.architecture], tiles=tiles,
            device=device, per_gpu=settings.per_gpu,
        )  # fmt: skip
        work.append(Work(name, spec, future, there))
    try:
        with also_reporting(in_ui(f"grid-{settings.id}")):
            _watch(work, store)
    finally:
        TRAINERS.close()
    _tell_failed(work)
    order = {pair: index for index, pair in enumerate(specs)}
    finished = sorted((one for one in work if _completed(one)), key=lambda one: order[one.band_set, one.spec])
    return {name: [one.future.result() for one in finished if one.band_set == name] for name in settings.band_sets}


def _schedules(settings: Experiment, device: str, store: Path) -> dict[str, Schedule]:
    """How the members of each architecture are trained, the arithmetic chosen where it is left to a probe."""
    stated = settings.model_dump(include=set(Schedule.model_fields))
    if settings.precision != "auto":
        return dict.fromkeys(settings.architectures, Schedule.model_validate(stated))
    futures = {}
    for architecture in settings.architectures:
        probe = Probe(
            architecture=architecture, encoder=settings.encoder, channels=len(settings.all_bands),
            crop=settings.crop, batch=settings.batch, device=device,
        )  # fmt: skip
        futures[architecture] = submit(probe_precision, probe_request(probe), store, probe=probe)
    return {
        name: Schedule.model_validate(stated | {"precision": read(path(future.result(), store)).choice})
        for name, future in futures.items()
    }


def _completed(one: Work) -> bool:
    """Whether a member that has ended is there; its state is final only once it has been waited for."""
    one.future.wait()
    return bool(one.future.state.is_completed())


@dataclass
class _Tally:
    """What is known of a grid on its way."""

    work: list[Work]
    store: Path
    started: float = field(default_factory=monotonic)
    failed: int = 0
    done: float = 0.0  # cost of the members trained in this run
    best: tuple[float, str] = (0.0, "")

    def __post_init__(self) -> None:
        self.left = sum(one.cost for one in self.work if not one.there)

    def add(self, one: Work) -> None:
        if not one.there:
            self.done += one.cost
            self.left -= one.cost
        if not _completed(one):
            self.failed += 1
            return
        reference = one.future.result()
        score = candidate(reference["key"], path(reference, self.store)).validation_f1
        self.best = max(self.best, (score or 0.0, f"{one.band_set}/{one.spec.name}"))

    def __str__(self) -> str:
        words = [f"{self.failed} failed"] if self.failed else []
        if self.best[1]:
            words.append(f"best F1 {self.best[0]:.3f} {self.best[1]}")
        if self.done and self.left > 0:
            seconds = round((monotonic() - self.started) * self.left / self.done)
            words.append(f"about {timedelta(seconds=seconds)} left")
        return ", ".join(words)


def _watch(work: list[Work], store: Path) -> None:
    """Tell how far the grid is until it is done."""
    tally = _Tally(work, store)
    by_future = {one.future: one for one in work}
    with meter("Members", len(work)) as update:
        for done, future in enumerate(as_completed(list(by_future)), 1):
            tally.add(by_future[future])
            update(done, str(tally))


def _tell_failed(work: list[Work]) -> None:
    """The members that did not come through are named; they stop nothing unless all of a band set failed."""
    failed = [one for one in work if not _completed(one)]
    if failed:
        names = ", ".join(f"{one.band_set}/{one.spec.name}" for one in failed)
        get_run_logger().error("%d of %d members failed: %s", len(failed), len(work), names)
    for band_set in {one.band_set for one in failed}:
        of_set = [one for one in work if one.band_set == band_set]
        if all(one in failed for one in of_set):
            _raise_for(of_set)


def _raise_for(failed: list[Work]) -> None:
    try:
        failed[0].future.result()
    except LandslideError:
        raise
    except Exception as error:
        raise TrainingError(
            f"all {len(failed)} members of {failed[0].band_set} failed, the first with: {error}. See the run's log"
        ) from error
