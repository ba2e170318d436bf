"""The task that exports the layer `terrain`."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.datasets.layers import ExportTerrain
from tasks.progress import exporting
from tasks.stage import stage_task


@stage_task(name="export-terrain")
def export_terrain(stage: ExportTerrain, store: ArtifactStore) -> Artifact:
    """Write the layer from the scene list."""
    with exporting(stage.case, stage.request.layer):
        return store.get_or_build(stage)
