"""The evaluation of stored predictions: all sizes, selectors, thresholds and scores; time and memory.

Made-up predictions of correlated members (by default 5 scenes of 2,000 × 2,000 pixels and 90 members, 3.6 GB in a
temporary folder, in the page cache) are scored in a process of its own. The curve is compared with the straightforward
computation on one smaller scene: for every k the first k members' float32 arrays stacked, their mean, and F1 by
scikit-learn; and the same with F1 from numpy's counts. All three F1s must be equal to the last digit. The last line is
a JSON object; the exit status is 1 where a bound is missed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MAX_SECONDS, MAX_GIB, MIN_RATIO = 60.0, 4.0, 40.0
COMPARED_SIDE = 500  # side of the smaller scene, in pixels
THRESHOLD = 0.5
POOL = 2**22  # random numbers that are drawn once and shifted for each member


def write(folder: Path, scenes: int, side: int, members: int, seed: int = 0) -> None:
    """Scenes of which 1–3 % are landslides; a member's logit is the truth's, all members' error, and its own."""
    from landslide.ensembles.predictions import TRUTH, Truth, TruthPart

    random = np.random.default_rng(seed)
    own = random.standard_normal(POOL, dtype="float32")
    skill = random.permutation(np.linspace(0.6, 2.4, members))  # standard deviation of the own error, in logits
    for scene in range(scenes):
        case = folder / f"scene{scene}"
        truth = blobs(random, side, random.uniform(0.01, 0.03)).ravel()
        positives = int(truth.sum())
        order = np.concatenate([np.flatnonzero(truth), np.flatnonzero(~truth)]).astype("uint32")
        logit = random.standard_normal(truth.size, dtype="float32") * 1.5 - np.float32(5)
        logit[:positives] += 6
        (case / "truth").mkdir(parents=True)
        np.save(case / "truth" / "part.pixels.npy", order)
        part = TruthPart(name="part", height=side, width=side, pixels=truth.size, positives=positives)
        described = Truth(case=case.name, bands=("slope",), parts=[part])
        (case / "truth" / TRUTH).write_text(described.model_dump_json())
        for member in range(members):
            (case / str(member)).mkdir()
            noise = np.resize(np.roll(own, int(random.integers(POOL))), truth.size)
            values = 1 / (1 + np.exp(-(logit + np.float32(skill[member]) * noise)))
            np.save(case / str(member) / "part.npy", values.astype("float16"))


def blobs(random: np.random.Generator, side: int, share: float) -> np.ndarray:
    """(y, x) squares that cover about a share of the scene."""
    truth, width = np.zeros((side, side), bool), max(side // 80, 2)
    while truth.mean() < share:
        for row, column in random.integers(0, side - width, (8, 2)):
            truth[row : row + width, column : column + width] = True
    return truth


def library(folder: Path, scenes: int, members: int) -> Any:
    """What `write` wrote."""
    from landslide.ensembles.predictions import Library

    cases = [f"scene{number}" for number in range(scenes)]
    return Library.open(
        [f"member{number:02d}" for number in range(members)],
        {case: folder / case / "truth" for case in cases},
        {case: [folder / case / str(member) for member in range(members)] for case in cases},
    )


def evaluate_here(folder: Path, scenes: int, members: int) -> dict[str, Any]:
    """All that an evaluation does with stored predictions, in this process: seconds of each part, and peak memory."""
    from landslide.ensembles.selectors import Options, select_all
    from landslide.evaluation.size_curve import all_sizes
    from landslide.metrics import pixel

    found, imported = library(folder, scenes, members), peak()
    sizes, curve = timed(lambda: all_sizes(found, THRESHOLD))
    curve_peak = peak()
    (weights, rows), selection = timed(lambda: select_all(found, Options(threshold=THRESHOLD)))
    table, scoring = timed(lambda: scored(found, weights, rows))
    f1 = pixel.f1(np.sum(list(sizes.curve.values()), 0).astype("float64"))
    parts = {"curve": curve, "selection": selection, "scores": scoring}
    return {
        "seconds": round(sum(parts.values()), 1),
        **{f"{name}_seconds": round(seconds, 2) for name, seconds in parts.items()},
        "imported_gib": imported,
        "curve_peak_gib": curve_peak,
        "peak_gib": peak(),
        "curve_f1": [round(float(value), 4) for value in (f1[0], f1.max(), f1[-1])],  # one, best, all
        "selectors": [row.model_dump() | one for row, one in zip(rows, table, strict=True)],
    }


def scored(found: Any, weights: dict[str, Any], rows: list[Any]) -> list[dict[str, Any]]:
    """Of every selector: average precision, F1 at 0.5 and at the best threshold, calibration error.

    Two passes over the predictions, each for all selectors at once.
    """
    from landslide.ensembles.combine import histograms
    from landslide.metrics import ranking, reliability

    stacked, scales = np.stack(list(weights.values())), [row.scale for row in rows]
    ranked = np.sum(list(histograms(found, stacked, scales).values()), 0)
    by_logit = histograms(found, stacked, scales, reliability.bin_of, reliability.BINS)
    table = []
    for pixels, logits in zip(ranked, np.sum(list(by_logit.values()), 0), strict=True):
        cut = ranking.best_f(pixels)
        fp, tp = ranking.mapped_above(pixels)[:, int(THRESHOLD * ranking.BINS)]
        table.append({
            "average_precision": float(ranking.average_precision(pixels)),
            "f1": float(2 * tp / (tp + fp + pixels[1].sum())),
            "threshold": cut and cut.threshold,
            "f1_there": cut and cut.counts.f1,
            "ece": reliability.reliability(logits).ece,
        })  # fmt: skip
    return table


def compare(folder: Path, side: int, members: int, rounds: int) -> dict[str, Any]:
    """The curve alone by each method, from the same stored predictions of one scene, in turns; median seconds.

    The other methods start with the members' float32 arrays in memory, `all_sizes` with its files.
    """
    from sklearn.metrics import f1_score

    from landslide.evaluation.size_curve import all_sizes
    from landslide.metrics import pixel

    write(folder, 1, side, members, seed=1)
    found = library(folder, 1, members)
    (block,) = found.blocks("scene0", side**2)
    probabilities, truth = list(block.probabilities.astype("float32")), block.truth

    def mapped(k: int) -> np.ndarray:
        return np.mean(np.stack(probabilities[:k]), axis=0) > THRESHOLD

    def by_counts(k: int) -> float:
        above = mapped(k)
        tp, fp, fn = (above & truth).sum(), (above & ~truth).sum(), (~above & truth).sum()
        return float(2 * tp / (2 * tp + fp + fn))

    sizes = range(1, members + 1)
    methods: dict[str, Callable[[], list[float]]] = {
        "all_sizes": lambda: pixel.f1(all_sizes(found, THRESHOLD).curve["scene0"].astype("float64")).tolist(),
        "scikit_learn": lambda: [float(f1_score(truth, mapped(k))) for k in sizes],
        "counts": lambda: [by_counts(k) for k in sizes],
    }
    f1 = {name: method() for name, method in methods.items()}
    taken: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, method in methods.items():
            taken[name].append(timed(method)[1])
    ratios = {name: np.median(np.divide(taken[name], taken["all_sizes"])) for name in ("scikit_learn", "counts")}
    return {
        "side": side,
        "members": members,
        **{f"{name}_seconds": round(float(np.median(seconds)), 4) for name, seconds in taken.items()},
        **{f"ratio_{name}": round(float(ratio), 1) for name, ratio in ratios.items()},
        "equal": f1["all_sizes"] == f1["scikit_learn"] == f1["counts"],
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result of some work, and the seconds that it took."""
    started = time.monotonic()
    return work(), time.monotonic() - started


def peak() -> float:
    """Greatest resident set of this process so far, in GiB; `getrusage` would give the parent's if that is more."""
    status = Path("/proc/self/status").read_text()
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return round(int(kib) / 2**20, 2)


def measure(scenes: int, side: int, members: int, rounds: int) -> dict[str, Any]:
    """Both parts; the evaluation in a process of its own."""
    size = 2 * scenes * side**2 * members
    with tempfile.TemporaryDirectory(prefix="bench-evaluation-") as temporary:
        if shutil.disk_usage(temporary).free < 1.2 * size:
            sys.exit(f"{temporary} has no room for {size / 1e9:.1f} GB. Set TMPDIR, or give less --scenes or --members")
        whole = Path(temporary) / "whole"
        compared = compare(Path(temporary) / "small", min(side, COMPARED_SIDE), members, rounds)
        print("compared", compared, flush=True)
        _, written = timed(lambda: write(whole, scenes, side, members))
        print(f"{size / 1e9:.1f} GB written in {written:.0f} s", flush=True)
        load = os.getloadavg()
        command = [sys.executable, "-m", "tests.benchmarks.evaluation", "--here", str(whole)]
        command += ["--scenes", str(scenes), "--members", str(members)]
        child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {
        "benchmark": "evaluation", "scenes": scenes, "side": side, "members": members, "gb": round(size / 1e9, 2),
        "load": round(load[0], 1), "compared": compared, **json.loads(child.stdout.splitlines()[-1]),
    }  # fmt: skip


def main() -> int:
    """Measure; 1 where a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=5)
    parser.add_argument("--side", type=int, default=2000, help="of a scene, in pixels")
    parser.add_argument("--members", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=3, help="of the comparison")
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)  # the child's: predictions that are written
    options = parser.parse_args()
    if options.here:
        print(json.dumps(evaluate_here(options.here, options.scenes, options.members)))
        return 0
    found = measure(options.scenes, options.side, options.members, options.rounds)
    missed = {
        "seconds": found["seconds"] > MAX_SECONDS,
        "peak_gib": found["peak_gib"] > MAX_GIB,
        "ratio": found["compared"]["ratio_scikit_learn"] < MIN_RATIO,
        "equal": not found["compared"]["equal"],
        "selectors": len(found["selectors"]) < 4,
    }
    found["missed"] = [name for name, is_missed in missed.items() if is_missed]
    print(json.dumps(found))
    return int(bool(found["missed"]))


if __name__ == "__main__":
    raise SystemExit(main())
