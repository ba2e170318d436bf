"""The task that audits an experiment for leakage."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.datasets.leakage import AuditCases
from tasks.stage import stage_task


@stage_task(name="audit")
def audit_cases(stage: AuditCases, store: ArtifactStore) -> Artifact:
    """Detect pixels that are repeated in two roles."""
    return store.get_or_build(stage)
