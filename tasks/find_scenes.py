"""A case to the list of scenes that all its layers are made from."""

from typing import Any

from prefect import task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext
from prefect.runtime import flow_run

from landslide.artifacts.stage import digest
from landslide.artifacts.store import ArtifactStore
from landslide.cases.case import Case
from landslide.datasets.scene_list import RecordScenes
from landslide.sources.base import SceneList
from landslide.sources.registry import open_source


def _once_a_run(_: TaskRunContext, parameters: dict[str, Any]) -> str:
    """Within one run, subflows included, a source is asked once for each case, whatever role or title it has."""
    case: Case = parameters["case"]
    return f"scenes-{flow_run.root_flow_run_id}-{digest(case.model_dump(mode='json', exclude={'role', 'title'}))}"


@task(
    name="find-scenes",
    task_run_name="find-scenes {case.id}",
    cache_policy=CacheKeyFnPolicy(cache_key_fn=_once_a_run),
    persist_result=True,
    result_serializer="json",
)
def find_scenes(case: Case, store: ArtifactStore) -> SceneList:
    """Ask the case's source what it has, and write the answer down; refuses unusable cases before any pixel is read."""
    found = open_source(case).find_scenes()
    store.get_or_build(RecordScenes(found=found.model_dump(mode="json")))
    return found
