"""Training of an experiment's grid: all members of all band sets, optionally with successive halving."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prefect import get_run_logger
from prefect.task_runners import TaskRunner

from flows.training.jobs import GridMember, grid_members
from flows.training.members import TrainedMembers, on_dask, train_members
from flows.training.shards import check_shards, train_shards
from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.errors import InputError
from landslide.experiment import Experiment
from landslide.training.records import trained_member
from landslide.training.tuning.successive_halving import better_half


@dataclass(frozen=True)
class Engine:
    """Where members train: on this machine, on a Dask cluster, or in runs of the deployment `train-shard`.

    `dask` is a scheduler's address or the full name of a cluster class; `workers` is the number of workers of such a
    class; `shards` is the number of runs.
    """

    dask: str | None = None
    workers: int | None = None
    shards: int | None = None

    @property
    def runner(self) -> TaskRunner[Any] | None:
        return on_dask(self.dask, self.workers) if self.dask else None


LOCAL = Engine()


def check_engine(settings: Experiment, engine: Engine, store: ArtifactStore) -> None:
    """InputError if the engine cannot train the experiment, ServiceError if shared storage fails."""
    if store.remote is not None:
        store.remote.check()
        if settings.halving_epochs:
            raise InputError(
                f"experiment {settings.id}: halving_epochs {list(settings.halving_epochs)} needs checkpoints, which "
                "shared storage does not carry. Use a store on a path that all machines mount, or leave out "
                "`halving_epochs`"
            )
    if engine.shards or engine.dask:
        _refuse_auto(settings, engine)
    if engine.shards:
        check_shards()
    elif engine.dask:
        on_dask(engine.dask, engine.workers)


def _refuse_auto(settings: Experiment, engine: Engine) -> None:
    """InputError for `auto` settings that each machine would resolve for itself."""
    automatic = {"device": settings.device == "auto", "precision": settings.precision == "auto"}
    automatic["members_per_gpu"] = engine.dask is not None and settings.members_per_gpu == "auto"
    for name in (name for name, is_auto in automatic.items() if is_auto):
        raise InputError(
            f"experiment {settings.id}: `{name}: auto` is for one machine. State it: `device:` cuda or cpu, "
            "`precision:` fp32 or bf16, with Dask `members_per_gpu:` a number"
        )


def train_grid(
    settings: Experiment, tiles: Artifact, store: ArtifactStore, engine: Engine = LOCAL
) -> dict[str, list[Artifact]]:
    """Train all members of an experiment.

    Args:
        settings: The experiment.
        tiles: The training store.
        store: The store of the members.
        engine: Where they train.

    Returns:
        The finished members of each band set, in the grid's order. Members that halving stopped are included.

    Raises:
        TrainingError: All members of a band set failed.
    """
    members = grid_members(settings)
    finished: TrainedMembers = {}
    remaining: Sequence[str] = list(members)
    for until in (*settings.halving_epochs, None):
        if not remaining:  # all diverged
            break
        if engine.shards:
            trained = train_shards(settings, tiles, store, remaining, until, engine.shards)
        else:
            trained = train_members(settings, tiles, store, remaining, until, engine.runner)
        finished |= trained
        if until is not None:
            remaining = _halve(trained, members, store)
            get_run_logger().info("%d of %d members continue after epoch %d", len(remaining), len(trained), until)
    artifacts = {name: stage.artifact for name, stage in finished.items()}
    return {
        band_set: [
            artifacts[name] for name, member in members.items() if member.band_set == band_set and name in artifacts
        ]
        for band_set in settings.band_sets
    }


def _halve(trained: TrainedMembers, members: dict[str, GridMember], store: ArtifactStore) -> list[str]:
    """The better half of the members of each band set and architecture. Removes the checkpoints of the others."""
    scores = {
        name: trained_member(stage.key, store.path(stage.artifact)).validation_f1 for name, stage in trained.items()
    }
    strata = {name: (members[name].band_set, members[name].spec.architecture) for name in trained}
    survivors = better_half(scores, strata)
    for name in set(trained) - set(survivors):
        trained[name].forget(store)
    return survivors
