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

from landslide.artifacts.stage import Artifact
from landslide.bands import BAND_SETS
from landslide.cases.case import Case
from landslide.datasets.layers import BANDS_FILE, COUNT_UNKNOWN, COUNTS_FILE, LAYER_FILE, LayerInfo, LayerPart
from landslide.datasets.normalisation import Normalisation
from landslide.datasets.stack import STACK_FILE, StackInfo, StackPart
from landslide.ensembles.ensemble import ENSEMBLE_FILE, EnsembleInfo, EnsembleMember
from landslide.geo.grid import blocks
from landslide.geo.raster import BLOCK_SIDE, cog
from landslide.models.architectures import build
from landslide.models.member import MemberSpec
from landslide.sources.base import COUNTS, LAYERS, LayerName, PartGrid, bands_of

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
    """The synthetic stack and its layers beside it; a corner of a tenth of its side is not observed."""
    box = GeoBox.from_bbox(
        (300_000, 4_900_000, 300_000 + 10 * size, 4_900_000 + 10 * size), "EPSG:32654", resolution=10
    )
    layers = {layer: Artifact(stage=folder.parent.name, key=f"{folder.name}-{layer}") for layer in LAYERS}
    for layer, artifact in layers.items():
        write_layer(folder.parent / artifact.key, layer, box, bands_of(layer, bands))
    case = Case.model_validate(
        {"id": "benchmark", "event_date": "2018-09-06", "aoi": [138, 44, 139, 45], "source": {"kind": "files"}}
    )
    part = StackPart(name="scene", height=size, width=size, observed=dict.fromkeys(bands, 0.99))
    info = StackInfo(case=case, layers=layers, bands=bands, georeferenced=True, parts=[part], scenes=[])
    folder.mkdir(exist_ok=True)
    (folder / STACK_FILE).write_text(info.model_dump_json())


def write_layer(folder: Path, layer: LayerName, box: GeoBox, bands: tuple[str, ...]) -> None:
    """A layer's bands and numbers of looks, block by block."""
    folder.mkdir()
    shape, counts = box.shape.yx, COUNTS[layer]
    if bands:
        texture = tile(len(bands))
        with cog(folder / f"scene.{BANDS_FILE}", box, bands, "float32", float("nan")) as out:
            for number, roi in enumerate(blocks(shape, BLOCK_SIDE)):
                tall, wide = (part.stop - part.start for part in roi)
                values = np.roll(texture, (37 * number, 101 * number), axis=(1, 2))[:, :tall, :wide].copy()
                corner = (max(length // 10 - part.start, 0) for length, part in zip(shape, roi, strict=True))
                values[(slice(None), *(slice(None, stop) for stop in corner))] = np.nan
                out.write(values, roi)
    if counts:
        with cog(folder / f"scene.{COUNTS_FILE}", box, counts, "uint16", COUNT_UNKNOWN) as out:
            for number, roi in enumerate(blocks(shape, BLOCK_SIDE)):
                tall, wide = (part.stop - part.start for part in roi)
                out.write(np.full((len(counts), tall, wide), number % 7, "uint16"), roi)
    info = LayerInfo(layer=layer, bands=bands, parts={"scene": LayerPart(grid=PartGrid.of(box))}, scenes=())
    (folder / LAYER_FILE).write_text(info.model_dump_json())


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
        folder = Path(name) / "stack"
        started = time.monotonic()
        write_stack(folder, options.size, bands)
        write_ensemble(folder, bands)
        print(f"stack written in {time.monotonic() - started:.0f} s", flush=True)
        command = [sys.executable, __file__, "--folder", str(folder), "--device", options.device]
        child = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        stack_gb = sum(path.stat().st_size for path in Path(name).rglob(f"*.{BANDS_FILE}")) / 1e9
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
