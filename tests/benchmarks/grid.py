"""The grid around the members: what it adds to their own training, what a second run costs, what memory they share.

Three measurements on small networks, on a Prefect server of its own: members of about a minute each, the grid's wall
time over their own seconds on every place; 90 members trained once and then asked for again; eight members at a time on
one store of tiles. The last line is a JSON object.
"""

import argparse
import json
import math
import re
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prefect.testing.utilities import prefect_test_harness

from flows.training.grid import train_grid
from flows.training.train_ensemble import train_ensemble
from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.bands import BAND_SETS
from landslide.datasets.training_store import tile
from landslide.experiment import load_experiment
from landslide.models.architectures import ARCHITECTURES
from landslide.models.member import MemberSpec
from landslide.training.records import MEMBER_FILE, Member, Schedule
from landslide.training.workers.pool import Job, WorkerPool
from landslide.training.workers.slots import cores
from tests.helpers.archives import toy_experiment
from tests.helpers.stacks import toy_stack

ASKED_OVERHEAD, ASKED_AGAIN = 1.05, 15.0  # a ratio, seconds
MEMBERS, SCENES, SIDE = 8, 20, 1050


def members(store: Path) -> list[Member]:
    """All finished members of a store."""
    return [Member.model_validate_json(path.read_text()) for path in store.glob(f"train/[!.]*/{MEMBER_FILE}")]


def overhead(folder: Path, seconds: float) -> dict[str, float]:
    """Wall time of the grid alone over the members' own time in all slots; tiles and processes' start included."""
    grid = {"architectures": ["Linknet"], "losses": ["dice", "bce"], "samples_per_epoch": 64}
    rates = [1e-3 / 2**i for i in range(2 * cores())]
    train_ensemble(toy_experiment(folder, **grid, epochs=3), folder / "store")
    epoch = max(one.epochs[-1].seconds for one in members(folder / "store"))
    epochs = math.ceil(seconds / epoch)
    long = {"epochs": epochs, "min_epochs": epochs, "patience": epochs, "learning_rates": rates}
    settings, _ = load_experiment(toy_experiment(folder, **grid, **long))
    (tiles,) = (folder / "store" / "tile").glob("[!.]*")
    started = time.monotonic()
    train_grid(settings, Artifact(stage="tile", key=tiles.name), ArtifactStore(folder / "store"))
    wall = time.monotonic() - started
    own = [one.seconds for one in members(folder / "store") if len(one.epochs) == epochs]
    ratio = wall / (sum(own) / cores())
    return {"members": len(own), "seconds_each": round(sum(own) / len(own), 1), "ratio": round(ratio, 3)}


def again(folder: Path) -> dict[str, float]:
    """A run of 90 members that are all there: the grid alone, and with everything around it."""
    path = toy_experiment(
        folder, architectures=list(ARCHITECTURES), losses=["bce", "dice", "jaccard", "lovasz", "focal"],
        learning_rates=[1e-3, 1e-2], encoder="resnet18", crop=128, samples_per_epoch=2, batch=2, epochs=1,
        ensemble_size=20,
    )  # fmt: skip
    took = []
    for _ in range(2):
        started = time.monotonic()
        train_ensemble(path, folder / "store")
        took.append(time.monotonic() - started)
    settings, _ = load_experiment(path)
    (tiles,) = (folder / "store" / "tile").glob("[!.]*")
    started = time.monotonic()
    train_grid(settings, Artifact(stage="tile", key=tiles.name), ArtifactStore(folder / "store"))
    weights = sum(file.stat().st_size for file in folder.glob("store/train/*/weights.safetensors"))
    return {
        "members": len(members(folder / "store")),
        "first_seconds": round(took[0]),
        "again_seconds": round(took[1], 1),
        "grid_alone_seconds": round(time.monotonic() - started, 1),
        "weights_gb": round(weights / 1e9, 2),
    }


def memory(folder: Path) -> dict[str, float]:
    """GiB of eight members in training at once: the sum of what each maps, and what they really take together."""
    bands = BAND_SETS["all"]
    train = [toy_stack(folder / f"s{i}", f"s{i}", SIDE, i, bands) for i in range(SCENES)]
    (folder / "tiles").mkdir()
    tile(bands, {"train": train, "validation": [toy_stack(folder / "v", "v", 128, 99, bands)]}, folder / "tiles")
    store = sum(file.stat().st_size for file in (folder / "tiles").glob("train.*"))
    schedule = Schedule(
        epochs=1, min_epochs=1, patience=1, lr_patience=1, samples_per_epoch=200, crop=64, batch=2,
        background_fraction=0.0,
    )  # fmt: skip
    worker_pool, stop = WorkerPool(), threading.Event()
    most = {"resident": 0.0, "together": 0.0}
    watcher = threading.Thread(target=_watch, args=(stop, most))
    watcher.start()

    def train_one(number: int) -> None:
        out = folder / f"m{number}"
        out.mkdir()
        spec = MemberSpec(
            architecture="PSPNet", loss="dice", learning_rate=1e-3, bands=bands, encoder="resnet18", seed=number
        )
        worker_pool.run(
            Job(name=spec.name, spec=spec, schedule=schedule, tiles=folder / "tiles", device="cpu", folder=out)
        )

    with ThreadPoolExecutor(MEMBERS) as pool:
        list(pool.map(train_one, range(MEMBERS)))
    stop.set()
    watcher.join()
    worker_pool.close()
    return {"members": MEMBERS, "tiles_gib": round(store / 2**30, 2), **{k: round(v, 2) for k, v in most.items()}}


def _watch(stop: threading.Event, most: dict[str, float]) -> None:
    while not stop.wait(0.5):
        resident, shared = _sizes()
        most["resident"], most["together"] = max(most["resident"], resident), max(most["together"], shared)


def _sizes() -> tuple[float, float]:
    """GiB of this process's children: resident, and in proportion to how many share each page."""
    sums = [0.0, 0.0]
    for children in Path("/proc/self/task").glob("*/children"):
        for child in children.read_text().split():
            try:
                text = Path(f"/proc/{child}/smaps_rollup").read_text()
            except OSError:  # it has ended meanwhile
                continue
            for index, name in enumerate(("Rss", "Pss")):
                found = re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)
                sums[index] += int(found[1]) / 2**20 if found else 0.0
    return sums[0], sums[1]


def main() -> int:
    """Measure; 1 where something is above what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=70, help="of training a member, at least")
    seconds = parser.parse_args().seconds
    found: dict[str, Any] = {"benchmark": "grid"}
    with tempfile.TemporaryDirectory() as temporary, prefect_test_harness(server_startup_timeout=120):
        for name, measured in (
            ("overhead", lambda folder: overhead(folder, seconds)), ("again", again), ("memory", memory),
        ):  # fmt: skip
            (Path(temporary) / name).mkdir()
            found[name] = measured(Path(temporary) / name)
            print(name, found[name], flush=True)
    print(json.dumps(found))
    return int(found["overhead"]["ratio"] > ASKED_OVERHEAD or found["again"]["again_seconds"] > ASKED_AGAIN)


if __name__ == "__main__":
    raise SystemExit(main())
