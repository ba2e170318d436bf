"""Some members of a grid, as many at a time as there are places for, the longest first."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger
from prefect.futures import as_completed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from torch.cuda import get_device_name

from flows.training.jobs import Entry, Reference, check_server, entries
from flows.training.progress import GridProgress
from landslide.errors import InputError, TrainingError
from landslide.experiment import Experiment
from landslide.progress import meter
from landslide.training.devices import choose_device
from landslide.training.tuning.gpu_sharing import packing_request, read
from landslide.training.workers import pool
from landslide.training.workers.slots import places
from tasks.progress import board
from tasks.stage import path, submit
from tasks.train import probe_packing, train_member


def train_members(
    settings: Experiment,
    tiles: Reference,
    store: Path,
    names: Sequence[str],
    until: int | None = None,
    runner: TaskRunner[Any] | None = None,
    page: str = "grid",
) -> dict[str, Reference]:
    """The members that came through, by name; in the places of this machine, or where a task runner takes them.

    How far they are is told on the page `<page>-<experiment>` of Prefect's UI.
    Raises TrainingError if all members of a band set failed.
    """
    device = settings.device if runner else choose_device(settings.device)
    at_once = members_per_gpu(settings, tiles, store, names, device)
    if runner is None:
        runner = ThreadPoolTaskRunner(max_workers=len(places(device, at_once)))
    flow_of_members = _train_members.with_options(task_runner=runner)  # type: ignore[arg-type]
    finished: dict[str, Reference] = flow_of_members(settings, tiles, store, list(names), until, device, at_once, page)
    return finished


def members_per_gpu(settings: Experiment, tiles: Reference, store: Path, names: Sequence[str], device: str) -> int:
    """Members that a GPU trains at a time: as many as the experiment says, or as a trial of an architecture of middling
    length found worth it.
    """
    if settings.members_per_gpu != "auto":
        return settings.members_per_gpu
    if device == "cpu":
        return 1
    every = entries(settings, tiles, store, names, None, device)
    middle = every[len(every) // 2]
    request = packing_request(middle.member.spec, middle.schedule, tiles["key"], get_device_name(device))
    trial = submit(
        probe_packing, request, store, spec=middle.member.spec, schedule=middle.schedule, tiles=tiles, device=device
    )
    return read(path(trial.result(), store)).choice


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
    tiles: Reference,
    store: Path,
    names: list[str],
    until: int | None,
    device: str,
    at_once: int,
    page: str,
) -> dict[str, Reference]:
    wanted = entries(settings, tiles, store, names, until, device)
    tally = GridProgress(wanted, store, lambda: pool.TRAINERS.busy)
    futures = {
        submit(
            train_member, entry.request, store, name=entry.name, spec=entry.member.spec, schedule=entry.schedule,
            tiles=tiles, device=device, members_per_gpu=at_once, until=until,
        ): entry
        for entry in wanted
    }  # fmt: skip
    failed: list[tuple[Entry, str]] = []
    try:
        with (
            board(f"{page}-{settings.id}", f"{len(futures)} members") as show,
            meter("Members", len(futures)) as update,
        ):
            for done, future in enumerate(as_completed(list(futures)), 1):
                entry, finished = futures[future], _completed(future)
                if not finished:
                    failed.append((entry, _why(future)))
                tally.add(entry, finished)
                update(done, str(tally))
                show(tally.markdown())
    finally:
        pool.TRAINERS.close()
    tell_failed(failed, wanted)
    gone = {entry.name for entry, _ in failed}
    return {entry.name: entry.reference for entry in wanted if entry.name not in gone}


def _completed(future: Any) -> bool:
    """Whether a member that has ended is there; its state is final only once it has been waited for."""
    future.wait()
    return bool(future.state.is_completed())


def _why(future: Any) -> str:
    try:
        future.result()
    except Exception as error:
        return str(error)
    return "no reason given"


def tell_failed(failed: Sequence[tuple[Entry, str]], wanted: Sequence[Entry]) -> None:
    """Name the members that did not come through, and why; TrainingError if those are all of a band set's."""
    names = {entry.name for entry, _ in failed}
    if failed:
        get_run_logger().error("%d of %d members failed: %s", len(failed), len(wanted), ", ".join(sorted(names)))
    for first, why in failed:
        others = [entry for entry in wanted if entry.member.band_set == first.member.band_set]
        if all(entry.name in names for entry in others):
            raise TrainingError(
                f"all {len(others)} members of {first.member.band_set} failed: {why}. See the run's log"
            )
