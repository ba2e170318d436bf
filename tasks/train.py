"""The task that trains a member, and the trials before it."""

from typing import Any

from prefect import get_run_logger

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.errors import CrashError
from landslide.training.train_member import TrainMember
from landslide.training.tuning.gpu_sharing import MeasureSharing
from landslide.training.tuning.precision import MeasurePrecision
from tasks.stage import stage_task


def _crashed(_: Any, __: Any, state: Any) -> bool:
    """Retry after a crash, not after an error of the input."""
    return isinstance(state.result(raise_on_failure=False), CrashError)


@stage_task(name="train", retries=2, retry_condition_fn=_crashed)
def train_member(stage: TrainMember, store: ArtifactStore) -> Artifact:
    """Train a member, resuming from the checkpoint of an interrupted attempt."""
    log = get_run_logger().info
    artifact = store.get_or_build(stage, lambda folder: stage.build(folder, store, log))
    if stage.until is None:
        stage.forget(store)
    return artifact


@stage_task(name="precision")
def measure_precision(stage: MeasurePrecision, store: ArtifactStore) -> Artifact:
    """Measure which precision is faster on the processor."""
    return store.get_or_build(stage)


@stage_task(name="gpu-sharing")
def measure_sharing(stage: MeasureSharing, store: ArtifactStore) -> Artifact:
    """Measure how many members should share a GPU."""
    return store.get_or_build(stage)
