"""What each departure from the reference protocol costs and saves: the ensemble's F1, and the members' seconds.

The same members, seeds and number of samples in every way of training, float32 throughout, on events of a simulated
world; scores are pooled over events that no member saw. Prints a table, its last line is a JSON object. Two cores take
the better part of an hour.
"""

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

import yaml
from prefect.testing.utilities import prefect_test_harness

from flows.train_ensemble import train_ensemble
from landslide.experiment import FAST, Experiment, load_experiment
from landslide.simulate import simulate_world
from landslide.store import MANIFEST
from landslide.training.records import FILE, Member, Schedule

EVENTS, SIZE, WORLD_SEED = 8, 256, 11
ROLES = {"train": slice(0, 4), "validation": slice(4, 5), "test": slice(5, None)}
ARCHITECTURES = ("FPN", "Linknet", "PSPNet", "Unet")
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # two-sided 95 %, by number of differences
REFERENCE = {"batch": 4, "epochs": 10, "samples": 128}
WAYS: dict[str, dict[str, Any]] = {
    "reference": {},
    **{f"{name}: {value}": {name: value} for name, value in FAST.items() if name != "precision"},
    "fast": FAST,
}


def main() -> None:
    """Train in every way with every seed; tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/modes"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    given = parser.parse_args()
    world = simulate_world(given.out / "world", EVENTS, SIZE, WORLD_SEED)
    cases = [path.stem for path in world.cases]
    split = {role: cases[part] for role, part in ROLES.items()}
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in given.ways}
    with prefect_test_harness(server_startup_timeout=120):
        for seed in range(given.seeds):
            for way in given.ways:
                f1, seconds = _run(given.out, world.experiment, split, way, seed)
                found[way].append((f1, seconds))
                print(f"seed {seed}, {way}: F1 {f1:.3f}, {seconds:.0f} s", flush=True)
    rows = {way: _row(results, found[given.ways[0]]) for way, results in found.items()}
    print("| way | F1 | difference | seconds a member |\n|---|---|---|---|")
    for way, row in rows.items():
        print(f"| {way} | {row['f1']:.3f} | {row['difference']:+.3f} ± {row['interval']:.3f} | {row['seconds']:.0f} |")
    print(json.dumps({"trial": "modes", "seeds": given.seeds, "ways": rows}))


def _run(out: Path, world: Path, split: dict[str, list[str]], way: str, seed: int) -> tuple[float, float]:
    """The ensemble's F1 over the test cases, and the mean of its members' seconds."""
    given = yaml.safe_load(world.read_text())
    name = f"{list(WAYS).index(way)}-{seed}"
    given |= {
        "id": f"modes-{name}", "split": split, "seed": seed, "architectures": list(ARCHITECTURES), "losses": ["dice"],
        "cases": [str((world.parent / path).resolve()) for path in given["cases"]], **REFERENCE, **WAYS[way],
    }  # fmt: skip
    path = out / f"{name}.yaml"
    path.write_text(yaml.safe_dump(given))
    results = train_ensemble(path, out / "store")
    settings, _ = load_experiment(path)
    metrics = json.loads((results["all"] / "metrics.json").read_text())
    return metrics["pooled"]["f1"], statistics.mean(_seconds(settings, out / "store"))


def _seconds(settings: Experiment, store: Path) -> list[float]:
    """What the members of an experiment took to train."""
    schedule = Schedule.model_validate(settings.model_dump(include=set(Schedule.model_fields))).model_dump(mode="json")
    found = []
    for folder in store.glob("train/[!.]*"):
        member = Member.model_validate_json((folder / FILE).read_text())
        trained_by = json.loads((folder / MANIFEST).read_text())["parameters"]["schedule"]
        if member.spec.seed == settings.seed and trained_by == schedule:
            found.append(member.seconds)
    return found


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
