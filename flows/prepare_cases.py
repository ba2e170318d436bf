"""Cases to prepared cases: the stack, the observation counts and the label of each."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_table_artifact
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from landslide.artifacts.store import Request
from landslide.cases.case import Case
from landslide.datasets.stack import Stack, prepare_request
from landslide.sources.registry import open_source
from tasks.prepare import prepare_case
from tasks.stage import path, submit

References = dict[str, dict[str, str]]
AT_ONCE = 10  # cases; those that this machine computes take turns


@task(name="open source", task_run_name="open {case.id}", persist_result=False)
def open_case(case: Case) -> Request:
    """Look up what the source has for a case, and name the result; refuses unusable cases before any pixel is read."""
    return prepare_request(case, open_source(case))


def _run_name() -> str:
    """`prepare juniper-range`, `prepare 6 cases`."""
    cases: list[Case] = flow_run.parameters["cases"]
    return f"prepare {cases[0].id}" if len(cases) == 1 else f"prepare {len(cases)} cases"


@flow(name="prepare-cases", flow_run_name=_run_name, task_runner=ThreadPoolTaskRunner(max_workers=AT_ONCE))  # type: ignore[arg-type]
def prepare_cases(cases: list[Case], store: Path) -> References:
    """Prepare every case; the reference of each by its id."""
    requests = [open_case.submit(case) for case in cases]
    futures = [
        (case, submit(prepare_case, request.result(), store, case=case))
        for case, request in zip(cases, requests, strict=True)
    ]
    references = {case.id: future.result() for case, future in futures}
    create_table_artifact(key="prepared-cases", table=summary(references, store), description="Prepared cases")
    return references


def summary(references: References, store: Path) -> list[dict[str, Any]]:
    """One row a case: size, scenes, bands, the least observed band, landslide pixels."""
    rows = []
    for name, reference in references.items():
        info = Stack.open(path(reference, store)).info
        shares = [share for part in info.parts for share in part.observed.values()]
        labelled = [part.landslide_pixels for part in info.parts if part.landslide_pixels is not None]
        rows.append({
            "case": name,
            "size": f"{info.parts[0].width} × {info.parts[0].height}",
            "parts": len(info.parts),
            "scenes": len(info.scenes),
            "bands": len(info.bands),
            "least observed": f"{min(shares):.0%}",
            "landslide pixels": sum(labelled) if labelled else "no inventory",
            "artifact": f"{reference['stage']}/{reference['key']}",
        })  # fmt: skip
    return rows
