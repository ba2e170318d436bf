"""A grid in shards: runs of the deployment `train-shard`, which workers of a pool take up, one worker a GPU.

Which worker takes which run is Prefect's business. What a shard trains it leaves in the store, or on shared storage,
and there its members are looked for: a member counts once its artifact is there, whatever became of the run.
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

from flows.training.jobs import Entry, Reference, check_server, entries
from flows.training.members import tell_failed, train_members
from flows.training.progress import GridProgress
from landslide.artifacts.store import Artifact, Store
from landslide.errors import InputError, TrainingError
from landslide.experiment import Experiment
from landslide.progress import meter
from tasks.progress import board
from tasks.stage import storage

DEPLOYMENT = "train-shard/new"
ATTEMPTS = 3  # at members whose run crashed under them
MAX_SHARDS = 200  # runs that a server tells of at once
POLL_SECONDS = 5.0  # seconds between two looks at the runs
NOBODY = "waiting for a worker: prefect worker start --pool gpu"


@flow(name="train-shard", flow_run_name="train {names[0]} and others")
def train_shard(
    settings: Experiment, tiles: Reference, names: list[str], store: Path, until: int | None = None
) -> None:
    """Train some of an experiment's members, wherever a worker takes this up. Raises TrainingError if any failed."""
    finished = train_members(settings, tiles, store, names, until, page="shard")
    if failed := [name for name in names if name not in finished]:
        raise TrainingError(f"{len(failed)} of {len(names)} members failed: {', '.join(failed)}. See the run's log")


def train_shards(
    settings: Experiment, tiles: Reference, store: Path, names: Sequence[str], until: int | None, shards: int
) -> dict[str, Reference]:
    """The members that came through, by name. What a crashed run left undone is dealt out again.

    Raises TrainingError if all members of a band set failed.
    """
    wanted = entries(settings, tiles, store, names, until, settings.device)
    if (shared := storage()) is not None:
        shared.send(Artifact.model_validate(tiles), Store(store))
    arrivals = _Arrivals(wanted, store)
    with (
        get_client(sync_client=True) as client,
        board(f"grid-{settings.id}", f"{len(wanted)} members") as show,
        meter("Members", len(wanted)) as update,
    ):
        arrivals.look()
        for _ in range(ATTEMPTS):
            runs = [_start(settings, tiles, hand, until) for hand in split_into_shards(arrivals.missing, shards)]
            states = _states(client, runs)
            while not all(state.is_final() for state in states):
                idle = all(state.is_scheduled() for state in states)
                update(len(wanted) - len(arrivals.missing), NOBODY if idle else str(arrivals.tally))
                time.sleep(POLL_SECONDS)
                states = _states(client, runs)
                arrivals.look()
                show(arrivals.tally.markdown())
            update(len(wanted) - len(arrivals.missing), str(arrivals.tally))
            if not any(state.is_crashed() for state in states):
                break
    tell_failed([(entry, f"{entry.name} did not arrive") for entry in arrivals.missing], wanted)
    return {entry.name: entry.reference for entry in wanted if entry not in arrivals.missing}


def check_shards() -> None:
    """InputError where the server or the deployment is missing that shards need."""
    check_server("a grid in shards")
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound as error:
            raise InputError(
                f"no deployment {DEPLOYMENT} is known. Run `prefect deploy --all --prefect-file "
                "deployments/gpu.yaml` first"
            ) from error


def split_into_shards(entries: Sequence[Entry], hands: int) -> list[list[Entry]]:
    """Entries, the longest first, into hands that take about as long; none is empty."""
    return [list(entries[start::hands]) for start in range(min(hands, len(entries)))]


def _start(settings: Experiment, tiles: Reference, hand: list[Entry], until: int | None) -> UUID:
    run: FlowRun = run_deployment(  # type: ignore[assignment]
        DEPLOYMENT, timeout=0,
        parameters={
            "settings": settings.model_dump(mode="json"), "tiles": tiles, "until": until,
            "names": [entry.name for entry in hand],
        },
    )  # fmt: skip
    return run.id


def _states(client: SyncPrefectClient, runs: list[UUID]) -> list[State]:
    """Where the runs are; a run that has been deleted is not among them."""
    if not runs:
        return []
    found = client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=runs)))
    return [run.state for run in found if run.state]


class _Arrivals:
    """Members as they come in."""

    def __init__(self, wanted: list[Entry], store: Path) -> None:
        self.missing, self.tally, self._store = wanted, GridProgress(wanted, store), store

    def look(self) -> None:
        """See who has arrived since."""
        shared = storage()
        there = shared.keys("train") if shared else set()
        for entry in list(self.missing):
            if entry.request.key in there or Store(self._store).path(entry.request).exists():
                self.tally.add(entry, finished=True)
                self.missing = [one for one in self.missing if one is not entry]
