"""Mapping a large scene with one member: peak memory and speed.

`python -m tests.benchmarks.mapping [--size PIXELS] [--bands N]` writes a synthetic stack of SIZE x SIZE pixels (by
default a whole Sentinel-2 tile, 10,980 pixels, 15 bands; about 3 GB of disk), maps it in a process of its own with one
untrained Linknet of encoder resnet18, and prints a JSON object of the figures as its last line.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from safetensors.torch import save_file

from landslide.bands import BAND_SETS
from landslide.cases.case import Case
from landslide.datasets.normalisation import Normalisation
from landslide.datasets.stack import StackInfo, StackPart
from landslide.ensembles.ensemble import ENSEMBLE_FILE, EnsembleInfo, EnsembleMember
from landslide.geo.grid import blocks
from landslide.geo.raster import BLOCK_SIDE, cog
from landslide.models.architectures import build
from landslide.models.member import MemberSpec
from landslide.sources.base import SEEN

LIMIT_GIB = 4.0
LANDSLIDE_SHARE = 0.01  # of the pixels: many outlines, as after a large event
NAME = "01-benchmark.safetensors"


def tile(bands: int) -> NDArray[np.float32]:
    """(bands, 512, 512) of smooth texture in steps of 1/16, so that it compresses as a real stack does."""
    random = np.random.default_rng(0)
    coarse = random.normal(0, 1.5, (bands, BLOCK_SIDE // 8, BLOCK_SIDE // 8)).repeat(8, axis=1).repeat(8, axis=2)
    fine = coarse + random.normal(0, 0.4, coarse.shape)
    return (np.round(fine * 16) / 16).astype("float32")


def write_stack(folder: Path, size: int, bands: tuple[str, ...]) -> None:
    """The synthetic stack; a corner of a tenth of its side is not observed."""
    box = GeoBox.from_bbox(
        (300_000, 4_900_000, 300_000 + 10 * size, 4_900_000 + 10 * size), "EPSG:32654", resolution=10
    )
    texture = tile(len(bands))
    with (
        cog(folder / "scene.stack.tif", box, bands, "float32", float("nan")) as stack,
        cog(folder / "scene.seen.tif", box, SEEN, "uint16", 65535) as seen,
    ):
        for number, roi in enumerate(blocks((size, size), BLOCK_SIDE)):
            tall, wide = (part.stop - part.start for part in roi)
            values = np.roll(texture, (37 * number, 101 * number), axis=(1, 2))[:, :tall, :wide].copy()
            values[:, : max(size // 10 - roi[0].start, 0), : max(size // 10 - roi[1].start, 0)] = np.nan
            stack.write(values, roi)
            seen.write(np.full((len(SEEN), tall, wide), number % 7, "uint16"), roi)
    case = Case.model_validate(
        {"id": "benchmark", "event_date": "2018-09-06", "aoi": [138, 44, 139, 45], "source": {"kind": "files"}}
    )
    part = StackPart(name="scene", height=size, width=size, observed=dict.fromkeys(bands, 0.99))
    info = StackInfo(case=case, bands=bands, georeferenced=True, parts=[part], scenes=[])
    (folder / "stack.json").write_text(info.model_dump_json())


def write_ensemble(folder: Path, bands: tuple[str, ...]) -> None:
    """One untrained member, with the threshold that maps `LANDSLIDE_SHARE` of the texture."""
    torch.manual_seed(0)
    network = build("Linknet", "resnet18", len(bands))
    save_file(network.state_dict(), folder / NAME)
    with torch.inference_mode():
        probability = torch.sigmoid(network.eval()(torch.from_numpy(tile(len(bands)))[None])).numpy()
    spec = MemberSpec(architecture="Linknet", loss="bce", learning_rate=1e-3, bands=bands, encoder="resnet18")
    info = EnsembleInfo(
        name="benchmark", band_set="all", bands=bands, crop=256, cases={},
        normalisation=Normalisation(mean=(0.0,) * len(bands), std=(1.0,) * len(bands)),
        threshold=float(np.quantile(probability, 1 - LANDSLIDE_SHARE)),
        members=[EnsembleMember(spec=spec, validation_f1=0.0, weight=1.0, file=NAME)],
    )  # fmt: skip
    (folder / ENSEMBLE_FILE).write_text(info.model_dump_json())


def map_here(folder: Path, device: str) -> dict[str, float]:
    """Map the prepared case in this process: seconds, landslides, and this process's peak resident set in GiB."""
    from landslide.datasets.stack import Stack
    from landslide.ensembles.ensemble import Ensemble
    from landslide.mapping.map_event import map_event

    (folder / "map").mkdir()
    started = time.monotonic()
    summary = map_event(Stack.open(folder), Ensemble.open(folder), folder / "map", device=device)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts KiB
    return {"seconds": round(seconds, 1), "peak_gib": round(peak, 2), "landslides": summary.landslides}


def main() -> None:
    """Build, map in a child process, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=10_980)
    parser.add_argument("--bands", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # the child's: an already prepared case
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(map_here(options.folder, options.device)))
        return
    bands = BAND_SETS["all"][: options.bands]
    with tempfile.TemporaryDirectory(prefix="bench-mapping-") as name:
        folder = Path(name)
        started = time.monotonic()
        write_stack(folder, options.size, bands)
        write_ensemble(folder, bands)
        print(f"stack written in {time.monotonic() - started:.0f} s", flush=True)
        command = [sys.executable, __file__, "--folder", name, "--device", options.device]
        child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        stack_gb = (folder / "scene.stack.tif").stat().st_size / 1e9
    figures = json.loads(child.stdout.splitlines()[-1])
    figures |= {
        "benchmark": "mapping",
        "size": options.size,
        "bands": len(bands),
        "member": "Linknet, resnet18, untrained",
        "device": options.device,
        "threads": torch.get_num_threads(),
        "megapixels_per_second": round(options.size**2 / 1e6 / figures["seconds"], 3),
        "stack_gb": round(stack_gb, 2),
        "limit_gib": LIMIT_GIB,
    }
    print(json.dumps(figures))
    if figures["peak_gib"] > LIMIT_GIB:
        sys.exit(f"peak resident set {figures['peak_gib']} GiB passes {LIMIT_GIB} GiB")


if __name__ == "__main__":
    main()
