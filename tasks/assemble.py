"""The task that writes an ensemble."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.ensembles.ensemble import AssembleEnsemble
from tasks.stage import stage_task


@stage_task(name="assemble")
def assemble_ensemble(stage: AssembleEnsemble, store: ArtifactStore) -> Artifact:
    """Write the ensemble's folder."""
    return store.get_or_build(stage)
