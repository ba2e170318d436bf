"""The whole grid, unattended: nine architectures, five losses, two learning rates, on each of four band sets.

`landslide train` as a person starts it, on a small simulated world, with the quick preset and few samples a member: it
is the orchestration that is on trial, not the skill. Prints what came through; its last line is a JSON object. Set
PREFECT_API_URL to watch it in a server's pages. Two cores take about an hour.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import yaml

from landslide.evaluation.results import EvaluationReport
from landslide.experiment import load_experiment
from landslide.models.architectures import ARCHITECTURES
from landslide.models.losses import LOSSES
from landslide.simulation.world import simulate_world
from landslide.training.records import MEMBER_FILE, Member

EVENTS, SIZE, SEED = 4, 192, 3
GRID = {
    "band_sets": ["s1", "s2", "s1s2", "all"], "architectures": list(ARCHITECTURES), "losses": list(LOSSES),
    "learning_rates": [1e-3, 1e-2], "crop": 128, "ensemble_size": 20,
}  # fmt: skip


def main() -> int:
    """Train all members of all band sets; 1 if the command failed or a member is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/whole-grid"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--samples", type=int, default=32, help="crops an epoch")
    given = parser.parse_args()
    world, store = simulate_world(given.out / "world", EVENTS, SIZE, SEED), given.out / "store"
    path = world.experiment.with_name("whole-grid.yaml")
    stated = yaml.safe_load(world.experiment.read_text())
    schedule = {"epochs": given.epochs, "samples_per_epoch": given.samples}
    path.write_text(yaml.safe_dump({**stated, **GRID, **schedule, "id": "whole-grid"}))
    started = time.monotonic()
    command = [
        sys.executable,
        "-c",
        "from flows.cli.main import main; main()",
        "train",
        str(path),
        "--store",
        str(store),
    ]
    status = subprocess.run(command, check=False).returncode
    found = _found(path, store) | {"status": status, "wall_seconds": round(time.monotonic() - started)}
    print(json.dumps({"trial": "whole-grid", **schedule, **found}))
    return int(status != 0 or found["members"] < found["asked"])


def _found(path: Path, store: Path) -> dict[str, object]:
    """How many members are there, how they ended, and what each band set's ensemble scores."""
    settings, _ = load_experiment(path)
    members = [Member.model_validate_json(file.read_text()) for file in store.glob(f"train/[!.]*/{MEMBER_FILE}")]
    each = len(settings.architectures) * len(settings.losses) * len(settings.learning_rates)
    results = {name: store / "results" / settings.id / name for name in settings.band_sets}
    return {
        "asked": each * len(settings.band_sets),
        "members": len(members),
        "diverged": sum(member.status == "diverged" for member in members),
        "median_member_seconds": round(statistics.median(member.seconds for member in members), 1),
        "f1": {name: round(EvaluationReport.read(folder).pooled.f1, 3) for name, folder in results.items()},
    }


if __name__ == "__main__":
    raise SystemExit(main())
