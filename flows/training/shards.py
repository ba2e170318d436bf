"""Training a grid in shards: runs of the deployment `train-shard`, which Prefect assigns to the workers of a pool.

A shard writes its members to the store or the shared storage. A member counts as finished once its artifact exists
there, whatever the state of the run.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from flows.training.jobs import TrainingJob, check_server, jobs
from flows.training.members import TrainedMembers, report_failed, train_members
from flows.training.progress import GridProgress
from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.errors import InputError, TrainingError
from landslide.experiment import Experiment
from landslide.progress import meter
from landslide.training.train_member import TrainMember
from tasks.progress import live_page

DEPLOYMENT = "train-shard/new"
ATTEMPTS = 3  # for members whose run crashed
MAX_SHARDS = 200  # runs per response of the server
POLL_SECONDS = 5.0
NO_WORKER = "waiting for a worker: prefect worker start --pool gpu"


@flow(name="train-shard", flow_run_name="train {names[0]} and others")
def train_shard(settings: Experiment, tiles: Artifact, names: list[str], store: Path, until: int | None = None) -> None:
    """Train some of an experiment's members on a worker.

    Args:
        settings: The experiment.
        tiles: The training store.
        names: The names of the members.
        store: The folder of artifacts.
        until: The last epoch; None trains to the end.

    Raises:
        TrainingError: A member failed.
    """
    finished = train_members(settings, tiles, ArtifactStore.at(store), names, until, page="shard")
    if failed := [name for name in names if name not in finished]:
        raise TrainingError(f"{len(failed)} of {len(names)} members failed: {', '.join(failed)}. See the run's log")


def train_shards(
    settings: Experiment, tiles: Artifact, store: ArtifactStore, names: Sequence[str], until: int | None, shards: int
) -> TrainedMembers:
    """Train members in runs of the deployment. Members of a crashed run are given to new runs.

    Args:
        settings: The experiment.
        tiles: The training store.
        store: The store of the members.
        names: The names of the members.
        until: The last epoch; None trains to the end.
        shards: The number of runs.

    Returns:
        The stages of the finished members.

    Raises:
        TrainingError: All members of a band set failed.
    """
    wanted = jobs(settings, tiles, store, names, until, settings.device)
    if store.remote is not None:
        store.remote.send(tiles, store.path(tiles), store.manifest(tiles))
    missing = _MissingMembers(wanted, store)
    with (
        get_client(sync_client=True) as client,
        live_page(f"grid-{settings.id}", f"{len(wanted)} members") as show,
        meter("Members", len(wanted)) as update,
    ):
        missing.update()
        for _ in range(ATTEMPTS):
            runs = [_start(settings, tiles, shard, until) for shard in split_into_shards(missing.jobs, shards)]
            states = _states(client, runs)
            while not all(state.is_final() for state in states):
                idle = all(state.is_scheduled() for state in states)
                update(len(wanted) - len(missing.jobs), NO_WORKER if idle else str(missing.progress))
                time.sleep(POLL_SECONDS)
                states = _states(client, runs)
                missing.update()
                show(missing.progress.markdown())
            update(len(wanted) - len(missing.jobs), str(missing.progress))
            if not any(state.is_crashed() for state in states):
                break
    report_failed([(job, f"{job.name} did not arrive") for job in missing.jobs], wanted)
    return {job.name: job.stage for job in wanted if job not in missing.jobs}


def check_shards() -> None:
    """InputError if the server or the deployment is missing."""
    check_server("a grid in shards")
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound as error:
            raise InputError(
                f"no deployment {DEPLOYMENT} is known. Run `prefect deploy --all --prefect-file "
                "deployments/gpu.yaml` first"
            ) from error


def split_into_shards(jobs: Sequence[TrainingJob], shards: int) -> list[list[TrainingJob]]:
    """Split jobs, ordered by cost, into non-empty shards of similar cost."""
    return [list(jobs[start::shards]) for start in range(min(shards, len(jobs)))]


def _start(settings: Experiment, tiles: Artifact, shard: list[TrainingJob], until: int | None) -> UUID:
    run: FlowRun = run_deployment(  # type: ignore[assignment]
        DEPLOYMENT, timeout=0,
        parameters={
            "settings": settings.model_dump(mode="json"), "tiles": tiles.model_dump(), "until": until,
            "names": [job.name for job in shard],
        },
    )  # fmt: skip
    return run.id


def _states(client: SyncPrefectClient, runs: list[UUID]) -> list[State]:
    """The states of the runs; deleted runs are left out."""
    if not runs:
        return []
    found = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=runs)))
    return [run.state for run in found if run.state]


class _MissingMembers:
    """The members that are in neither the store nor the shared storage."""

    def __init__(self, wanted: list[TrainingJob], store: ArtifactStore) -> None:
        self.jobs, self.progress, self._store = wanted, GridProgress(wanted, store), store

    def update(self) -> None:
        remote = self._store.remote
        shared = remote.keys(TrainMember.name) if remote else set()
        for job in list(self.jobs):
            if job.stage.key in shared or self._store.folder(job.stage.artifact).exists():
                self.progress.add(job, finished=True)
                self.jobs = [other for other in self.jobs if other is not job]
