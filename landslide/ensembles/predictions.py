"""The library of predictions: each member's probability on each case, computed once and stored small.

Two kinds of artifacts. The *truth* of a case and a band set says which pixels count (observed in every band, not marked
to ignore) and in what order: `truth.json`, and for every part `<part>.pixels.npy`, their flat indices (pixel,) uint32,
row × width + column, landslide pixels first and both in reading order. True positives are then what is mapped of the
first so many. A *prediction* of a member and a case is `<part>.npy` for every part: the probabilities (pixel,) float16
in that order, at most 2⁻¹² from what the network said.

Files are read by plain calls, block by block: pages of memory maps would count as resident and keep files open, and
90 members of 20 cases are more than a process may have.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from landslide.artifacts.stage import Artifact, Keyed, NotInKey, Stage
from landslide.datasets.normalisation import Normalisation, observed
from landslide.datasets.stack import IGNORE, open_stack
from landslide.errors import InputError
from landslide.geo.grid import blocks
from landslide.models.member import TrainedMember, load_member

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import nn

    from landslide.artifacts.store import ArtifactStore
    from landslide.datasets.stack import Stack
    from landslide.geo.grid import Roi

TRUTH = "truth.json"
READ = 1024  # side of what is read of a stack at once, in pixels
BLOCK_PIXELS = 2**16  # pixels of a block: with 90 members 12 MB, and its running sum of 256 KiB stays in the cache
THREADS = min(os.cpu_count() or 1, 8)  # each holds a block

Result = TypeVar("Result")


class TruthPart(BaseModel):
    """One scene of a case: its size in pixels, how many of them count, how many of those are landslide."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    height: int
    width: int
    pixels: int
    positives: int


class Truth(BaseModel):
    """`truth.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    bands: tuple[str, ...]
    parts: list[TruthPart]

    @classmethod
    def open(cls, folder: Path) -> Truth:
        """Read `truth.json`; InputError if the folder holds none."""
        try:
            return cls.model_validate_json((folder / TRUTH).read_text())
        except (OSError, ValueError) as error:
            raise InputError(f"{folder / TRUTH} is no truth of a case: {error}. Make it anew") from error


class WriteTruth(Stage):
    """Which pixels of a case count for a band set, and which of them are landslide."""

    name: ClassVar[str] = "truth"
    version: ClassVar[int] = 2
    sources: ClassVar[tuple[str, ...]] = ("landslide.ensembles.predictions", "landslide.datasets.stack")

    stack: Artifact
    bands: tuple[str, ...]

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Write the truth; raises as `write_truth`."""
        write_truth(open_stack(self.stack, store), self.bands, folder)


class PredictCase(Stage):
    """A member's probabilities of a case; `window` and `overlap` are in pixels."""

    name: ClassVar[str] = "predict"
    version: ClassVar[int] = 2
    packages: ClassVar[tuple[str, ...]] = ("torch", "segmentation-models-pytorch")
    sources: ClassVar[tuple[str, ...]] = (
        "landslide.ensembles.predictions", "landslide.models.inference", "landslide.datasets.normalisation",
    )  # fmt: skip

    member: TrainedMember
    stack: Artifact
    truth: Artifact
    normalisation: Normalisation
    window: int
    overlap: int
    device: Annotated[str, NotInKey] = "cpu"

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Run the member over the case; raises as `predict`."""
        network = load_member(self.member.spec, self.member.weights, self.device)
        stack, truth = open_stack(self.stack, store), store.path(self.truth)
        predict(network, stack, truth, self.normalisation, self.window, self.overlap, folder)


class CasePredictions(Keyed):
    """What is stored of one case: its stack, its truth, and the prediction of each member in the order of rank."""

    stack: Artifact
    truth: Artifact
    predictions: tuple[Artifact, ...]


def write_truth(stack: Stack, bands: Sequence[str], folder: Path) -> None:
    """Write the truth of a prepared case; InputError where it has no label, BandError where a band is missing."""
    parts = []
    for part in stack.info.parts:
        label = stack.label(part.name)
        if label is None:
            raise InputError(f"case {stack.info.case.id} has no inventory to score against. Add one, or leave it out")
        counted = np.zeros(label.shape, bool)
        with stack.reader(part.name) as reader:
            for roi in blocks(reader.shape, READ):
                counted[roi] = observed(reader.read(bands, roi)) & (label[roi] != IGNORE)
        order = [np.flatnonzero(counted & side).astype("uint32") for side in (label == 1, label != 1)]
        np.save(folder / f"{part.name}.pixels.npy", np.concatenate(order))
        height, width = label.shape
        pixels = sum(map(len, order))
        parts.append(TruthPart(name=part.name, height=height, width=width, pixels=pixels, positives=len(order[0])))
    truth = Truth(case=stack.info.case.id, bands=tuple(bands), parts=parts)
    (folder / TRUTH).write_text(truth.model_dump_json(indent=1))


def predict(
    network: nn.Module, stack: Stack, truth: Path, normalisation: Normalisation, window: int, overlap: int, folder: Path
) -> None:
    """Write a member's prediction of a case whose truth lies in `truth`; the network is in evaluation mode.

    InputError where it says NaN.
    """
    known = Truth.open(truth)
    for part in known.parts:
        pixels: NDArray[np.uint32] = np.load(truth / f"{part.name}.pixels.npy")
        values = np.empty(part.pixels, "float16")
        for start, probability in _strips(network, stack, known.bands, part, normalisation, window, overlap):
            for side in (slice(0, part.positives), slice(part.positives, None)):
                first, last = np.searchsorted(pixels[side], np.array((start, start + probability.size), "uint32"))
                values[side][first:last] = probability.ravel()[pixels[side][first:last] - np.uint32(start)]
        if np.isnan(values).any():
            raise InputError(f"case {known.case}, {part.name}: the member says NaN. Leave it out, or train it again")
        np.save(folder / f"{part.name}.npy", values)


def _strips(
    network: nn.Module, stack: Stack, bands: Sequence[str], part: TruthPart, normalisation: Normalisation,
    window: int, overlap: int,
) -> Iterator[tuple[int, NDArray[np.float32]]]:  # fmt: skip
    """Flat index of the first pixel, and probabilities (rows, width), from top to bottom."""
    from landslide.models.inference import probability_rows  # torch

    with stack.reader(part.name) as reader:

        def read(roi: Roi) -> NDArray[np.float32]:
            return normalisation.apply(reader.read(bands, roi))

        for rows, probability in probability_rows(network, read, (part.height, part.width), window, overlap):
            yield rows.start * part.width, probability


@dataclass(frozen=True)
class PredictionBlock:
    """Some pixels of one part: `probabilities` (member, pixel) float16, of which the first `positives` are landslide;
    `pixels` (pixel,) uint32 are their flat indices.
    """

    part: TruthPart
    probabilities: NDArray[np.float16]
    pixels: NDArray[np.uint32]
    positives: int

    @property
    def truth(self) -> NDArray[np.bool_]:
        """(pixel,) where there is a landslide."""
        return np.arange(len(self.pixels)) < self.positives


@dataclass(frozen=True)
class _Vector:
    """A one-dimensional .npy file: where its numbers start, in bytes."""

    path: Path
    offset: int

    @classmethod
    def open(cls, path: Path, dtype: str, length: int) -> _Vector:
        try:
            with path.open("rb") as file:
                np.lib.format.read_magic(file)
                shape, _, found = np.lib.format.read_array_header_1_0(file)
                offset, size = file.tell(), os.fstat(file.fileno()).st_size
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read {path}: {error}. Predict again") from error
        if (shape, found, size) != ((length,), np.dtype(dtype), offset + length * found.itemsize):
            raise InputError(f"{path} holds {found} {shape}, the truth says {dtype} ({length},). Predict again")
        return cls(path, offset)

    def read(self, start: int, into: NDArray[np.generic]) -> None:
        """Fill a contiguous array with the numbers from `start` on."""
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset + start * into.itemsize)
            if file.readinto(into.data.cast("B")) != into.nbytes:
                raise InputError(f"{self.path} ended early. Predict again")


@dataclass(frozen=True)
class _SceneFiles:
    part: TruthPart
    pixels: _Vector
    members: tuple[_Vector, ...]

    def read(self, start: int, stop: int) -> PredictionBlock:
        probabilities = np.empty((len(self.members), stop - start), "float16")
        pixels = np.empty(stop - start, "uint32")
        self.pixels.read(start, pixels)
        for row, member in zip(probabilities, self.members, strict=True):
            member.read(start, row)
        return PredictionBlock(self.part, probabilities, pixels, min(max(self.part.positives - start, 0), stop - start))


@dataclass(frozen=True)
class Library:
    """The predictions of several members of several cases; both keep the order in which they were given."""

    members: tuple[str, ...]
    _scenes: dict[str, list[_SceneFiles]]

    @classmethod
    def open(
        cls, members: Sequence[str], truths: Mapping[str, Path], predictions: Mapping[str, Sequence[Path]]
    ) -> Library:
        """From the folders of each case: its truth, and the predictions of each member, in the order of `members`.

        InputError where a member is named twice, or a file is missing or of another truth.
        """
        if len(set(members)) < len(members) or not members:
            raise InputError(f"the members {list(members)} need names, each once. Name every member of the library")
        scenes = {case: _scenes(folder, predictions[case], len(members)) for case, folder in truths.items()}
        return cls(tuple(members), scenes)

    @classmethod
    def of(cls, members: Sequence[str], cases: Mapping[str, CasePredictions], store: ArtifactStore) -> Library:
        """The stored predictions of several cases; `members` are keys in the order of rank."""
        return cls.open(
            members,
            {case: store.path(stored.truth) for case, stored in cases.items()},
            {case: [store.path(one) for one in stored.predictions] for case, stored in cases.items()},
        )

    @property
    def cases(self) -> tuple[str, ...]:
        """The cases' ids."""
        return tuple(self._scenes)

    def parts(self, case: str) -> list[TruthPart]:
        """The scenes of a case."""
        return [scene.part for scene in self._scenes[case]]

    def blocks(self, case: str, size: int = BLOCK_PIXELS) -> Iterator[PredictionBlock]:
        """A case from its first pixel to its last, `size` pixels or fewer at a time, never across parts."""
        for scene, start, stop in self._spans(case, size):
            yield scene.read(start, stop)

    def each(self, case: str, work: Callable[[PredictionBlock], Result], size: int = BLOCK_PIXELS) -> Iterator[Result]:
        """`work` of each block, in their order, by as many threads as there are cores."""
        with ThreadPoolExecutor(THREADS) as pool:
            yield from pool.map(lambda span: work(span[0].read(span[1], span[2])), self._spans(case, size))

    def _spans(self, case: str, size: int) -> list[tuple[_SceneFiles, int, int]]:
        return [
            (scene, start, min(start + size, scene.part.pixels))
            for scene in self._scenes[case]
            for start in range(0, scene.part.pixels, size)
        ]


def _scenes(truth: Path, predictions: Sequence[Path], members: int) -> list[_SceneFiles]:
    if len(predictions) != members:
        raise InputError(f"{truth}: {len(predictions)} predictions of {members} members. Predict the missing ones")
    return [
        _SceneFiles(
            part,
            _Vector.open(truth / f"{part.name}.pixels.npy", "uint32", part.pixels),
            tuple(_Vector.open(folder / f"{part.name}.npy", "float16", part.pixels) for folder in predictions),
        )
        for part in Truth.open(truth).parts
    ]


def single(half: NDArray[np.float16], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Probabilities float16 as float32 of the same shape, exactly; for finite numbers from 0 on alone.

    A float16's exponent and fraction, moved to where a float32 has them, read as the number times 2⁻¹¹² (the biases
    differ by 112), also below the smallest normal one. numpy's own conversion goes number by number, five times slower.
    """
    values = np.empty(half.shape, "float32") if out is None else out
    words = values.view("uint32")
    np.copyto(words, half.view("uint16"))
    np.left_shift(words, np.uint32(13), out=words)
    return np.multiply(values, np.float32(2.0**112), out=values)
