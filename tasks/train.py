"""Tiles to one member."""

import shutil
from pathlib import Path
from typing import Any

from prefect import get_run_logger

from landslide.artifacts.store import Artifact, Request, Store
from landslide.errors import CrashError
from landslide.models.member import MemberSpec
from landslide.training.records import Schedule
from landslide.training.tuning import gpu_sharing
from landslide.training.tuning.precision import Probe, measure
from landslide.training.workers import pool
from landslide.training.workers.slots import lease
from tasks.stage import obtain, path, stage


def _crashed(_: Any, __: Any, state: Any) -> bool:
    """Whether another attempt may come through: after a crash, and not after a refusal."""
    return isinstance(state.result(raise_on_failure=False), CrashError)


@stage(name="train", task_run_name="train {name}", retries=2, retry_condition_fn=_crashed)
def train_member(
    request: Request,
    store: Path,
    name: str,
    spec: MemberSpec,
    schedule: Schedule,
    tiles: dict[str, str],
    device: str,
    members_per_gpu: int,
    until: int | None,
) -> dict[str, str]:
    """One member of the grid, in a process of its own, from its last checkpoint where an attempt was cut off.

    One that stops after the epoch `until` keeps a checkpoint; `forget` removes it.
    """
    workspace = Store(store).workspace(_whole(request))

    def build(folder: Path) -> None:
        with lease(device, members_per_gpu) as place:
            job = pool.Job(
                name=name, spec=spec, schedule=schedule, tiles=path(tiles, store), device=place, folder=folder,
                workspace=workspace, until=until,
            )  # fmt: skip
            # by its module: Dask sends this function by value, and processes do not travel
            pool.TRAINERS.run(job, get_run_logger().info)

    reference = obtain(request, store, build)
    if until is None:
        shutil.rmtree(workspace, ignore_errors=True)
    return reference


def forget(reference: dict[str, str], store: Path) -> None:
    """Remove what a member that stopped at a rung would go on from."""
    manifest = Store(store).manifest(Artifact.model_validate(reference))
    request = Request.model_validate({name: manifest[name] for name in Request.model_fields})
    shutil.rmtree(Store(store).workspace(_whole(request)), ignore_errors=True)


def _whole(request: Request) -> Request:
    """The request for the member itself, whose checkpoints all its rungs share."""
    parameters = {name: value for name, value in request.parameters.items() if name != "until"}
    return request.model_copy(update={"parameters": parameters})


@stage(name="probe", task_run_name="probe {probe.architecture}")
def probe_precision(request: Request, store: Path, probe: Probe) -> dict[str, str]:
    """Which arithmetic a processor is faster in, tried where a member would train."""

    def build(folder: Path) -> None:
        with lease(probe.device) as place:
            measure(probe.model_copy(update={"device": place}), folder)

    return obtain(request, store, build)


@stage(name="packing", task_run_name="try how many members fit")
def probe_packing(
    request: Request, store: Path, spec: MemberSpec, schedule: Schedule, tiles: dict[str, str], device: str
) -> dict[str, str]:
    """How many members a GPU carries at a time, tried where they would train."""

    def build(folder: Path) -> None:
        with lease(device) as place:
            gpu_sharing.measure(spec, schedule, path(tiles, store), place, folder)

    return obtain(request, store, build)
