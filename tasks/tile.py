"""Stacks of the training and validation cases to the training store."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.datasets.training_store import TileCases
from tasks.stage import box


@box(name="tile")
def tile_cases(stage: TileCases, store: ArtifactStore) -> Artifact:
    """Write the training store."""
    return store.get_or_build(stage)
