"""A small prepared event and a small ensemble, as `prepare` and `assemble` leave them on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from safetensors.torch import save_file

from landslide.cases.case import Case
from landslide.datasets.normalisation import Normalisation
from landslide.datasets.stack import Stack, StackInfo, StackPart
from landslide.ensembles.ensemble import ENSEMBLE_FILE, Ensemble, EnsembleInfo, EnsembleMember
from landslide.geo.grid import Roi
from landslide.geo.raster import cog
from landslide.models.architectures import build
from landslide.models.member import MemberSpec
from landslide.sources.base import SEEN

CRS = "EPSG:32654"
WEST, NORTH = 570_000.0, 4_740_000.0  # Hokkaido
SCENES = [
    {"sensor": "sentinel-2", "when": "pre", "id": "a", "date": "2018-08-20", "orbit": "R131", "cloud_cover": 12.0},
    {"sensor": "sentinel-2", "when": "post", "id": "b", "date": "2018-09-14", "orbit": "R131", "cloud_cover": 41.0},
    {
        "sensor": "sentinel-1",
        "when": "pre",
        "id": "c",
        "date": "2018-08-30",
        "orbit": "ascending 68",
        "cloud_cover": None,
    },
    {
        "sensor": "sentinel-1",
        "when": "post",
        "id": "d",
        "date": "2018-09-11",
        "orbit": "ascending 68",
        "cloud_cover": None,
    },
]


def grid(height: int, width: int, pixel: float = 10.0) -> GeoBox:
    """A north-up UTM grid."""
    return GeoBox.from_bbox(
        (WEST, NORTH - height * pixel, WEST + width * pixel, NORTH), CRS, resolution=pixel, tight=True
    )


def case(**changes: Any) -> Case:
    """An event with dates; its source is never opened."""
    data: dict[str, Any] = {
        "id": "iburi",
        "title": "Iburi <b>2018</b> & after",
        "event_date": "2018-09-06",
        "aoi": [141.85, 42.7, 142.0, 42.8],
        "source": {"kind": "files"},
    }
    return Case.model_validate(data | changes)


def write_stack(
    folder: Path,
    bands: Mapping[str, NDArray[np.float32]],
    of: Case | None = None,
    seen: int = 3,
    scenes: Sequence[dict[str, Any]] = SCENES,
    **info: Any,
) -> Stack:
    """A prepared case with these bands (y, x) and `seen` acquisitions everywhere."""
    folder.mkdir(parents=True, exist_ok=True)
    values = np.stack([*bands.values()]).astype("float32")
    shape = values.shape[1:]
    whole: Roi = (slice(0, shape[0]), slice(0, shape[1]))
    box = grid(*shape)
    with cog(folder / "scene.stack.tif", box, list(bands), "float32", float("nan")) as writer:
        writer.write(values, whole)
    with cog(folder / "scene.seen.tif", box, SEEN, "uint16", 65535) as writer:
        writer.write(np.full((len(SEEN), *shape), seen, "uint16"), whole)
    part = StackPart(name="scene", height=shape[0], width=shape[1], observed=dict.fromkeys(bands, 1.0))
    fields = {"case": of or case(), "bands": tuple(bands), "georeferenced": True, "parts": [part], "scenes": [*scenes]}
    stack = StackInfo(**(fields | info))
    (folder / "stack.json").write_text(stack.model_dump_json())
    return Stack.open(folder)


def write_ensemble(folder: Path, bands: Sequence[str], weights: Sequence[float] = (1.0, 1.0), **info: Any) -> Ensemble:
    """An ensemble of untrained Unets of the smallest encoder, one a weight."""
    folder.mkdir(parents=True, exist_ok=True)
    members = []
    for number, weight in enumerate(weights, 1):
        spec = MemberSpec(
            architecture="Unet", loss="dice", learning_rate=0.001, bands=tuple(bands), encoder="resnet18", seed=number
        )
        torch.manual_seed(number)
        save_file(build(spec.architecture, spec.encoder, len(bands)).state_dict(), folder / f"{number}.safetensors")
        members.append(EnsembleMember(spec=spec, validation_f1=0.5, weight=weight, file=f"{number}.safetensors"))
    described = EnsembleInfo(
        name="tiny", band_set="own", bands=tuple(bands), crop=64, members=members,
        normalisation=Normalisation(mean=(0.0,) * len(bands), std=(1.0,) * len(bands)),
        **({"threshold": 0.5, "cases": {"train": ["one"], "test": ["two"]}} | info),
    )  # fmt: skip
    (folder / ENSEMBLE_FILE).write_text(described.model_dump_json())
    return Ensemble.open(folder)


class Echo(torch.nn.Module):
    """A network whose logit is its first band, times a factor: what a window gives back can be told exactly."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return batch[:, :1] * self.factor


def hills(height: int, width: int) -> NDArray[np.float32]:
    """Elevation in metres with ridges and valleys."""
    y, x = np.mgrid[:height, :width].astype("float32")
    ridges = 90 * np.sin(x / 17 + np.sin(y / 31)) + 60 * np.cos(y / 23 + x / 53)
    return (220 + ridges + 0.3 * y).astype("float32")
