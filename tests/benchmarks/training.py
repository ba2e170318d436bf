"""One member's training, ours beside a plain loop, on this machine's processor.

The plain loop is what a careful person writes first, and what the published code does: a torch Dataset over scenes in
memory that turns the whole scene into a tensor and crops it, a DataLoader, float32, torch's default Adam, metrics at
every step. Ours is the member's own `Step` and `BatchLoader`. Both train the same network on the same scenes, batches
of four crops of 256 pixels, in turns in one process with one thread. The last line is a JSON object.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset
from torchvision import transforms

from landslide.bands import BAND_SETS
from landslide.datasets.sampler import Sampler
from landslide.datasets.training_store import Tiles, tile
from landslide.models.architectures import ARCHITECTURES, build
from landslide.models.losses import LOSSES
from landslide.training.loader import BatchLoader
from landslide.training.step import Step, adam
from landslide.training.tuning.precision import Probe, run_probe
from tests.helpers.stacks import toy_stack

BANDS, BATCH, CROP, SIDE, SCENES = BAND_SETS["all"], 4, 256, 1050, 4
ASKED, ASKED_OF_LOADING = 3.0, 50.0  # ratios
Ways = dict[str, Callable[[], object]]
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


class Scenes(IterableDataset):
    """Crops around a landslide pixel, cut from whole scenes held in memory as (y, x, band) with the label beside."""

    def __init__(self, tiles: Tiles) -> None:
        self.folder = tiles.folder
        self.random = np.random.default_rng(1)
        quarter = transforms.RandomApply([transforms.RandomRotation((90, 90))])
        self.turns = transforms.Compose([
            transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip(), quarter,
        ])  # fmt: skip
        self.as_tensor = transforms.ToTensor()

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        group = Tiles(self.folder).split("train")
        pictures = [group.image(group.values, i).copy() for i in range(len(group.parts))]
        labels = [group.image(group.label, i) == 1 for i in range(len(group.parts))]
        while True:
            index = int(self.random.integers(len(pictures)))
            whole = np.concatenate([pictures[index], labels[index][..., None]], axis=2, dtype="float32")
            rows, columns = np.where(whole[..., -1] == 1)
            chosen = int(self.random.integers(len(rows)))
            top, left = (min(max(int(c) - CROP // 2, 0), SIDE - CROP) for c in (rows[chosen], columns[chosen]))
            crop = self.turns(self.as_tensor(whole)[:, top : top + CROP, left : left + CROP])
            yield torch.nan_to_num(crop[:-1]), crop[-1:]


def plain(architecture: str, batches: Batches, device: str = "cpu") -> Callable[[], object]:
    """A step of the plain loop."""
    import segmentation_models_pytorch as smp
    from torchmetrics.classification import BinaryAccuracy, BinaryF1Score

    network = build(architecture, "resnet34", len(BANDS)).to(device).train()
    loss, optimiser = smp.losses.DiceLoss("binary"), torch.optim.Adam(network.parameters())
    metrics = BinaryF1Score().to(device), BinaryAccuracy().to(device)

    def step() -> None:
        values, target = (part.to(device, non_blocking=True) for part in next(batches))
        logits = network(values)
        result = loss(logits, target)
        optimiser.zero_grad()
        result.backward()
        optimiser.step()
        result.item()
        for metric in metrics:
            metric(logits.detach().sigmoid(), target.int())

    return step


def ours(architecture: str, tiles: Tiles, precision: str) -> Callable[[], object]:
    """A step of a member."""
    network = build(architecture, "resnet34", len(BANDS)).to(memory_format=torch.channels_last).train()
    optimiser = adam(network, 1e-3, "cpu")
    loader = BatchLoader(tiles, BANDS, CROP, "cpu")
    step = Step(network, loader, LOSSES["dice"], optimiser, "cpu", precision)
    draws = iter(torch.from_numpy(Sampler(tiles.split("train"), CROP).draw(10_000, (1,))).split(BATCH))
    return lambda: step(next(draws))


def loaders(tiles: Tiles) -> Ways:
    """Batches alone."""
    batches = iter(DataLoader(Scenes(tiles), batch_size=BATCH))
    loader, sampler = BatchLoader(tiles, BANDS, CROP, "cpu"), Sampler(tiles.split("train"), CROP)
    seeds = iter(range(10_000))
    return {
        "plain": lambda: next(batches),
        "ours": lambda: loader(torch.from_numpy(sampler.draw(BATCH, (next(seeds),)))),
    }


def made(folder: Path, scenes: int = SCENES) -> Tiles:
    """Tiles of toy scenes, the size of the published ones."""
    train = [toy_stack(folder / f"s{i}", f"s{i}", SIDE, i, BANDS) for i in range(scenes)]
    validation = [toy_stack(folder / "v", "v", 128, 9, BANDS)]
    (folder / "tiles").mkdir()
    tile(BANDS, {"train": train, "validation": validation}, folder / "tiles")
    return Tiles(folder / "tiles")


def in_turns(ways: Ways, rounds: int, steps: dict[str, int]) -> dict[str, float]:
    """Samples a second of each way, the median of rounds in turn, after one step that is not timed."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for step in ways.values():
        step()
    for _ in range(rounds):
        for name, step in ways.items():
            started = time.perf_counter()
            for _ in range(steps[name]):
                step()
            taken[name].append((time.perf_counter() - started) / steps[name])
    return {name: BATCH / statistics.median(each) for name, each in taken.items()}


def measure(tiles: Tiles, architectures: list[str], rounds: int) -> dict[str, Any]:
    """The loaders, then each architecture."""
    loading = in_turns(loaders(tiles), 5, {"plain": 2, "ours": 40})
    print("loading", loading, flush=True)
    rows = {}
    for architecture in architectures:
        probe = Probe(
            architecture=architecture, encoder="resnet34", channels=len(BANDS), crop=CROP, batch=BATCH, device="cpu"
        )
        precision = run_probe(probe).choice
        batches = iter(DataLoader(Scenes(tiles), batch_size=BATCH))
        ways = {"plain": plain(architecture, batches), "ours": ours(architecture, tiles, precision)}
        found = in_turns(ways, rounds, {"plain": 1, "ours": 1})
        ratio = found["ours"] / found["plain"]
        rows[architecture] = {**{k: round(v, 3) for k, v in found.items()}, "ratio": round(ratio, 2), "in": precision}
        print(f"{architecture:14}", rows[architecture], flush=True)
    return {
        "benchmark": "training",
        "samples_per_second": rows,
        "median_ratio": statistics.median(row["ratio"] for row in rows.values()),
        "loading": {**{k: round(v, 1) for k, v in loading.items()}, "ratio": round(loading["ours"] / loading["plain"])},
    }


def main() -> int:
    """Measure; 1 where a ratio is below what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--architectures", nargs="+", default=list(ARCHITECTURES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(made(Path(temporary)), arguments.architectures, arguments.rounds)
    print(json.dumps(found))
    return 0 if found["median_ratio"] >= ASKED and found["loading"]["ratio"] >= ASKED_OF_LOADING else 1


if __name__ == "__main__":
    raise SystemExit(main())
