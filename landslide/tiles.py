"""The training store and its sampler.

`Tiles` is a folder of uncompressed arrays, opened as memory maps by any number of processes, which so share one copy.
Each role has its parts one after another, each row by row:

- `<role>.values.npy` float32 (pixel, band): z-scores as a network takes them, 0 where not observed;
- `<role>.seen.npy` int64 (pixel): bit i is set where band i was observed;
- `<role>.label.npy` uint8 (pixel): 1 landslide, 0 none, 255 ignore;
- `<role>.anchors.npy` int32 (n, 2): row and column of every landslide pixel.

So any set of crops is one gather of pixels, on any device, and costs what the crops weigh, whatever the size of their
scenes. `tiles.json` holds the parts and the statistics, which come from the training cases alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from landslide.bands import BANDS, positions
from landslide.ensemble import Normalisation
from landslide.errors import BandError, TrainingError
from landslide.grid import blocks
from landslide.progress import track
from landslide.stack import IGNORE, Stack
from landslide.store import Request

Kind = TypeVar("Kind", bound=np.generic)

VERSION = 2
BLOCK = 1024
FILE = "tiles.json"
TRIES = 20  # for a crop without landslides, before taking the last one drawn


class Moments(BaseModel):
    """Count, mean and sum of squared deviations of a band, mergeable (Chan, Golub and LeVeque 1983, eq. 2.1)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, values: NDArray[np.float32]) -> Moments:
        """With the finite values of an array."""
        finite = values[np.isfinite(values)].astype("float64")
        if not finite.size:
            return self
        count = self.count + finite.size
        mean = float(finite.mean())
        squares = float(((finite - mean) ** 2).sum())
        shift = mean - self.mean
        return Moments(
            count=count,
            mean=self.mean + shift * finite.size / count,
            squares=self.squares + squares + shift**2 * self.count * finite.size / count,
        )

    @property
    def std(self) -> float:
        """Population standard deviation; 1 for a constant band, so that a z-score stays finite."""
        deviation = float(np.sqrt(self.squares / self.count)) if self.count else 0.0
        return deviation or 1.0

    @property
    def square(self) -> float:
        """Mean square."""
        return self.mean**2 + (self.squares / self.count if self.count else 0.0)


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
class Group:
    """All parts of a role, memory-mapped: arrays as in the files, parts in the order of the cases.

    The pixel at row and column of a part is at `first[part] + row * width + column`.
    """

    values: NDArray[np.float32]
    seen: NDArray[np.int64]
    label: NDArray[np.uint8]
    anchors: NDArray[np.int32]
    parts: list[TilePart]

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """Where each part's pixels begin."""
        return _starts(part.height * part.width for part in self.parts)

    @cached_property
    def first_anchor(self) -> NDArray[np.int64]:
        """Where each part's anchors begin."""
        return _starts(part.anchors for part in self.parts)

    def picture(self, pixels: NDArray[Kind], index: int) -> NDArray[Kind]:
        """A part's share of an array that has a row a pixel, as it lies on the ground: (y, x, …)."""
        part, first = self.parts[index], self.first[index]
        return pixels[first : first + part.height * part.width].reshape(part.height, part.width, *pixels.shape[1:])

    def truth(self, columns: Sequence[int]) -> NDArray[np.uint8]:
        """(pixel): the label, 255 also where one of the store's bands at these positions was not observed."""
        wanted = sum(1 << column for column in columns)
        return np.where(self.seen & wanted == wanted, self.label, np.uint8(IGNORE))


def _starts(lengths: Iterable[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum([*lengths], dtype="int64")])[:-1]


def normalisation(moments: Mapping[str, Moments], bands: Sequence[str]) -> Normalisation:
    """Mean and standard deviation of the training cases.

    A flip or a turn of the picture changes the components of a direction into each other and their signs. Over all
    eight symmetries their mean is 0 and their spread the same, and so are they normalised: then a symmetry of the
    z-scores is a change of sign and of place, too.
    """
    directed = [moments[band] for band in moments if BANDS[band].symmetry != "scalar"]
    spread = float(np.sqrt(np.mean([moment.square for moment in directed]))) if directed else 1.0
    pairs = [
        (moments[band].mean, moments[band].std) if BANDS[band].symmetry == "scalar" else (0.0, spread or 1.0)
        for band in bands
    ]
    mean, std = zip(*pairs, strict=True)
    return Normalisation(mean=mean, std=std)


@dataclass(frozen=True)
class Tiles:
    """The training store on disk."""

    folder: Path

    @cached_property
    def info(self) -> TilesInfo:
        """What `tiles.json` says."""
        return TilesInfo.model_validate_json((self.folder / FILE).read_text())

    def normalisation(self, bands: Sequence[str]) -> Normalisation:
        """What made the z-scores of a band set, in its order."""
        return normalisation(self.info.moments, bands)

    def group(self, role: str) -> Group:
        """The parts of a role, in the order of the cases."""
        arrays = {
            name: np.load(self.folder / f"{role}.{name}.npy", mmap_mode="c", allow_pickle=False)  # torch wants to write
            for name in ("values", "seen", "label", "anchors")
        }
        return Group(**arrays, parts=[part for part in self.info.parts if part.role == role])


def tile_request(bands: Sequence[str], stacks: dict[str, dict[str, str]]) -> Request:
    """What the tiles depend on: bands, and the prepared cases' keys by role and case id."""
    inputs = {f"{role}/{case}": key for role, cases in stacks.items() for case, key in cases.items()}
    return Request(stage="tile", version=VERSION, parameters={"bands": list(bands)}, inputs=inputs)


def tile(bands: Sequence[str], stacks: dict[str, list[Stack]], folder: Path) -> None:
    """Write the store of the stacks by role into an empty folder.

    Raises BandError where a stack lacks a band, TrainingError where one has no label or none holds a landslide.
    """
    for stack in (stack for group in stacks.values() for stack in group):
        positions(bands, stack.info.bands, f"case {stack.info.case.id}")
    moments = {band: Moments() for band in bands}
    parts = [part for role, group in stacks.items() for part in _write_group(role, group, bands, moments, folder)]
    _refuse_unusable(parts, moments)
    for role in stacks:
        _normalise(folder / f"{role}.values.npy", normalisation(moments, bands))
    cases = {role: [stack.info.case.id for stack in group] for role, group in stacks.items()}
    info = TilesInfo(bands=tuple(bands), cases=cases, moments=moments, parts=parts)
    (folder / FILE).write_text(info.model_dump_json(indent=1))


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
        picture, bits = values[pixels].reshape(*label.shape, -1), seen[pixels].reshape(label.shape)
        with stack.reader(name) as reader:
            for roi in blocks(label.shape, BLOCK):
                block = reader.read(bands, roi)
                picture[roi] = block.transpose(1, 2, 0)
                bits[roi] = sum(np.isfinite(plane).astype("int64") << index for index, plane in enumerate(block))
                if role == "train":
                    moments |= {band: moments[band].add(plane) for band, plane in zip(bands, block, strict=True)}
    values.flush()
    seen.flush()
    return [
        TilePart(
            case=stack.info.case.id,
            part=name,
            role=role,
            height=label.shape[0],
            width=label.shape[1],
            anchors=len(found),
        )
        for (stack, name, label), found in zip(labelled, anchors, strict=True)
    ]


def _normalise(path: Path, scale: Normalisation) -> None:
    """Turn raw values into z-scores, in place."""
    values = np.load(path, mmap_mode="r+", allow_pickle=False)
    for start in range(0, len(values), BLOCK**2):
        part = values[start : start + BLOCK**2]
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
    if blind := [band for band, moment in moments.items() if not moment.count]:
        raise BandError(f"the training cases have no value at all in {blind}. Leave these bands out of the band sets")


@dataclass(frozen=True)
class Sampler:
    """Draws crops around landslide pixels, and a share `background` of crops without any."""

    group: Group
    crop: int
    background: float = 0.0

    def draw(self, count: int, seed: Sequence[int]) -> NDArray[np.int64]:
        """(count, 4): part, first row, first column and symmetry of each crop; the same seed draws the same.

        A crop lies within its part; of a part smaller than the crop it starts at 0 and reaches beyond. The symmetry
        is one of the square's eight: bit 0 transposes, then 1 flips the rows, then 2 the columns.
        """
        random = np.random.default_rng(seed)
        return np.array([self._draw(random) for _ in range(count)], "int64")

    @cached_property
    def _anchored(self) -> list[int]:
        return [index for index, part in enumerate(self.group.parts) if part.anchors]

    def _draw(self, random: np.random.Generator) -> tuple[int, int, int, int]:
        draw = self._empty_crop if random.random() < self.background else self._landslide_crop
        return *draw(random), int(random.integers(8))

    def _landslide_crop(self, random: np.random.Generator) -> tuple[int, int, int]:
        index = self._anchored[random.integers(len(self._anchored))]
        anchor = self.group.first_anchor[index] + random.integers(self.group.parts[index].anchors)
        row, column = self.group.anchors[anchor].tolist()
        return self._around(index, row, column)

    def _empty_crop(self, random: np.random.Generator) -> tuple[int, int, int]:
        for _ in range(TRIES):
            index = int(random.integers(len(self.group.parts)))
            part = self.group.parts[index]
            drawn = self._around(index, int(random.integers(part.height)), int(random.integers(part.width)))
            _, top, left = drawn
            label = self.group.picture(self.group.label, index)
            if not (label[top : top + self.crop, left : left + self.crop] == 1).any():
                break
        return drawn

    def _around(self, index: int, row: int, column: int) -> tuple[int, int, int]:
        """A crop centred on a pixel, shifted to stay inside."""
        part = self.group.parts[index]
        return index, self._start(row, part.height), self._start(column, part.width)

    def _start(self, centre: int, length: int) -> int:
        return int(min(max(centre - self.crop // 2, 0), max(length - self.crop, 0)))
