"""Predictions of validation cases to what each selector makes of them."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.ensembles.select import SelectMembers
from tasks.stage import box


@box(name="select")
def select_members(stage: SelectMembers, store: ArtifactStore) -> Artifact:
    """Choose weights, calibration and threshold with every selector."""
    return store.get_or_build(stage)
