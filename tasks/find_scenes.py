"""The task that finds the scenes of a case."""

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
    """One search per case and root flow run, whatever the role or title of the case."""
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
    """Find and record the scenes of a case. Unusable cases raise here, before any pixel is read."""
    found = open_source(case).find_scenes()
    store.get_or_build(RecordScenes(found=found.model_dump(mode="json")))
    return found
