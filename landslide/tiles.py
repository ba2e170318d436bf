"""The training store and its sampler.

`Tiles` is a folder of uncompressed arrays, one part of a case each, opened as memory maps by any number of processes:
`<case>/<part>.values.npy` float32 (band, y, x), NaN = not observed; `.label.npy` uint8 (y, x), 255 = ignore;
`.anchors.npy` int32 (n, 2), row and column of every landslide pixel. `tiles.json` holds the statistics, which come
from the training cases alone. A crop costs what the crop weighs, whatever the size of its scene.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from landslide.bands import BANDS, positions
from landslide.ensemble import Normalisation, observed
from landslide.errors import BandError, TrainingError
from landslide.grid import blocks
from landslide.progress import track
from landslide.stack import IGNORE, Stack
from landslide.store import Request

Kind = TypeVar("Kind", bound=np.generic)

VERSION = 1
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
class Picture:
    """One part, memory-mapped: `values` (band, y, x), `label` (y, x), `anchors` (n, 2)."""

    values: NDArray[np.float32]
    label: NDArray[np.uint8]
    anchors: NDArray[np.int32]


@dataclass(frozen=True)
class Tiles:
    """The training store on disk."""

    folder: Path

    @cached_property
    def info(self) -> TilesInfo:
        """What `tiles.json` says."""
        return TilesInfo.model_validate_json((self.folder / FILE).read_text())

    def normalisation(self, bands: Sequence[str]) -> Normalisation:
        """Statistics of the training cases for a band set, in its order."""
        moments = [self.info.moments[band] for band in bands]
        return Normalisation(mean=tuple(m.mean for m in moments), std=tuple(m.std for m in moments))

    def pictures(self, role: str) -> list[Picture]:
        """The parts of a role, in the order of the cases."""
        return [self._picture(part) for part in self.info.parts if part.role == role]

    def _picture(self, part: TilePart) -> Picture:
        stem = self.folder / part.case / part.part
        values, label, anchors = (
            np.load(f"{stem}.{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("values", "label", "anchors")
        )
        return Picture(values, label, anchors)


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
    jobs = [(role, stack, part.name) for role, group in stacks.items() for stack in group for part in stack.info.parts]
    moments = {band: Moments() for band in bands}
    parts = []
    for role, stack, name in track(jobs, "Cutting tiles"):
        parts.append(_write_part(role, stack, name, bands, moments, folder))
    _refuse_unusable(parts, moments)
    cases = {role: [stack.info.case.id for stack in group] for role, group in stacks.items()}
    info = TilesInfo(bands=tuple(bands), cases=cases, moments=moments, parts=parts)
    (folder / FILE).write_text(info.model_dump_json(indent=1))


def _write_part(
    role: str, stack: Stack, name: str, bands: Sequence[str], moments: dict[str, Moments], folder: Path
) -> TilePart:
    case = stack.info.case.id
    label = stack.label(name)
    if label is None:
        raise TrainingError(f"case {case} has the role {role} but no label. Give it an inventory, or the role map")
    stem = folder / case / name
    stem.parent.mkdir(exist_ok=True)
    with stack.reader(name) as reader:
        shape = (len(bands), *reader.shape)
        values = np.lib.format.open_memmap(f"{stem}.values.npy", "w+", "float32", shape)
        for roi in blocks(reader.shape, BLOCK):
            values[:, *roi] = block = reader.read(bands, roi)
            if role == "train":
                moments |= {band: moments[band].add(plane) for band, plane in zip(bands, block, strict=True)}
    values.flush()
    anchors = np.argwhere(label == 1).astype("int32")
    np.save(f"{stem}.label.npy", label)
    np.save(f"{stem}.anchors.npy", anchors)
    return TilePart(case=case, part=name, role=role, height=shape[1], width=shape[2], anchors=len(anchors))


def _refuse_unusable(parts: list[TilePart], moments: dict[str, Moments]) -> None:
    for role in ("train", "validation"):
        if not any(part.anchors for part in parts if part.role == role):
            cases = sorted({part.case for part in parts if part.role == role})
            raise TrainingError(f"the {role} cases {cases} hold no landslide pixel. Check their inventories and areas")
    if blind := [band for band, moment in moments.items() if not moment.count]:
        raise BandError(f"the training cases have no value at all in {blind}. Leave these bands out of the band sets")


@dataclass(frozen=True)
class Batch:
    """`values` float32 (n, band, y, x), z-scores, 0 where missing; `target` float32 and `valid` bool (n, 1, y, x)."""

    values: NDArray[np.float32]
    target: NDArray[np.float32]
    valid: NDArray[np.bool_]


@dataclass(frozen=True)
class Sampler:
    """Crops around landslide pixels, and a share `background` of crops without any, in the eight symmetries."""

    tiles: Tiles
    bands: tuple[str, ...]
    crop: int
    background: float = 0.0

    @cached_property
    def _pictures(self) -> list[Picture]:
        return self.tiles.pictures("train")

    @cached_property
    def _anchored(self) -> list[Picture]:
        return [picture for picture in self._pictures if len(picture.anchors)]

    @cached_property
    def _bands(self) -> list[int]:
        return positions(self.bands, self.tiles.info.bands, str(self.tiles.folder))

    def batches(self, samples: int, size: int, seed: Sequence[int]) -> Iterator[Batch]:
        """At least `samples` crops in full batches of `size`; the same seed gives the same crops."""
        random = np.random.default_rng(seed)
        for _ in range(-(-samples // size)):
            yield self._batch([self._sample(random) for _ in range(size)])

    def _batch(self, samples: list[tuple[NDArray[np.float32], NDArray[np.uint8]]]) -> Batch:
        normalisation = self.tiles.normalisation(self.bands)
        values = np.stack([normalisation.apply(values) for values, _ in samples])
        label = np.stack([label for _, label in samples])
        seen = np.stack([observed(values) for values, _ in samples])
        return Batch(values, (label == 1).astype("float32")[:, None], ((label != IGNORE) & seen)[:, None])

    def _sample(self, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        draw = self._empty_crop if random.random() < self.background else self._landslide_crop
        picture, row, column = draw(random)
        part = (_around(row, self.crop, picture.label.shape[0]), _around(column, self.crop, picture.label.shape[1]))
        values = _padded(np.stack([picture.values[band][part] for band in self._bands]), self.crop, np.nan)
        label = _padded(picture.label[part], self.crop, IGNORE)
        symmetry = int(random.integers(8))
        return turn(values, self.bands, symmetry), turn_picture(label, symmetry)

    def _landslide_crop(self, random: np.random.Generator) -> tuple[Picture, int, int]:
        picture = self._anchored[random.integers(len(self._anchored))]
        row, column = picture.anchors[random.integers(len(picture.anchors))]
        return picture, int(row), int(column)

    def _empty_crop(self, random: np.random.Generator) -> tuple[Picture, int, int]:
        for _ in range(TRIES):
            picture = self._pictures[random.integers(len(self._pictures))]
            height, width = picture.label.shape
            row, column = int(random.integers(height)), int(random.integers(width))
            part = picture.label[_around(row, self.crop, height), _around(column, self.crop, width)]
            if not (part == 1).any():
                break
        return picture, row, column


def _around(centre: int, crop: int, length: int) -> slice:
    """A crop centred on a pixel, shifted to stay inside."""
    start = min(max(centre - crop // 2, 0), max(length - crop, 0))
    return slice(start, min(start + crop, length))


def _padded(values: NDArray[Kind], crop: int, fill: float) -> NDArray[Kind]:
    """Crops of parts smaller than the crop are filled up at the far sides: not observed, not scored."""
    missing = [(0, 0)] * (values.ndim - 2) + [(0, crop - side) for side in values.shape[-2:]]
    return np.pad(values, missing, constant_values=fill) if any(after for _, after in missing) else values


def turn_picture(values: NDArray[Kind], symmetry: int) -> NDArray[Kind]:
    """One of the eight symmetries of the square on the last two axes: bit 0 transposes, 1 flips rows, 2 columns."""
    if symmetry & 1:
        values = values.swapaxes(-1, -2)
    if symmetry & 2:
        values = values[..., ::-1, :]
    return values[..., ::-1] if symmetry & 4 else values


def turn(values: NDArray[np.float32], bands: Sequence[str], symmetry: int) -> NDArray[np.float32]:
    """`turn_picture` of (band, y, x), with the components of directions turned as the picture is.

    Rows run south. Flipping rows negates northward components, flipping columns eastward ones, and transposing maps
    (north, east) to (−east, −north), so both bands of a direction have to be there.
    """
    turned = turn_picture(values, symmetry).copy()
    north = [i for i, band in enumerate(bands) if BANDS[band].symmetry == "north"]
    east = [i for i, band in enumerate(bands) if BANDS[band].symmetry == "east"]
    if symmetry & 1:
        if len(north) != len(east):
            raise BandError(f"band set {list(bands)} holds one component of a direction without the other; add it")
        turned[north + east] = -turned[east + north]
    if symmetry & 2:
        turned[north] *= -1
    if symmetry & 4:
        turned[east] *= -1
    return turned
