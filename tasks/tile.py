"""The task that writes the training store."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.datasets.training_store import TileCases
from tasks.stage import stage_task


@stage_task(name="tile")
def tile_cases(stage: TileCases, store: ArtifactStore) -> Artifact:
    """Write the training store."""
    return store.get_or_build(stage)
