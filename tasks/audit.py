"""Prepared cases to the leakage audit."""

from pathlib import Path

from landslide.artifacts.store import Request
from landslide.datasets.leakage import audit
from landslide.datasets.stack import Stack
from tasks.stage import obtain, path, stage


@stage(name="audit", task_run_name="audit")
def audit_cases(
    request: Request, store: Path, bands: list[str], cases: dict[str, list[dict[str, str]]]
) -> dict[str, str]:
    """The audit of the prepared cases of each role, whatever it finds."""
    stacks = {role: [Stack.open(path(case, store)) for case in group] for role, group in cases.items()}
    return obtain(request, store, lambda folder: audit(bands, stacks, folder))
