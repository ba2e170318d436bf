"""The task that joins the layers of a case."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.datasets.stack import BuildStack
from tasks.stage import stage_task


@stage_task(name="stack")
def build_stack(stage: BuildStack, store: ArtifactStore) -> Artifact:
    """Join the layers by reference."""
    return store.get_or_build(stage)
