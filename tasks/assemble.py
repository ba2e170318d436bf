"""Ranked members to an ensemble's folder."""

from pathlib import Path

from landslide.artifacts.store import Request
from landslide.ensembles.ensemble import EnsembleInfo, assemble
from landslide.training.records import candidate
from tasks.stage import obtain, path, stage


@stage(name="assemble", task_run_name="assemble {info.band_set}")
def assemble_ensemble(
    request: Request, store: Path, info: EnsembleInfo, members: list[dict[str, str]]
) -> dict[str, str]:
    """The ensemble of these members, best first."""
    candidates = [candidate(member["key"], path(member, store)) for member in members]
    return obtain(request, store, lambda folder: assemble(info, candidates, folder))
