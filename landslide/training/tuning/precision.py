"""Which arithmetic a processor is faster in: a short probe, a few steps of each on made-up crops.

A processor that multiplies bfloat16 natively is two or three times as fast in it; one that does not, ten times as slow.
So it is measured: on a CPU one layer first, then the architecture, the crop and the batch that are to be trained.
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
from landslide.training.devices import is_gpu
from landslide.training.loader import Batch
from landslide.training.step import WARM, Graphed, Step, adam
from landslide.training.workers.pool import environment
from landslide.training.workers.slots import lease

if TYPE_CHECKING:
    from landslide.artifacts.store import ArtifactStore

PROBE_FILE = "probe.json"
STEPS, ON_GPU = 3, 30  # timed, after one that is not
HOPELESS = 2.0  # times as slow in one layer: the network is not tried
ERROR_CHARACTERS = 500  # characters of what a dead probe said last
MIN_SPEEDUP = 1.1  # the least that bfloat16 has to be faster by


class Probe(Keyed):
    """What is tried: a network on batches (batch, channels, crop, crop)."""

    architecture: str
    encoder: str
    channels: int
    crop: int
    batch: int
    device: Annotated[str, NotInKey]


class ProbeResult(BaseModel):
    """Seconds a step in each arithmetic; None where one layer alone showed that it is hopeless."""

    fp32: float | None
    bf16: float | None

    @property
    def choice(self) -> str:
        """`bf16` where it is clearly faster, else `fp32`."""
        return "bf16" if self.fp32 and self.bf16 and self.fp32 > MIN_SPEEDUP * self.bf16 else "fp32"


class MeasurePrecision(Stage):
    """The trial of two arithmetics on a processor, known by the name of the product."""

    name: ClassVar[str] = "precision"
    version: ClassVar[int] = 3
    sources: ClassVar[tuple[str, ...]] = ("landslide.training.tuning.precision",)

    probe: Probe
    processor: str
    torch: str

    @classmethod
    def of(cls, probe: Probe) -> MeasurePrecision:
        """The trial on the processor of this machine."""
        processor = torch.cuda.get_device_name(probe.device) if is_gpu(probe.device) else _processor()
        return cls(probe=probe, processor=processor, torch=torch.__version__)

    @property
    def title(self) -> str:
        """`precision Unet`."""
        return f"{self.name} {self.probe.architecture}"

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Wait for a free core or GPU and try; writes `probe.json`."""
        with lease(self.probe.device) as place:
            measure(self.probe.model_copy(update={"device": place}), folder)


def measure(probe: Probe, folder: Path) -> None:
    """Try both in a process like a member's; `probe.json` into a folder."""
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=probe.model_dump_json(), capture_output=True, text=True, env=environment(probe.device),
    )  # fmt: skip
    if done.returncode != 0:
        raise CrashError(
            f"the probe of {probe.architecture} ended with status {done.returncode}: {done.stderr[-ERROR_CHARACTERS:]}"
        )
    (folder / PROBE_FILE).write_text(ProbeResult.model_validate_json(done.stdout).model_dump_json())


def read(folder: Path) -> ProbeResult:
    """What a probe found."""
    return ProbeResult.model_validate_json((folder / PROBE_FILE).read_text())


def find(probe: Probe) -> ProbeResult:
    """Measure on this process's threads."""
    if not is_gpu(probe.device):
        layer = {kind: _layer_seconds(kind) for kind in ("fp32", "bf16")}
        if layer["bf16"] > HOPELESS * layer["fp32"]:
            return ProbeResult(fp32=None, bf16=None)
    return ProbeResult(fp32=seconds(probe, "fp32"), bf16=seconds(probe, "bf16"))


def _layer_seconds(kind: str) -> float:
    """One convolution on the CPU, forward and backward."""
    layer = torch.nn.Conv2d(64, 64, 3, padding=1)
    values = torch.randn(2, 64, 64, 64, requires_grad=True)
    taken = []
    for _ in range(1 + STEPS):
        started = time.perf_counter()
        with precision("cpu", kind):
            result = layer(values).sum()
        result.backward()
        taken.append(time.perf_counter() - started)
    return min(taken[1:])


def seconds(probe: Probe, kind: str) -> float:
    """Seconds that a member's step takes, the median; on a GPU replayed, as it is in training."""
    network = build(probe.architecture, probe.encoder, probe.channels).to(probe.device)
    network = network.to(memory_format=torch.channels_last)
    shape = (probe.batch, probe.channels, probe.crop, probe.crop)
    values = torch.randn(shape, device=probe.device).contiguous(memory_format=torch.channels_last)
    target = torch.zeros_like(values[:, :1])
    batch = Batch(values, target, torch.ones_like(target, dtype=torch.bool))
    step = Step(network, lambda draws: batch, bce, adam(network, 1e-3, probe.device), probe.device, kind)
    learn, untimed, timed = (Graphed(step), WARM + 1, ON_GPU) if is_gpu(probe.device) else (step, 1, STEPS)
    draws, taken = torch.zeros(probe.batch, 4, device=probe.device), []
    for _ in range(untimed + timed):
        started = time.perf_counter()
        learn(draws)
        step.total.item()  # waits for a GPU
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[untimed:])


def main() -> None:
    """The probe on standard input, what it found on standard output."""
    print(find(Probe.model_validate_json(sys.stdin.read())).model_dump_json())


def _processor() -> str:
    """The CPU's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
