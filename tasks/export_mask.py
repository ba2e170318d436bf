"""The task that exports the layer `mask`: label, land cover and water."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.datasets.layers import ExportMask
from tasks.progress import exporting
from tasks.stage import stage_task


@stage_task(name="export-mask")
def export_mask(stage: ExportMask, store: ArtifactStore) -> Artifact:
    """Write the layer from the scene list."""
    with exporting(stage.case, stage.request.layer):
        return store.get_or_build(stage)
