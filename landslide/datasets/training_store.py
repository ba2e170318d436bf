"""The training store: a folder of uncompressed arrays, memory-mapped and so shared by all processes of a machine.

For each role the pixels of all parts are concatenated, each part row by row:

- `<role>.values.npy` float32 (pixel, band): z-scores, 0 where not observed;
- `<role>.seen.npy` int64 (pixel): bit i is set if band i was observed;
- `<role>.label.npy` uint8 (pixel): 1 landslide, 0 not, 255 ignore;
- `<role>.anchors.npy` int32 (n, 2): row and column of every landslide pixel.

Any set of crops is one gather of pixels, whose cost does not depend on the size of the scenes. `tiles.json` has the
parts, and the statistics of the training cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from landslide.artifacts.stage import Artifact, Stage
from landslide.bands import band_indices
from landslide.datasets.normalisation import Moments, Normalisation, normalisation
from landslide.datasets.stack import IGNORE, Stack, open_stacks
from landslide.errors import BandError, TrainingError
from landslide.geo.grid import blocks
from landslide.progress import track

Kind = TypeVar("Kind", bound=np.generic)

if TYPE_CHECKING:
    from landslide.artifacts.store import ArtifactStore

READ_SIDE = 1024
TILES_FILE = "tiles.json"


class TilePart(BaseModel):
    """One part in the store."""

    case: str
    part: str
    role: str
    height: int
    width: int
    anchors: int


class TilesInfo(BaseModel):
    """`tiles.json`."""

    bands: tuple[str, ...]
    cases: dict[str, list[str]]
    moments: dict[str, Moments]
    parts: list[TilePart]


@dataclass(frozen=True)
class SplitArrays:
    """The memory-mapped arrays of a role, as in the files, with parts in the order of the cases.

    The pixel at (row, column) of a part has the index `first[part] + row * width + column`.
    """

    values: NDArray[np.float32]
    seen: NDArray[np.int64]
    label: NDArray[np.uint8]
    anchors: NDArray[np.int32]
    parts: list[TilePart]

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """Index of each part's first pixel."""
        return _starts(part.height * part.width for part in self.parts)

    @cached_property
    def first_anchor(self) -> NDArray[np.int64]:
        """Index of each part's first anchor."""
        return _starts(part.anchors for part in self.parts)

    def image(self, pixels: NDArray[Kind], index: int) -> NDArray[Kind]:
        """The image (y, x, …) of a part from an array (pixel, …)."""
        part, first = self.parts[index], self.first[index]
        return pixels[first : first + part.height * part.width].reshape(part.height, part.width, *pixels.shape[1:])

    def truth(self, columns: Sequence[int]) -> NDArray[np.uint8]:
        """The label (pixel), 255 also where one of the bands at these indices was not observed."""
        wanted = sum(1 << column for column in columns)
        return np.where(self.seen & wanted == wanted, self.label, np.uint8(IGNORE))


def _starts(lengths: Iterable[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([*lengths], dtype="int64")])[:-1]


@dataclass(frozen=True)
class Tiles:
    """The training store on disk."""

    folder: Path

    @cached_property
    def info(self) -> TilesInfo:
        return TilesInfo.model_validate_json((self.folder / TILES_FILE).read_text())

    def normalisation(self, bands: Sequence[str]) -> Normalisation:
        return normalisation(self.info.moments, bands)

    def split(self, role: str) -> SplitArrays:
        arrays = {
            name: np.load(
                self.folder / f"{role}.{name}.npy", mmap_mode="c", allow_pickle=False
            )  # torch needs a writable array
            for name in ("values", "seen", "label", "anchors")
        }
        return SplitArrays(**arrays, parts=[part for part in self.info.parts if part.role == role])


class TileCases(Stage):
    """Writes the training store; `stacks` are by role and case id."""

    name: ClassVar[str] = "tile"
    version: ClassVar[int] = 3
    sources: ClassVar[tuple[str, ...]] = (
        "landslide.datasets.training_store", "landslide.datasets.normalisation", "landslide.datasets.stack",
    )  # fmt: skip

    bands: tuple[str, ...]
    stacks: dict[str, dict[str, Artifact]]

    def build(self, folder: Path, store: ArtifactStore) -> None:
        tile(self.bands, open_stacks(self.stacks, store), folder)


def tile(bands: Sequence[str], stacks: dict[str, list[Stack]], folder: Path) -> None:
    """Write the training store of the stacks by role into an empty folder.

    BandError if a stack lacks a band, TrainingError if a stack has no label or a role no landslide.
    """
    for stack in (stack for group in stacks.values() for stack in group):
        band_indices(bands, stack.info.bands, f"case {stack.info.case.id}")
    moments = {band: Moments() for band in bands}
    parts = [part for role, group in stacks.items() for part in _write_group(role, group, bands, moments, folder)]
    _refuse_unusable(parts, moments)
    for role in stacks:
        _normalise(folder / f"{role}.values.npy", normalisation(moments, bands))
    cases = {role: [stack.info.case.id for stack in group] for role, group in stacks.items()}
    info = TilesInfo(bands=tuple(bands), cases=cases, moments=moments, parts=parts)
    (folder / TILES_FILE).write_text(info.model_dump_json(indent=1))


def _write_group(
    role: str, stacks: list[Stack], bands: Sequence[str], moments: dict[str, Moments], folder: Path
) -> list[TilePart]:
    labelled = [(stack, part.name, _label(role, stack, part.name)) for stack in stacks for part in stack.info.parts]
    anchors = [np.argwhere(label == 1).astype("int32") for _, _, label in labelled]
    np.save(folder / f"{role}.label.npy", np.concatenate([label.ravel() for _, _, label in labelled]))
    np.save(folder / f"{role}.anchors.npy", np.concatenate(anchors))
    first = _starts(label.size for _, _, label in labelled)
    shape = (sum(label.size for _, _, label in labelled), len(bands))
    values = np.lib.format.open_memmap(folder / f"{role}.values.npy", "w+", "float32", shape)
    seen = np.lib.format.open_memmap(folder / f"{role}.seen.npy", "w+", "int64", shape[:1])
    for (stack, name, label), start in zip(track(labelled, f"Cutting tiles, {role}"), first, strict=True):
        pixels = slice(start, start + label.size)
        image, bits = values[pixels].reshape(*label.shape, -1), seen[pixels].reshape(label.shape)
        with stack.reader(name) as reader:
            for roi in blocks(label.shape, READ_SIDE):
                block = reader.read(bands, roi)
                image[roi] = block.transpose(1, 2, 0)
                bits[roi] = sum(np.isfinite(plane).astype("int64") << index for index, plane in enumerate(block))
                if role == "train":
                    moments |= {band: moments[band].add(plane) for band, plane in zip(bands, block, strict=True)}
    values.flush()
    seen.flush()
    return [
        TilePart(
            case=stack.info.case.id, part=name, role=role, height=label.shape[0], width=label.shape[1],
            anchors=len(found),
        )
        for (stack, name, label), found in zip(labelled, anchors, strict=True)
    ]  # fmt: skip


def _normalise(path: Path, scale: Normalisation) -> None:
    values = np.load(path, mmap_mode="r+", allow_pickle=False)
    for start in range(0, len(values), READ_SIDE**2):
        part = values[start : start + READ_SIDE**2]
        part[:] = scale.apply(part.T[..., None])[..., 0].T
    values.flush()


def _label(role: str, stack: Stack, name: str) -> NDArray[np.uint8]:
    label = stack.label(name)
    if label is None:
        raise TrainingError(
            f"case {stack.info.case.id} has the role {role} but no label. Give it an inventory, or the role map"
        )
    return label


def _refuse_unusable(parts: list[TilePart], moments: dict[str, Moments]) -> None:
    for role in ("train", "validation"):
        if not any(part.anchors for part in parts if part.role == role):
            cases = sorted({part.case for part in parts if part.role == role})
            raise TrainingError(f"the {role} cases {cases} hold no landslide pixel. Check their inventories and areas")
    if empty := [band for band, moment in moments.items() if not moment.count]:
        raise BandError(f"the training cases have no value at all in {empty}. Leave these bands out of the band sets")
