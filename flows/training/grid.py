"""The grid of an experiment: every member of every band set, by rungs where the experiment halves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.task_runners import TaskRunner

from flows.training.jobs import Named, Reference, named
from flows.training.members import on_dask, train_members
from flows.training.shards import check_shards, train_shards
from landslide.errors import InputError
from landslide.experiment import Experiment
from landslide.training.records import candidate
from landslide.training.tuning.successive_halving import better_half
from tasks.stage import path, storage
from tasks.train import forget


@dataclass(frozen=True)
class Engine:
    """Where members train: in this machine's places, on a Dask cluster, or in runs of the deployment `train-shard`.

    `dask` is an address or a class's full name; `workers` is how many such a class is asked for.
    """

    dask: str | None = None
    workers: int | None = None
    shards: int | None = None

    @property
    def runner(self) -> TaskRunner[Any] | None:
        """What brings tasks to a Dask cluster."""
        return on_dask(self.dask, self.workers) if self.dask else None


LOCAL = Engine()


def check_engine(settings: Experiment, engine: Engine) -> None:
    """InputError where an experiment cannot be trained there, ServiceError where shared storage does not answer."""
    if (shared := storage()) is not None:
        shared.check()
        if settings.halving_epochs:
            raise InputError(
                f"experiment {settings.id}: halving_epochs {list(settings.halving_epochs)} needs checkpoints, which shared storage "
                "does not carry. Use a store on a path that all machines mount, or leave out `halving_epochs`"
            )
    if engine.shards or engine.dask:
        _refuse_choices(settings, engine)
    if engine.shards:
        check_shards()
    elif engine.dask:
        on_dask(engine.dask, engine.workers)


def _refuse_choices(settings: Experiment, engine: Engine) -> None:
    """All machines must agree on what each would otherwise choose for itself."""
    left_open = {"device": settings.device == "auto", "precision": settings.precision == "auto"}
    left_open["members_per_gpu"] = engine.dask is not None and settings.members_per_gpu == "auto"
    for name in (name for name, is_open in left_open.items() if is_open):
        raise InputError(
            f"experiment {settings.id}: `{name}: auto` is for one machine. State it: `device:` cuda or cpu, "
            "`precision:` fp32 or bf16, with Dask `members_per_gpu:` a number"
        )


def train_grid(
    settings: Experiment, tiles: Reference, store: Path, engine: Engine = LOCAL
) -> dict[str, list[Reference]]:
    """The finished members of each band set, in the grid's order; one that a rung left behind is as far as it got.

    Raises TrainingError if all members of a band set failed.
    """
    every = named(settings)
    finished: dict[str, Reference] = {}
    left: Sequence[str] = list(every)
    for until in (*settings.halving_epochs, None):
        if not left:  # all diverged
            break
        if engine.shards:
            done = train_shards(settings, tiles, store, left, until, engine.shards)
        else:
            done = train_members(settings, tiles, store, left, until, engine.runner)
        finished |= done
        if until is not None:
            left = _go_on(done, every, store)
            get_run_logger().info("%d of %d members go on after epoch %d", len(left), len(done), until)
    return {
        band_set: [finished[name] for name, one in every.items() if one.band_set == band_set and name in finished]
        for band_set in settings.band_sets
    }


def _go_on(done: dict[str, Reference], every: dict[str, Named], store: Path) -> list[str]:
    """Who trains beyond a rung; of the others nothing is kept to go on from."""
    scores = {name: candidate(one["key"], path(one, store)).validation_f1 for name, one in done.items()}
    kept = better_half(scores, {name: (every[name].band_set, every[name].spec.architecture) for name in done})
    for name in set(done) - set(kept):
        forget(done[name], store)
    return kept
