"""The task that exports the layer `sentinel2`."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.datasets.layers import ExportSentinel2
from tasks.progress import exporting
from tasks.stage import stage_task


@stage_task(name="export-sentinel2")
def export_sentinel2(stage: ExportSentinel2, store: ArtifactStore) -> Artifact:
    """Write the layer from the scene list."""
    with exporting(stage.case, stage.request.layer):
        return store.get_or_build(stage)
