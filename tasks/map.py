"""The task that maps a case."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.mapping.map_event import MapCase
from tasks.stage import stage_task


@stage_task(name="map")
def map_case(stage: MapCase, store: ArtifactStore) -> Artifact:
    """Map the case."""
    return store.get_or_build(stage)
