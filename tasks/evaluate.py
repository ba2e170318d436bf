"""The task that scores predictions of test cases."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.evaluation.results import EvaluateEnsemble
from tasks.stage import stage_task


@stage_task(name="evaluate")
def evaluate_members(stage: EvaluateEnsemble, store: ArtifactStore) -> Artifact:
    """Score every ensemble size and the choices."""
    return store.get_or_build(stage)
