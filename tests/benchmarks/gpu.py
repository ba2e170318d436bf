"""Members on a GPU: beside a plain loop, against what the card can do, and many at a time.

The plain loop is that of `tests.benchmarks.training` on the GPU, its scenes cut by as many worker processes as there
are cores. Ours is the member's own step, replayed as a graph. A card's ceilings are measured: a large product of
matrices in bfloat16, a large copy. A step's operations are counted by torch, its bytes as what every operation reads
and writes, which fused kernels and caches can undercut. The last line is a JSON object.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from landslide.datasets.sampler import Sampler
from landslide.datasets.training_store import Tiles
from landslide.models.architectures import ARCHITECTURES, build
from landslide.models.losses import LOSSES
from landslide.models.member import MemberSpec
from landslide.training.loader import BatchLoader
from landslide.training.records import Schedule
from landslide.training.step import Graphed, Step, adam
from landslide.training.tuning.gpu_sharing import MEMBER_COUNTS, rate
from landslide.training.workers.pool import Job, WorkerPool
from landslide.training.workers.slots import cores
from tests.benchmarks.training import BANDS, BATCH, CROP, Batches, Scenes, made, plain

GRID, EPOCHS, SAMPLES = 360, 100, 1000  # what the published table takes: members, epochs, crops an epoch
SCENES = 2
WARM, STEPS, ROUNDS = 10, 60, 3
KINDS = {  # a kernel's name holds one of these
    "convolution": ("conv", "gemm", "xmma", "cutlass", "wgrad", "dgrad", "fprop", "sm90", "sm80", "implicit"),
    "normalisation": ("batch_norm", "bn_", "batchnorm", "welford"),
    "optimiser": ("adam", "multi_tensor"),
    "copies and casts": ("copy", "cast", "cat", "nchwtonhwc", "nhwctonchw", "memcpy", "memset", "fill"),
    "sampling": ("index", "gather", "upsample", "pool"),
}


def ceilings() -> dict[str, float]:
    """TFLOP/s of a product in bfloat16, TB/s of a copy, bytes read and written."""
    side = 8192
    left, right = (torch.randn(side, side, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    source = torch.randn(2**30, device="cuda")
    target = torch.empty_like(source)
    product = seconds(lambda: torch.mm(left, right), 20)
    copy = seconds(lambda: target.copy_(source), 20)
    return {"tflops": 2 * side**3 / product / 1e12, "tbytes": 2 * source.nbytes / copy / 1e12}


def seconds(step: Callable[[], object], steps: int) -> float:
    """Of one step, the median of rounds."""
    for _ in range(WARM):
        step()
    taken = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
        taken.append((time.perf_counter() - started) / steps)
    return statistics.median(taken)


class Traffic(TorchDispatchMode):
    """Bytes that operations read and write; those that only look at memory in another way do neither."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            leaves = tree_leaves((args, kwargs or {}, result))
            self.bytes += sum(leaf.nbytes for leaf in leaves if isinstance(leaf, torch.Tensor))
        return result


def step_of(architecture: str, tiles: Tiles, kind: str) -> tuple[Step, torch.Tensor]:
    """A member's step, and draws for it."""
    network = build(architecture, "resnet34", len(BANDS)).cuda().to(memory_format=torch.channels_last).train()
    optimiser = adam(network, 1e-4, "cuda")
    draws = torch.from_numpy(Sampler(tiles.split("train"), CROP).draw(BATCH, (1,))).cuda()
    return Step(network, BatchLoader(tiles, BANDS, CROP, "cuda"), LOSSES["dice"], optimiser, "cuda", kind), draws


def work(architecture: str, tiles: Tiles, kind: str) -> dict[str, float]:
    """GFLOP and GB of a step, the batch given."""
    step, draws = step_of(architecture, tiles, kind)
    batch = step.loader(draws)
    step.loader = lambda _: batch  # type: ignore[assignment]
    step(draws)
    with FlopCounterMode(display=False) as flops, Traffic() as traffic:
        step(draws)
    return {"gflop": flops.get_total_flops() / 1e9, "gbytes": traffic.bytes / 1e9}


def ours(architecture: str, tiles: Tiles, kind: str, graphed: bool = True) -> dict[str, float]:
    """Samples a second of one member's steps, and the GPU's memory that they take."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    step, draws = step_of(architecture, tiles, kind)
    call = Graphed(step) if graphed else step
    taken = seconds(lambda: call(draws), STEPS)
    return {"samples": BATCH / taken, "gib": torch.cuda.max_memory_reserved() / 2**30}


def beside(architecture: str, batches: Batches, waiting: int) -> float:
    """Samples a second of the plain loop, once the batches that lay ready are used up."""
    step = plain(architecture, batches, "cuda")
    for _ in range(waiting):
        step()
    started = time.perf_counter()
    for _ in range(waiting):
        step()
    return BATCH * waiting / (time.perf_counter() - started)


def busy(architecture: str, tiles: Tiles, kind: str) -> dict[str, float]:
    """Shares of a replayed step's wall time, by the kind of kernel; the rest is time without any."""
    step, draws = step_of(architecture, tiles, kind)
    call = Graphed(step)
    wall = seconds(lambda: call(draws), 50)
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(20):
            call(draws)
        torch.cuda.synchronize()
    kinds: Counter[str] = Counter()
    for event in found.key_averages():
        name = event.key.lower()
        kind_of = next(
            (each for each, parts in KINDS.items() if any(part in name for part in parts)), "element by element"
        )
        kinds[kind_of] += event.self_device_time_total / 20e6 / wall
    return {name: round(share, 3) for name, share in kinds.most_common()} | {
        "kernels": sum(event.count for event in found.key_averages()) / 20
    }


def members(tiles: Tiles, kind: str, at_once: int, epochs: int, architectures: list[str]) -> float:
    """Samples a second of a grid: a member an architecture, the longest first, with all that their processes do."""
    schedule = Schedule(
        epochs=epochs, min_epochs=epochs, patience=epochs, lr_patience=epochs, samples_per_epoch=SAMPLES, crop=CROP,
        batch=BATCH, background_fraction=0.0, precision=kind,
    )  # fmt: skip
    worker_pool, longest = WorkerPool(), sorted(architectures, key=ARCHITECTURES.__getitem__, reverse=True)

    def train(architecture: str, folder: Path) -> None:
        spec = MemberSpec(architecture=architecture, loss="dice", learning_rate=1e-3, bands=BANDS)
        (folder / architecture).mkdir()
        worker_pool.run(
            Job(
                name=spec.name, spec=spec, schedule=schedule, tiles=tiles.folder, device="cuda:0",
                folder=folder / architecture,
            )
        )  # fmt: skip

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(at_once) as pool:
        list(pool.map(train, longest, [Path(temporary)] * len(longest)))
    worker_pool.close()
    return len(longest) * epochs * SAMPLES / (time.perf_counter() - started)


def hours(alone: Mapping[str, Mapping[str, float]], packed: Mapping[int, float]) -> dict[str, float]:
    """Of the published table: one member after the other, and packed, as if all gained as the one that was tried."""
    each = GRID / len(alone) * EPOCHS * SAMPLES / 3600
    one = sum(each / row["ours"] for row in alone.values())
    return {"alone": round(one, 2)} | {str(n): round(one * packed[1] / rate, 2) for n, rate in packed.items() if n > 1}


def rows(tiles: Tiles, architectures: list[str], kind: str) -> dict[str, dict[str, float]]:
    """Each architecture alone."""
    top, found = ceilings(), {}
    print("ceilings", top, flush=True)
    workers = cores()
    loader = DataLoader(
        Scenes(tiles), BATCH, num_workers=workers, pin_memory=True, multiprocessing_context="forkserver",
    )  # fmt: skip
    batches = iter(loader)
    for architecture in architectures:
        one, does = ours(architecture, tiles, kind), work(architecture, tiles, kind)
        steps = one["samples"] / BATCH
        row = {
            "plain": beside(architecture, batches, 2 * workers),
            "eager": ours(architecture, tiles, kind, graphed=False)["samples"],
            "ours": one["samples"],
            "of_peak": steps * does["gflop"] / top["tflops"] / 1e3,
            "of_bandwidth": steps * does["gbytes"] / top["tbytes"] / 1e3,
            "gib": one["gib"],
        }
        found[architecture] = {name: round(value, 3) for name, value in row.items()} | {
            "ratio": round(row["ours"] / row["plain"], 1)
        }
        print(f"{architecture:14}", found[architecture], flush=True)
    return found


def packed(tiles: Tiles, architecture: str, kind: str, numbers: list[int], compiled: bool) -> dict[int, float]:
    """Samples a second of so many members of an architecture at once."""
    schedule = Schedule(
        epochs=1, min_epochs=1, patience=1, lr_patience=1, samples_per_epoch=1, crop=CROP, batch=BATCH,
        background_fraction=0.0, precision=kind, compiled=compiled,
    )  # fmt: skip
    spec = MemberSpec(architecture=architecture, loss="dice", learning_rate=1e-4, bands=BANDS)
    found = {}
    for number in numbers:
        found[number] = round(rate(spec, schedule, tiles.folder, "cuda:0", number))
        print("packed", architecture, number, found[number], "compiled" if compiled else "", flush=True)
    return found


def main() -> None:
    """Measure the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("alone", "profile", "packed", "grid")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--architectures", nargs="+", default=list(ARCHITECTURES))
    parser.add_argument("--profiled", nargs="+", default=["Unet", "DeepLabV3", "PAN"])
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--at-once", nargs="+", type=int, default=[1, 4, 8], help="members of the grid at a time")
    parser.add_argument("--epochs", type=int, default=4, help="of each member of the grid")
    parser.add_argument(
        "--numbers", nargs="+", type=int, default=MEMBER_COUNTS, help="members of one architecture at a time"
    )
    parser.add_argument("--compiled", action="store_true", help="pack members whose networks are compiled")
    given = parser.parse_args()
    found: dict[str, Any] = {"benchmark": "gpu", "gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as temporary:
        tiles, kind = made(Path(temporary), SCENES), given.precision
        if "profile" in given.parts:
            found["profile"] = {name: busy(name, tiles, kind) for name in given.profiled}
            print("profile", found["profile"], flush=True)
        if "packed" in given.parts:
            found["packed"] = packed(tiles, given.profiled[0], kind, given.numbers, given.compiled)
        if "grid" in given.parts:
            found["grid"] = {}
            for number in given.at_once:
                found["grid"][number] = round(members(tiles, kind, number, given.epochs, given.architectures))
                print("grid", number, found["grid"][number], flush=True)
        if "alone" in given.parts:
            found["alone"] = rows(tiles, given.architectures, kind)
            found["median_ratio"] = statistics.median(row["ratio"] for row in found["alone"].values())
            found["hours"] = hours(found["alone"], found.get("packed", {}))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
