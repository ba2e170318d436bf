"""Before training: are the experiment's cases independent?"""

from pathlib import Path

from prefect import get_run_logger

from flows.prepare_cases import References
from landslide.cases import Case
from landslide.evaluation.leakage import Audit, audit_request, refuse_duplicates
from landslide.experiment import Experiment
from tasks.audit import audit_cases
from tasks.stage import path, submit


def refuse_leakage(settings: Experiment, groups: dict[str, list[Case]], prepared: References, store: Path) -> Audit:
    """The audit of the prepared cases by role; InputError where pixels of one role are repeated in another.

    The audit stays in the store either way. To be called within a flow.
    """
    cases = {role: [prepared[case.id] for case in group] for role, group in groups.items()}
    keys = {role: {case.id: prepared[case.id]["key"] for case in group} for role, group in groups.items()}
    request = audit_request(settings.all_bands, keys)
    reference = submit(audit_cases, request, store, bands=list(settings.all_bands), cases=cases).result()
    audit = refuse_duplicates(path(reference, store))
    get_run_logger().info("leakage audit: %s", audit.summary())
    return audit
