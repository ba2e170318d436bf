"""Training of some members of a grid, on this machine or a cluster, the most expensive first."""

from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger
from prefect.futures import as_completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.training.jobs import TrainingJob, check_server, jobs
from flows.training.progress import GridProgress
from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.errors import InputError, TrainingError
from landslide.experiment import Experiment
from landslide.progress import meter
from landslide.training.devices import choose_device, device_name
from landslide.training.train_member import TrainMember
from landslide.training.tuning.gpu_sharing import MeasureSharing, read_sharing
from landslide.training.workers import pool
from landslide.training.workers.slots import slot_devices
from tasks.progress import live_page
from tasks.stage import run, submit
from tasks.train import measure_sharing, train_member

TrainedMembers = dict[str, TrainMember]
"""The training stages of finished members by name."""


def train_members(
    settings: Experiment,
    tiles: Artifact,
    store: ArtifactStore,
    names: Sequence[str],
    until: int | None = None,
    runner: TaskRunner[Any] | None = None,
    page: str = "grid",
) -> TrainedMembers:
    """Train members on this machine or with a task runner.

    Args:
        settings: The experiment.
        tiles: The training store.
        store: The store of the members.
        names: The names of the members.
        until: The last epoch; None trains to the end.
        runner: The task runner of a cluster; None trains on this machine.
        page: The key of the progress page in Prefect's UI is `<page>-<experiment>`.

    Returns:
        The stages of the finished members.

    Raises:
        TrainingError: All members of a band set failed.
    """
    device = settings.device if runner else choose_device(settings.device)
    per_gpu = members_per_gpu(settings, tiles, store, names, device)
    if runner is None:
        runner = ThreadPoolTaskRunner(max_workers=len(slot_devices(device, per_gpu)))
    train = _train_members.with_options(task_runner=runner)  # type: ignore[arg-type]
    finished: TrainedMembers = train(settings, tiles, store, list(names), until, device, per_gpu, page)
    return finished


def members_per_gpu(
    settings: Experiment, tiles: Artifact, store: ArtifactStore, names: Sequence[str], device: str
) -> int:
    """How many members share a GPU: stated in the experiment, or chosen by a trial of a member of median cost.

    Args:
        settings: The experiment.
        tiles: The training store.
        store: The store of the trial's result.
        names: The names of the members.
        device: Where they train.
    """
    if settings.members_per_gpu != "auto":
        return settings.members_per_gpu
    if device == "cpu":
        return 1
    all_jobs = jobs(settings, tiles, store, names, None, device)
    median = all_jobs[len(all_jobs) // 2].stage
    trial = MeasureSharing.of(median.spec, median.schedule, tiles, device, device_name(device))
    return read_sharing(store.path(run(measure_sharing, trial, store))).choice


def on_dask(where: str, workers: int | None) -> TaskRunner[Any]:
    """The task runner of a Dask cluster: at an address, or of a cluster class by its full name with `workers` workers.

    The class is configured in Dask's own configuration. InputError without the class or a Prefect server.
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
    per_gpu: int,
    page: str,
) -> TrainedMembers:
    wanted = jobs(settings, tiles, store, names, until, device)
    progress = GridProgress(wanted, store, lambda: pool.WORKER_POOL.busy)
    futures = {
        submit(train_member, job.stage.model_copy(update={"members_per_gpu": per_gpu}), store): job for job in wanted
    }
    failed: list[tuple[TrainingJob, str]] = []
    try:
        with (
            live_page(f"{page}-{settings.id}", f"{len(futures)} members") as show,
            meter("Members", len(futures)) as update,
        ):
            for done, future in enumerate(as_completed(list(futures)), 1):
                job, error = futures[future], _error(future)
                if error is not None:
                    failed.append((job, error))
                progress.add(job, finished=error is None)
                update(done, str(progress))
                show(progress.markdown())
    finally:
        pool.WORKER_POOL.close()
    report_failed(failed, wanted)
    names_failed = {job.name for job, _ in failed}
    return {job.name: job.stage for job in wanted if job.name not in names_failed}


def _error(future: Any) -> str | None:
    """Wait for a member; returns the message of its error, None if it is finished."""
    future.wait()  # its state is final only then
    if future.state.is_completed():
        return None
    try:
        future.result()
    except Exception as error:
        return str(error)
    return "no reason given"


def report_failed(failed: Sequence[tuple[TrainingJob, str]], wanted: Sequence[TrainingJob]) -> None:
    """Log the members that failed; TrainingError if all members of a band set did."""
    names = {job.name for job, _ in failed}
    if failed:
        get_run_logger().error("%d of %d members failed: %s", len(failed), len(wanted), ", ".join(sorted(names)))
    for first, why in failed:
        others = [job for job in wanted if job.member.band_set == first.member.band_set]
        if all(job.name in names for job in others):
            raise TrainingError(
                f"all {len(others)} members of {first.member.band_set} failed: {why}. See the run's log"
            )
