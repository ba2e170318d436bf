"""The training store to one member, and the trials that come before."""

from typing import Any

from prefect import get_run_logger

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.errors import CrashError
from landslide.training.train_member import TrainMember
from landslide.training.tuning.gpu_sharing import MeasureSharing
from landslide.training.tuning.precision import MeasurePrecision
from tasks.stage import box


def _crashed(_: Any, __: Any, state: Any) -> bool:
    """Whether another attempt may come through: after a crash, and not after a refusal."""
    return isinstance(state.result(raise_on_failure=False), CrashError)


@box(name="train", retries=2, retry_condition_fn=_crashed)
def train_member(stage: TrainMember, store: ArtifactStore) -> Artifact:
    """Train a member, from its last checkpoint where an attempt was cut off."""
    log = get_run_logger().info
    artifact = store.get_or_build(stage, lambda folder: stage.build(folder, store, log))
    if stage.until is None:
        stage.forget(store)
    return artifact


@box(name="precision")
def measure_precision(stage: MeasurePrecision, store: ArtifactStore) -> Artifact:
    """Try which arithmetic a processor is faster in, where a member would train."""
    return store.get_or_build(stage)


@box(name="gpu-sharing")
def measure_sharing(stage: MeasureSharing, store: ArtifactStore) -> Artifact:
    """Try how many members a GPU carries at a time."""
    return store.get_or_build(stage)
