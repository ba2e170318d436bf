"""What all stages share: Prefect's cache key is the store's, and a cached result counts only if its files verify."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture

from landslide.artifacts.remote import RemoteStore
from landslide.artifacts.store import Artifact, Request, Store

SHARED = "LANDSLIDE_SHARED"


def _by_request(_: TaskRunContext, parameters: dict[str, Any]) -> str:
    request: Request = parameters["request"]
    return f"{request.stage}-{request.key}"


stage = partial(
    task, cache_policy=CacheKeyFnPolicy(cache_key_fn=_by_request), persist_result=True, result_serializer="json"
)


def submit(stage_task: Any, request: Request, store: Path, **arguments: Any) -> PrefectFuture[Any]:
    """Submit a stage. Where the store has no verified result, Prefect's own record of it is refreshed, too."""
    missing = Store(store).find(request) is None
    future: PrefectFuture[Any] = stage_task.with_options(refresh_cache=missing).submit(
        request=request, store=store, **arguments
    )
    return future


def storage() -> RemoteStore | None:
    """What this machine shares artifacts through, if the environment names it."""
    url = os.environ.get(SHARED)
    return RemoteStore(url) if url else None


def obtain(request: Request, store: Path, build: Callable[[Path], Any]) -> dict[str, str]:
    """The body of every stage: the artifact's reference, built only if it is neither here nor on shared storage."""
    local, shared = Store(store), storage()
    if shared is not None and local.find(request) is None:
        shared.fetch(Artifact(stage=request.stage, key=request.key), local)
    artifact = local.obtain(request, build)
    if shared is not None:
        shared.send(artifact, local)
    return artifact.model_dump()


def path(reference: dict[str, str], store: Path) -> Path:
    """The folder that a reference names, brought from shared storage where it is not here."""
    local, shared, artifact = Store(store), storage(), Artifact.model_validate(reference)
    if shared is not None and not local.path(artifact).exists():
        shared.fetch(artifact, local)
    return local.path(artifact)
