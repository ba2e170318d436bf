"""What all boxes of the DAG share: a Prefect task that runs one stage, cached by the stage's own key."""

from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture

from landslide.artifacts.stage import Artifact, Stage
from landslide.artifacts.store import ArtifactStore


def _key_of_stage(_: TaskRunContext, parameters: dict[str, Any]) -> str:
    stage: Stage = parameters["stage"]
    return f"{stage.name}-{stage.key}"


box = partial(
    task,
    task_run_name="{stage.title}",
    cache_policy=CacheKeyFnPolicy(cache_key_fn=_key_of_stage),
    persist_result=True,
    result_serializer="json",
)
"""Decorates a function of `stage` and `store` that returns the stage's artifact."""


def submit(box: Any, stage: Stage, store: ArtifactStore) -> PrefectFuture[Any]:
    """Submit a stage. Where the store has no undamaged result, Prefect's own record of it is refreshed, too."""
    missing = not store.has(stage.artifact)
    future: PrefectFuture[Any] = box.with_options(refresh_cache=missing).submit(stage=stage, store=store)
    return future


def run(box: Any, stage: Stage, store: ArtifactStore) -> Artifact:
    """Submit a stage and wait for its result."""
    artifact: Artifact = submit(box, stage, store).result()
    return artifact
