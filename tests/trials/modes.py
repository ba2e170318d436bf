"""What each departure from the reference protocol costs and saves: the ensemble's F1, and the members' seconds.

The same members, seeds and number of samples in every way of training, float32 throughout, on events of a simulated
world; scores are pooled over events that no member saw. Prints a table, its last line is a JSON object. Two cores take
the better part of an hour, and another quarter for `--halving`, which trains five losses of two architectures whole,
halved, and without their collapsed members.
"""

import argparse
import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from prefect.testing.utilities import prefect_test_harness

from flows.training.train_ensemble import train_ensemble
from landslide.artifacts.store import MANIFEST
from landslide.evaluation.results import EvaluationReport
from landslide.experiment import FAST, Experiment, load_experiment
from landslide.models.losses import LOSSES
from landslide.simulation.world import simulate_world
from landslide.training.records import MEMBER_FILE, Member, Schedule

EVENTS, SIZE, WORLD_SEED = 8, 256, 11
ROLES = {"train": slice(0, 4), "validation": slice(4, 5), "test": slice(5, None)}
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # two-sided 95 %, by number of differences
REFERENCE = {"batch": 4, "epochs": 10, "samples_per_epoch": 128}

SWITCHES = {"lr_schedule": "one-cycle", "ema_decay": 0.99, "validate_every": 2, "batch": 8}
MODES: dict[str, dict[str, Any]] = {
    "reference": {},
    **{f"{name}: {value}": {name: value} for name, value in SWITCHES.items()},
    "fast": FAST,
}
MODES_GRID = {"architectures": ["FPN", "Linknet", "PSPNet", "Unet"], "losses": ["dice"]}
HALVING = {
    "whole": {},
    "stop_collapsed_after: 4": {"stop_collapsed_after": 4},
    "halving_epochs: [4]": {"halving_epochs": [4]},
}
HALVING_GRID = {"architectures": ["Linknet", "PSPNet"], "losses": list(LOSSES), "ensemble_size": 5}


def main() -> None:
    """Train in every way with every seed; tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/modes"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--halving", action="store_true", help="what halving costs, instead of the modes")
    parser.add_argument("--ways", nargs="*", help="only these, the first as reference")
    given = parser.parse_args()
    ways, grid = (HALVING, HALVING_GRID) if given.halving else (MODES, MODES_GRID)
    chosen = {way: ways[way] for way in given.ways or ways}
    world = simulate_world(given.out / "world", EVENTS, SIZE, WORLD_SEED)
    cases = [path.stem for path in world.cases]
    common = {**grid, **REFERENCE, "split": {role: cases[part] for role, part in ROLES.items()}}
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in chosen}
    with prefect_test_harness(server_startup_timeout=120):
        for seed in range(given.seeds):
            for way, changes in chosen.items():
                path = _write(world.experiment, given.out / "experiment.yaml", {**common, **changes, "seed": seed})
                store = (
                    f"store-{list(HALVING).index(way)}" if given.halving else "store"
                )  # a halved grid takes what is there
                found[way].append(_run(path, given.out / store))
                print(f"seed {seed}, {way}: F1 {found[way][-1][0]:.3f}, {found[way][-1][1]:.0f} s", flush=True)
    reference, *_ = found.values()
    rows = {way: _row(results, reference) for way, results in found.items()}
    print("| way | F1 | difference | seconds in all |\n|---|---|---|---|")
    for way, row in rows.items():
        print(f"| {way} | {row['f1']:.3f} | {row['difference']:+.3f} ± {row['interval']:.3f} | {row['seconds']:.0f} |")
    print(json.dumps({"trial": "modes", "seeds": given.seeds, "ways": rows}))


def _write(world: Path, path: Path, changes: Mapping[str, Any]) -> Path:
    """An experiment on the world's cases."""
    given = yaml.safe_load(world.read_text())
    cases = [str((world.parent / case).resolve()) for case in given["cases"]]
    path.write_text(yaml.safe_dump({**given, "id": "modes", "cases": cases, **changes}))
    return path


def _run(path: Path, store: Path) -> tuple[float, float]:
    """The ensemble's F1 over the test cases, and the seconds of all members together."""
    results = train_ensemble(path, store)
    return EvaluationReport.read(results["all"]).pooled.f1, _seconds(load_experiment(path)[0], store)


def _seconds(settings: Experiment, store: Path) -> float:
    """What the members of an experiment took to train, each as far as it got."""
    stated = settings.model_dump(include=set(Schedule.model_fields) - {"threshold"}) | {"precision": "fp32"}
    schedule = Schedule.model_validate(stated).model_dump(mode="json")
    longest: dict[str, float] = {}
    for folder in store.glob("train/[!.]*"):
        member = Member.model_validate_json((folder / MEMBER_FILE).read_text())
        trained_by = json.loads((folder / MANIFEST).read_text())["parameters"]["schedule"]
        if member.spec.seed == settings.seed and trained_by == schedule:
            longest[member.spec.name] = max(longest.get(member.spec.name, 0.0), member.seconds)
    return sum(longest.values())


def _row(results: list[tuple[float, float]], reference: list[tuple[float, float]]) -> dict[str, float]:
    """Means over seeds; the difference to the reference, seed by seed, with Student's interval of 95 %."""
    differences = [f1 - other for (f1, _), (other, _) in zip(results, reference, strict=True)]
    many = len(differences)
    spread = statistics.stdev(differences) / math.sqrt(many) if many > 1 else math.nan
    return {
        "f1": statistics.mean(f1 for f1, _ in results),
        "difference": statistics.mean(differences),
        "interval": STUDENT.get(many, math.nan) * spread,
        "seconds": statistics.mean(seconds for _, seconds in results),
    }


if __name__ == "__main__":
    main()
