"""Some members of a grid, as many at a time as the machine or the cluster takes, the longest first."""

from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger
from prefect.futures import as_completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from torch.cuda import get_device_name

from flows.training.jobs import TrainingJob, check_server, jobs
from flows.training.progress import GridProgress
from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.errors import InputError, TrainingError
from landslide.experiment import Experiment
from landslide.progress import meter
from landslide.training.devices import choose_device
from landslide.training.train_member import TrainMember
from landslide.training.tuning.gpu_sharing import MeasureSharing, read
from landslide.training.workers import pool
from landslide.training.workers.slots import places
from tasks.progress import board
from tasks.stage import run, submit
from tasks.train import measure_sharing, train_member

TrainedMembers = dict[str, TrainMember]
"""The stages of finished members by name."""


def train_members(
    settings: Experiment,
    tiles: Artifact,
    store: ArtifactStore,
    names: Sequence[str],
    until: int | None = None,
    runner: TaskRunner[Any] | None = None,
    page: str = "grid",
) -> TrainedMembers:
    """Train members here, or where a task runner takes them.

    Args:
        settings: The experiment.
        tiles: The training store.
        store: Where members are kept.
        names: Of the members.
        until: The epoch after which they stop; None trains them to their end.
        runner: Brings tasks to a cluster; None trains on this machine.
        page: Progress is shown on the page `<page>-<experiment>` of Prefect's UI.

    Raises:
        TrainingError: All members of a band set failed.
    """
    device = settings.device if runner else choose_device(settings.device)
    at_once = members_per_gpu(settings, tiles, store, names, device)
    if runner is None:
        runner = ThreadPoolTaskRunner(max_workers=len(places(device, at_once)))
    flow_of_members = _train_members.with_options(task_runner=runner)  # type: ignore[arg-type]
    finished: TrainedMembers = flow_of_members(settings, tiles, store, list(names), until, device, at_once, page)
    return finished


def members_per_gpu(
    settings: Experiment, tiles: Artifact, store: ArtifactStore, names: Sequence[str], device: str
) -> int:
    """How many members a GPU trains at a time: what the experiment says, or what a trial of a member of middling cost
    found worth it.
    """
    if settings.members_per_gpu != "auto":
        return settings.members_per_gpu
    if device == "cpu":
        return 1
    all_jobs = jobs(settings, tiles, store, names, None, device)
    middle = all_jobs[len(all_jobs) // 2].stage
    trial = MeasureSharing.of(middle.spec, middle.schedule, tiles, device, get_device_name(device))
    return read(store.path(run(measure_sharing, trial, store))).choice


def on_dask(where: str, workers: int | None) -> TaskRunner[Any]:
    """A cluster at an address, or one of so many workers that is made for the run: a class by its full name, set up in
    Dask's own configuration. InputError where there is no such class, or no server for its workers to report to.
    """
    check_server("a Dask cluster")
    try:
        from prefect_dask.task_runners import DaskTaskRunner

        if "://" in where:
            return DaskTaskRunner(address=where)
        return DaskTaskRunner(cluster_class=where, cluster_kwargs={"n_workers": workers} if workers else {})
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"Dask cluster {where!r}: {error}. Give tcp://HOST:PORT of a scheduler or the full name of a class such as "
            "dask_jobqueue.SLURMCluster, and install landslide[dask] and the class's package"
        ) from error


@flow(name="train-members", flow_run_name="train members of {settings.id}")
def _train_members(
    settings: Experiment,
    tiles: Artifact,
    store: ArtifactStore,
    names: list[str],
    until: int | None,
    device: str,
    at_once: int,
    page: str,
) -> TrainedMembers:
    wanted = jobs(settings, tiles, store, names, until, device)
    progress = GridProgress(wanted, store, lambda: pool.TRAINERS.busy)
    futures = {
        submit(train_member, job.stage.model_copy(update={"members_per_gpu": at_once}), store): job for job in wanted
    }
    failed: list[tuple[TrainingJob, str]] = []
    try:
        with (
            board(f"{page}-{settings.id}", f"{len(futures)} members") as show,
            meter("Members", len(futures)) as update,
        ):
            for done, future in enumerate(as_completed(list(futures)), 1):
                job, finished = futures[future], _completed(future)
                if not finished:
                    failed.append((job, _reason(future)))
                progress.add(job, finished)
                update(done, str(progress))
                show(progress.markdown())
    finally:
        pool.TRAINERS.close()
    report_failed(failed, wanted)
    gone = {job.name for job, _ in failed}
    return {job.name: job.stage for job in wanted if job.name not in gone}


def _completed(future: Any) -> bool:
    """Whether a member that has ended is finished; its state is final only once it has been waited for."""
    future.wait()
    return bool(future.state.is_completed())


def _reason(future: Any) -> str:
    try:
        future.result()
    except Exception as error:
        return str(error)
    return "no reason given"


def report_failed(failed: Sequence[tuple[TrainingJob, str]], wanted: Sequence[TrainingJob]) -> None:
    """Log the members that failed, and why; TrainingError if those are all of a band set's."""
    names = {job.name for job, _ in failed}
    if failed:
        get_run_logger().error("%d of %d members failed: %s", len(failed), len(wanted), ", ".join(sorted(names)))
    for first, why in failed:
        others = [job for job in wanted if job.member.band_set == first.member.band_set]
        if all(job.name in names for job in others):
            raise TrainingError(
                f"all {len(others)} members of {first.member.band_set} failed: {why}. See the run's log"
            )
