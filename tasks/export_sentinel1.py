"""The task that exports the layer `sentinel1`."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.datasets.layers import ExportSentinel1
from tasks.progress import exporting
from tasks.stage import stage_task


@stage_task(name="export-sentinel1")
def export_sentinel1(stage: ExportSentinel1, store: ArtifactStore) -> Artifact:
    """Write the layer from the scene list."""
    with exporting(stage.case, stage.request.layer):
        return store.get_or_build(stage)
