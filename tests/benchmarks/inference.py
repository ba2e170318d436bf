"""Inference of a scene, ours beside a plain pass; and what the window does to F1.

The plain pass is the published one: the network on the whole padded scene at once, float32. Ours is `probability_rows`
with its windows, in float32 and, where the probe says that this processor is faster in it, in bfloat16. Both have the
scene in memory and run in turns in one process; networks are untrained. Beside the speed it is told how far apart the
probabilities are: in bfloat16, and where windows see less than the whole. The last line is a JSON object; where
bfloat16 is faster, the exit status is 1 below the ratio that is asked.

With `--ensemble DIR --stack DIR` nothing is timed: F1 on a labelled case, by window, of the best member of each
architecture.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from landslide.datasets.normalisation import observed
from landslide.datasets.stack import IGNORE, Stack
from landslide.ensembles.ensemble import Ensemble, EnsembleMember
from landslide.metrics.ranking import best_f, histogram, mapped_above
from landslide.models.architectures import ARCHITECTURES, STRIDE, build
from landslide.models.inference import OVERLAP, WINDOW, Precision, padding, probability_rows, side, starts
from landslide.training.devices import choose_device
from landslide.training.tuning.precision import Probe, run_probe

ENCODER, BANDS, SIDE = "resnet34", 15, 2000
ASKED = 2.0  # ratio, the median over architectures
SETTLING = 4  # batches from which batch norms learn their statistics
PROBED = 256  # side of the probe's crop
WINDOWS = (128, 256, 512)
WHOLE = "whole"


def scene(side: int, seed: int = 0) -> NDArray[np.float32]:
    """(band, y, x) z-scores: texture of 80 m and noise."""
    random, coarse = np.random.default_rng(seed), -(-side // 8)
    texture = random.standard_normal((BANDS, coarse, coarse), "float32").repeat(8, axis=1).repeat(8, axis=2)
    values = texture[:, :side, :side] + np.float32(0.3) * random.standard_normal((BANDS, side, side), "float32")
    return np.ascontiguousarray(values)


def settled(architecture: str, device: str) -> nn.Module:
    """An untrained network whose batch norms know the scene's statistics, in evaluation mode."""
    torch.manual_seed(0)
    network = build(architecture, ENCODER, BANDS).train()
    with torch.no_grad():
        for seed in range(SETTLING):
            network(torch.from_numpy(scene(128, seed)[None]).repeat(2, 1, 1, 1))
    return network.to(device).eval()


def plain(network: nn.Module, values: NDArray[np.float32], device: str) -> NDArray[np.float32]:
    """(y, x) probabilities: the whole scene at once, float32."""
    height, width = values.shape[1:]
    batch = torch.nn.functional.pad(torch.from_numpy(values)[None], (0, padding(width), 0, padding(height)))
    with torch.inference_mode():
        found: NDArray[np.float32] = torch.sigmoid(network(batch.to(device)))[0, 0, :height, :width].cpu().numpy()
    return found


def ours(
    network: nn.Module, values: NDArray[np.float32], window: int, overlap: int, kind: Precision
) -> NDArray[np.float32]:
    """(y, x) probabilities by windows."""
    rows = probability_rows(network, lambda roi: values[:, *roi], values.shape[1:], window, overlap, kind)
    return np.concatenate([block for _, block in rows])


def apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> dict[str, float]:
    """How far two maps of probability are apart: at most, on average, and the share of pixels mapped differently."""
    distance = np.abs(one - other)
    differently = ((one > 0.5) != (other > 0.5)).mean()
    return {
        "max": float(f"{distance.max():.2g}"),
        "mean": float(f"{distance.mean():.2g}"),
        "mapped_differently": float(f"{differently:.2g}"),
    }


def faster(architecture: str, device: str) -> Precision:
    """The arithmetic that a probe of the architecture chooses."""
    probe = Probe(architecture=architecture, encoder=ENCODER, channels=BANDS, crop=PROBED, batch=2, device=device)
    return "bf16" if run_probe(probe).choice == "bf16" else "fp32"


def measure(architecture: str, values: NDArray[np.float32], options: argparse.Namespace) -> dict[str, Any]:
    """Mpx/s of each way, its ratio to the plain pass as the median of rounds in turn, and how far apart they are."""
    network, device = settled(architecture, options.device), options.device
    chosen: Precision = faster(architecture, device) if options.precision == "auto" else options.precision
    kinds: list[Precision] = ["fp32", "bf16"] if chosen == "bf16" else ["fp32"]
    megapixels = values[0].size / 1e6
    taken: dict[str, list[float]] = {name: [] for name in ("plain", *kinds)}
    maps = {}
    for _ in range(options.rounds):
        for name, seconds in taken.items():
            started = time.perf_counter()
            if name == "plain":
                maps[name] = plain(network, values, device)
            else:
                maps[name] = ours(network, values, options.window, options.overlap, name)  # type: ignore[arg-type]
            seconds.append(time.perf_counter() - started)
    ratios = {kind: float(np.median(np.divide(taken["plain"], taken[kind]))) for kind in kinds}
    return {
        "in": chosen,
        "mpx_per_second": {name: round(megapixels / statistics.median(each), 3) for name, each in taken.items()},
        "ratios": {kind: round(ratio, 2) for kind, ratio in ratios.items()},
        "ratio": round(ratios[chosen], 2),
        "from_plain": apart(maps["fp32"], maps["plain"]),
        **({"from_fp32": apart(maps["bf16"], maps["fp32"])} if chosen == "bf16" else {}),
    }


def computed(length: int, window: int, overlap: int) -> float:
    """Pixels that go through the network for one of the scene."""
    return float((len(starts(length, window, overlap)) * side(length, window, overlap) / length) ** 2)


def speed(options: argparse.Namespace) -> int:
    """Measure every architecture; 1 where bfloat16 is faster and the ratio below what is asked."""
    values, rows = scene(options.side), {}
    for architecture in options.architectures:
        rows[architecture] = measure(architecture, values, options)
        print(f"{architecture:14}", rows[architecture], flush=True)
    found = {
        "benchmark": "inference", "encoder": ENCODER, "bands": BANDS, "side": options.side, "window": options.window,
        "overlap": options.overlap, "computed": round(computed(options.side, options.window, options.overlap), 2),
        "device": options.device, "threads": torch.get_num_threads(), "load": round(os.getloadavg()[0], 1),
        "architectures": rows, "median_ratio": statistics.median(row["ratio"] for row in rows.values()),
        "asked": ASKED if any(row["in"] == "bf16" for row in rows.values()) else None,
    }  # fmt: skip
    print(json.dumps(found))
    return int(found["asked"] is not None and found["median_ratio"] < ASKED)


def best_members(ensemble: Ensemble) -> dict[str, EnsembleMember]:
    """The best member of each architecture by validation F1."""
    best: dict[str, EnsembleMember] = {}
    for voter in sorted(ensemble.info.members, key=lambda voter: -voter.validation_f1):
        best.setdefault(voter.spec.architecture, voter)
    return best


def counted(
    ensemble: Ensemble, network: nn.Module, stack: Stack, window: int | None, overlap: int, kind: Precision
) -> NDArray[np.int64]:
    """Histogram (2, bin) of probability by truth over the case's scenes; without a window each scene is one pass."""
    histograms = []
    for part in stack.info.parts:
        label, largest = stack.label(part.name), window or max(part.height, part.width)
        if label is None:
            raise SystemExit(f"{stack.folder} has no label. Give a case with an inventory")
        with stack.reader(part.name) as reader:
            values = reader.read(ensemble.info.bands, (slice(0, part.height), slice(0, part.width)))
        scores, valid = ensemble.info.normalisation.apply(values), observed(values) & (label != IGNORE)
        probability = ours(network, scores, largest, min(overlap, largest // 4), kind)
        histograms.append(histogram(probability, label == 1, valid))
    return np.asarray(np.sum(histograms, axis=0))


def scored(pixels: NDArray[np.int64]) -> dict[str, float | None]:
    """F1 at 0.5, and at the threshold that is best for this case, from a histogram (2, bin)."""
    fp, tp = mapped_above(pixels)[:, pixels.shape[1] // 2]
    cut, wrong = best_f(pixels), fp + pixels[1].sum() - tp
    best = None if cut is None else cut.counts.f1
    return {"f1": round(2 * tp / (2 * tp + wrong), 4) if tp + wrong else None, "best_f1": best and round(best, 4)}


def window_effect(options: argparse.Namespace) -> int:
    """F1 of each architecture's best member by window, overlapping as stated, or by a quarter of a smaller one."""
    ensemble, stack = Ensemble.open(options.ensemble), Stack.open(options.stack)
    ensemble.check_bands(stack)
    kind: Precision = "bf16" if options.precision == "bf16" else "fp32"
    windows: dict[str, int | None] = {**{str(window): window for window in WINDOWS}, WHOLE: None}
    rows = {}
    for architecture, voter in best_members(ensemble).items():
        network = ensemble.load(voter, options.device)
        row = {
            name: scored(counted(ensemble, network, stack, window, options.overlap, kind))
            for name, window in windows.items()
        }
        rows[architecture] = {"member": voter.spec.name, **row}
        cells = "  ".join(f"{name} {each['f1']} ({each['best_f1']})" for name, each in row.items())
        print(f"{architecture:14} F1 at 0.5 (at best) by window: {cells}", flush=True)
    case, crop = stack.info.case.id, ensemble.info.crop
    found = {
        "benchmark": "window_effect", "case": case, "crop": crop, "in": kind, "overlap": options.overlap,
        "architectures": rows,
    }  # fmt: skip
    print(json.dumps(found))
    return 0


def main() -> int:
    """Measure speed, or the window's effect."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=SIDE, help="of the scene, in pixels")
    parser.add_argument("--window", type=int, default=WINDOW)
    parser.add_argument("--overlap", type=int, default=OVERLAP)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--architectures", nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--ensemble", type=Path, help="its folder: F1 by window instead of speed")
    parser.add_argument("--stack", type=Path, help="a prepared, labelled case, for --ensemble")
    options = parser.parse_args()
    if (options.ensemble is None) != (options.stack is None):
        parser.error("--ensemble and --stack go together")
    if options.overlap > options.window // 2 or options.window % STRIDE:
        parser.error(f"a window is a multiple of {STRIDE} and overlaps by half of it at most")
    options.device = choose_device(options.device)
    return speed(options) if options.ensemble is None else window_effect(options)


if __name__ == "__main__":
    raise SystemExit(main())
