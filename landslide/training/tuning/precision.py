"""Which precision is faster on a processor, float32 or bfloat16: a short probe of a few steps on random crops.

With native support bfloat16 is two to three times as fast, without it ten times as slow. On a CPU one layer is timed
first, then the architecture with the crop and batch of the experiment.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from pydantic import BaseModel

from landslide.artifacts.stage import Keyed, NotInKey, Stage
from landslide.errors import CrashError
from landslide.models.architectures import build
from landslide.models.inference import precision
from landslide.models.losses import bce
from landslide.training.devices import device_name, is_gpu
from landslide.training.loader import Batch
from landslide.training.step import WARM_UP_STEPS, Graphed, Step, adam
from landslide.training.workers.pool import environment
from landslide.training.workers.slots import lease

if TYPE_CHECKING:
    from landslide.artifacts.store import ArtifactStore

PROBE_FILE = "probe.json"
CPU_STEPS, GPU_STEPS = 3, 30  # timed steps, after the warm-up
MAX_SLOWDOWN = 2.0  # of bfloat16 in one layer, above which the network is not timed
ERROR_CHARACTERS = 500  # of the standard error of a failed probe, for the message
MIN_SPEEDUP = 1.1  # for bfloat16 to be chosen


class Probe(Keyed):
    """The network to time, on batches (batch, channels, crop, crop)."""

    architecture: str
    encoder: str
    channels: int
    crop: int
    batch: int
    device: Annotated[str, NotInKey]


class ProbeResult(BaseModel):
    """Seconds per step in each precision; both None if one layer was already too slow in bfloat16."""

    fp32: float | None
    bf16: float | None

    @property
    def choice(self) -> str:
        return "bf16" if self.fp32 and self.bf16 and self.fp32 > MIN_SPEEDUP * self.bf16 else "fp32"


class MeasurePrecision(Stage):
    """The probe on a processor model."""

    name: ClassVar[str] = "precision"
    version: ClassVar[int] = 3
    sources: ClassVar[tuple[str, ...]] = ("landslide.training.tuning.precision",)

    probe: Probe
    processor: str
    torch: str

    @classmethod
    def of(cls, probe: Probe) -> MeasurePrecision:
        processor = device_name(probe.device) if is_gpu(probe.device) else _processor()
        return cls(probe=probe, processor=processor, torch=torch.__version__)

    @property
    def title(self) -> str:
        return f"{self.name} {self.probe.architecture}"

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Wait for a free slot, run the probe and write `probe.json`."""
        with lease(self.probe.device) as device:
            measure(self.probe.model_copy(update={"device": device}), folder)


def measure(probe: Probe, folder: Path) -> None:
    """Run the probe in a process with a worker's environment and write `probe.json`. Raises CrashError if it fails."""
    process = subprocess.run(
        [sys.executable, "-m", __name__],
        input=probe.model_dump_json(), capture_output=True, text=True, env=environment(probe.device),
    )  # fmt: skip
    if process.returncode != 0:
        log = process.stderr[-ERROR_CHARACTERS:]
        raise CrashError(f"the probe of {probe.architecture} ended with status {process.returncode}: {log}")
    (folder / PROBE_FILE).write_text(ProbeResult.model_validate_json(process.stdout).model_dump_json())


def read_probe(folder: Path) -> ProbeResult:
    """Read `probe.json`."""
    return ProbeResult.model_validate_json((folder / PROBE_FILE).read_text())


def run_probe(probe: Probe) -> ProbeResult:
    """Time both precisions in this process."""
    if not is_gpu(probe.device):
        layer = {kind: _layer_seconds(kind) for kind in ("fp32", "bf16")}
        if layer["bf16"] > MAX_SLOWDOWN * layer["fp32"]:
            return ProbeResult(fp32=None, bf16=None)
    return ProbeResult(fp32=step_seconds(probe, "fp32"), bf16=step_seconds(probe, "bf16"))


def _layer_seconds(kind: str) -> float:
    """Minimum time of one convolution on the CPU, forward and backward."""
    layer = torch.nn.Conv2d(64, 64, 3, padding=1)
    values = torch.randn(2, 64, 64, 64, requires_grad=True)
    taken = []
    for _ in range(1 + CPU_STEPS):
        started = time.perf_counter()
        with precision("cpu", kind):
            result = layer(values).sum()
        result.backward()
        taken.append(time.perf_counter() - started)
    return min(taken[1:])


def step_seconds(probe: Probe, kind: str) -> float:
    """Median time of a training step; on a GPU as a CUDA graph, as in training."""
    network = build(probe.architecture, probe.encoder, probe.channels).to(probe.device)
    network = network.to(memory_format=torch.channels_last)
    shape = (probe.batch, probe.channels, probe.crop, probe.crop)
    values = torch.randn(shape, device=probe.device).contiguous(memory_format=torch.channels_last)
    target = torch.zeros_like(values[:, :1])
    batch = Batch(values, target, torch.ones_like(target, dtype=torch.bool))
    step = Step(network, lambda draws: batch, bce, adam(network, 1e-3, probe.device), probe.device, kind)
    run, untimed, timed = (
        (Graphed(step), WARM_UP_STEPS + 1, GPU_STEPS) if is_gpu(probe.device) else (step, 1, CPU_STEPS)
    )
    draws, taken = torch.zeros(probe.batch, 4, device=probe.device), []
    for _ in range(untimed + timed):
        started = time.perf_counter()
        run(draws)
        step.total.item()  # waits for a GPU
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[untimed:])


def main() -> None:
    """Read a probe from standard input and print its result as JSON."""
    print(run_probe(Probe.model_validate_json(sys.stdin.read())).model_dump_json())


def _processor() -> str:
    """The CPU's model name, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
