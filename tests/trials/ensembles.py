"""Whether the other selectors are better than the published one: fitted on validation events, scored on test events.

A simulated world of twelve events: six to train, three to validate, three to test. Twenty-one members of the quick
preset, then every selector against the published one, the best twenty at 0.5. Exit status 1 if the selector with the
best held-out validation F1 has a lower pooled test F1 than the published one, or an ECE above 0.05. The last line is a
JSON object.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import yaml

from landslide.ensembles.select import PAPER
from landslide.evaluation.results import EvaluationReport
from landslide.experiment import load_experiment
from landslide.models.architectures import ARCHITECTURES
from landslide.models.losses import LOSSES
from landslide.simulation.world import simulate_world

EVENTS, SIZE, SEED, VALIDATION, TEST = 12, 256, 11, 3, 3
MOST_ECE = 0.05
GRID = {
    "architectures": [name for name in ARCHITECTURES if name not in ("PAN", "MAnet")],  # large crops; large weights
    "losses": list(LOSSES)[:3], "ensemble_size": 20,
}  # fmt: skip


def main() -> int:
    """Train, choose, score; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/ensembles"))
    parser.add_argument("--selection", default="auto", help="the selector that is delivered")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the experiment, as YAML")
    given = parser.parse_args()
    world, store = simulate_world(given.out / "world", EVENTS, SIZE, SEED), given.out / "store"
    names = [path.stem for path in world.cases]
    first, last = EVENTS - VALIDATION - TEST, EVENTS - TEST
    path = world.experiment.with_name("ensembles.yaml")
    stated = yaml.safe_load(world.experiment.read_text()) | GRID | {"id": "ensembles", "selection": given.selection}
    stated["split"] = {"train": names[:first], "validation": names[first:last], "test": names[last:]}
    stated |= {key: yaml.safe_load(value) for key, value in (one.split("=", 1) for one in given.set)}
    path.write_text(yaml.safe_dump(stated))
    settings, _ = load_experiment(path)
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
    subprocess.run(command, check=True)
    found = {"trial": "ensembles", "wall_seconds": round(time.monotonic() - started)}
    for band_set in settings.band_sets:
        report = EvaluationReport.read(store / "results" / settings.id / band_set)
        found[band_set] = {"members": len(report.members), **table(report)}
    print(json.dumps(found))
    return int(any(not one["holds"] for one in found.values() if isinstance(one, dict)))


def table(report: EvaluationReport) -> dict:
    """Print the row of every selector; what must hold."""
    print(
        f"{'selector':<12}{'members':>8}{'held out':>9}{'F1':>7}{'95 %':>16}{'gain':>8}{'95 %':>18}{'won':>6}{'ECE':>7}"
    )
    for row in sorted(report.selectors, key=lambda row: -row.pooled.f1):
        held_out = "" if row.held_out_f1 is None else f"{row.held_out_f1:.3f}"
        print(
            f"{row.selector:<12}{row.members:>8}{held_out:>9}{row.pooled.f1:>7.3f}{span(row.interval):>16}"
            f"{row.gain:>+8.3f}{span(row.gain_interval):>18}{row.events_won:>4}/{row.events}{row.ece:>7.3f}"
        )
    best = max((row for row in report.selectors if row.selector != PAPER), key=lambda row: row.held_out_f1 or 0)
    holds = best.gain >= 0 and best.ece <= MOST_ECE
    cover = report.slices.get("cover", {})
    alarms = {name: round(1e4 * one.fp / max(one.fp + one.tn, 1)) for name, one in cover.items()}
    kept = {"selector", "members", "gain", "gain_interval", "events_won", "events", "ece"}
    return {"best_by_validation": best.model_dump(include=kept), "false_alarm_m2_per_ha": alarms, "holds": holds}


def span(interval: tuple[float, float] | None) -> str:
    """An interval in brackets."""
    return "" if interval is None else f"[{interval[0]:+.3f}, {interval[1]:+.3f}]"


if __name__ == "__main__":
    sys.exit(main())
