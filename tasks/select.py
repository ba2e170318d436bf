"""The task that applies every selector to the validation cases."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.ensembles.select import SelectMembers
from tasks.stage import stage_task


@stage_task(name="select")
def select_members(stage: SelectMembers, store: ArtifactStore) -> Artifact:
    """Choose weights, calibration and threshold with every selector."""
    return store.get_or_build(stage)
