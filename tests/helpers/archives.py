"""A small archive in the published layout, and an experiment on it."""

from pathlib import Path

import numpy as np
import rasterio
import yaml

from landslide.geo.raster import allow_no_georeference

BANDS = ["dndvi_median", "slope"]


def toy_experiment(folder: Path, **changes: object) -> Path:
    """Three cases of one scene each, landslides plain to see, and an experiment of two quick members."""
    random = np.random.default_rng(5)
    for scene in ("a", "b", "c"):
        _scene(folder / "archive", scene, random)
        source = {"kind": "archive", "format": "paper", "folder": "archive", "bands": BANDS, "parts": [scene]}
        role = {"a": "train", "b": "validation", "c": "test"}[scene]
        (folder / f"{scene}.yaml").write_text(yaml.safe_dump({"id": scene, "source": source, "role": role}))
    settings = {
        "id": "toy",
        "preset": "quick",
        "cases": ["a.yaml", "b.yaml", "c.yaml"],
        "band_sets": {"pair": BANDS},
        "architectures": ["Linknet"],
        "losses": ["dice", "bce"],
        "epochs": 1,
        "samples_per_epoch": 16,
    }
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump({**settings, **changes}))
    return path


def _scene(folder: Path, scene: str, random: np.random.Generator, size: int = 160) -> None:
    rows, columns = np.mgrid[:size, :size]
    truth = np.zeros((size, size), bool)
    for _ in range(8):
        row, column = random.integers(10, size - 10, 2)
        truth |= (rows - row) ** 2 + (columns - column) ** 2 < int(random.integers(5, 11)) ** 2
    values = random.normal(0, 0.3, (2, size, size)).astype("float32")
    values[0, truth] -= 2
    values[:, -9:, -9:] = np.nan
    profile = {"driver": "GTiff", "height": size, "width": size, "interleave": "pixel"}
    for kind, planes in (("input", values), ("label", truth[None].astype("float32"))):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        with (
            allow_no_georeference(),
            rasterio.open(
                folder / kind / f"{scene}_{kind}.tif", "w", count=len(planes), dtype="float32", **profile
            ) as file,
        ):
            file.write(planes)
