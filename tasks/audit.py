"""Stacks by role to the leakage audit."""

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.datasets.leakage import AuditCases
from tasks.stage import box


@box(name="audit")
def audit_cases(stage: AuditCases, store: ArtifactStore) -> Artifact:
    """Look for pixels of one role that are repeated in another."""
    return store.get_or_build(stage)
