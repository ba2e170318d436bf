"""A small prepared event and a small ensemble, as the stages leave them on disk."""

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
from landslide.datasets.stack import Stack
from landslide.ensembles.ensemble import ENSEMBLE_FILE, Ensemble, EnsembleInfo, EnsembleMember
from landslide.models.architectures import build
from landslide.models.member import MemberSpec
from landslide.sources.base import Scene
from tests.helpers import stacks

CRS = "EPSG:32654"
WEST, NORTH = 570_000.0, 4_740_000.0  # Hokkaido
SCENES = [
    Scene(id="a", sensor="sentinel-2", side="pre", time="2018-08-20T01:27:00Z", orbit="R131", cloud_cover=12.0),
    Scene(id="b", sensor="sentinel-2", side="post", time="2018-09-14T01:27:00Z", orbit="R131", cloud_cover=41.0),
    Scene(id="c", sensor="sentinel-1", side="pre", time="2018-08-30T20:43:00Z", orbit="ascending 68"),
    Scene(id="d", sensor="sentinel-1", side="post", time="2018-09-11T20:43:00Z", orbit="ascending 68"),
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
    scenes: Sequence[Scene] = SCENES,
    **info: Any,
) -> Stack:
    """A prepared case with these bands (y, x), `seen` acquisitions everywhere, and other values in `stack.json`."""
    shape = next(iter(bands.values())).shape
    stack = stacks.write_stack(folder, of or case(), {"scene": (grid(*shape), bands)}, seen=seen, scenes=scenes)
    return Stack(stack.folder, stack.info.model_copy(update=info))


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
        bands=tuple(bands), crop=64, members=members,
        normalisation=Normalisation(mean=(0.0,) * len(bands), std=(1.0,) * len(bands)),
        **({"name": "tiny", "band_set": "own", "threshold": 0.5, "cases": {"train": ["one"], "test": ["two"]}} | info),
    )  # fmt: skip
    (folder / ENSEMBLE_FILE).write_text(described.model_dump_json())
    return Ensemble.open(folder)


class Echo(torch.nn.Module):
    """A network whose logit is its first band, times a factor: its output is known exactly."""

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
