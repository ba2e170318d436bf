"""Prefect tasks that run one stage, cached by the stage's key."""

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


stage_task = partial(
    task,
    task_run_name="{stage.title}",
    cache_policy=CacheKeyFnPolicy(cache_key_fn=_key_of_stage),
    persist_result=True,
    result_serializer="json",
)
"""Decorator of a function of `stage` and `store` that returns the stage's artifact."""


def submit(function: Any, stage: Stage, store: ArtifactStore) -> PrefectFuture[Any]:
    """Submit a stage. If the store has no valid result, Prefect's cache of it is refreshed."""
    missing = not store.has(stage.artifact)
    future: PrefectFuture[Any] = function.with_options(refresh_cache=missing).submit(stage=stage, store=store)
    return future


def run(function: Any, stage: Stage, store: ArtifactStore) -> Artifact:
    """Submit a stage and wait for its result."""
    artifact: Artifact = submit(function, stage, store).result()
    return artifact
