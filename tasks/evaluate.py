"""Predictions of test cases to scores."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.evaluation.results import EvaluateEnsemble
from tasks.stage import box


@box(name="evaluate")
def evaluate_members(stage: EvaluateEnsemble, store: ArtifactStore) -> Artifact:
    """Score every ensemble size and some choices."""
    return store.get_or_build(stage)
