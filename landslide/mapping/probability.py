"""Probability and spread of a scene: member by member, row by row, as a running weighted mean and variance.

The mean and the sum of squared deviations lie in flat scratch files beside the result and are read and written by
rows with plain file calls: pages of a memory map would count as resident, these do not.
"""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from landslide.ensemble import observed
from landslide.errors import InputError
from landslide.grid import blocks
from landslide.mapping import PART
from landslide.mapping.windows import probability_rows, starts
from landslide.progress import track
from landslide.raster import BLOCK, cog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from landslide.ensemble import Ensemble, Voter
    from landslide.grid import Roi
    from landslide.mapping import MapOptions
    from landslide.mapping.windows import Read
    from landslide.raster import Reader
    from landslide.stack import Stack

BANDS = ("probability", "spread")


class RowFile:
    """A (height, width) float32 array in a file, read and written by whole rows; zeros before the first write."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._row = width * np.dtype("float32").itemsize
        self._width = width
        self._file = path.open("w+b")
        self._file.truncate(self._row * height)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, rows: slice) -> NDArray[np.float32]:
        """(rows, width), a copy."""
        values = np.empty((rows.stop - rows.start, self._width), "float32")
        self._file.seek(rows.start * self._row)
        self._file.readinto(values.data)
        return values

    def write(self, rows: slice, values: NDArray[np.float32]) -> None:
        """(rows, width) values at the rows."""
        self._file.seek(rows.start * self._row)
        self._file.write(np.ascontiguousarray(values, "float32").data)


class RunningMoments:
    """Weighted mean and standard deviation over members, updated by rows (West 1979, doi:10.1145/359146.359153).

    `squares` holds the weighted sum of squared deviations from the mean so far. Every member must cover all rows once.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        height, width = shape
        self.mean = RowFile(folder / "mean.f32", width, height)
        self.squares = RowFile(folder / "squares.f32", width, height)

    def __enter__(self) -> RunningMoments:
        return self

    def __exit__(self, *_: object) -> None:
        self.mean.close()
        self.squares.close()

    def update(self, rows: slice, values: NDArray[np.float32], weight: float, before: float) -> None:
        """Add one member's rows; `before` is the sum of the weights of the members before it."""
        mean = self.mean.read(rows)
        delta = values - mean
        mean += delta * np.float32(weight / (before + weight))
        self.mean.write(rows, mean)
        if before:
            self.squares.write(rows, self.squares.read(rows) + np.float32(weight) * delta * (values - mean))

    def result(self, rows: slice, total: float) -> NDArray[np.float32]:
        """(2, rows, width): weighted mean, and population standard deviation for the sum of weights `total`."""
        spread = np.sqrt(np.maximum(self.squares.read(rows), 0) / np.float32(total))
        return np.stack([self.mean.read(rows), spread])


def write(stack: Stack, ensemble: Ensemble, path: Path, options: MapOptions, device: str) -> None:
    """The COG of bands `probability` (0-1) and `spread`, float32, NaN where any band of the ensemble is missing."""
    members = [voter for voter in ensemble.info.members if voter.weight > 0]
    if not members:
        raise InputError(f"no member of ensemble {ensemble.info.name} in {ensemble.folder} has a weight. Assemble anew")
    with (
        stack.reader(PART) as reader,
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".moments-") as scratch,
        RunningMoments(Path(scratch), reader.shape) as moments,
    ):
        _average(moments, reader, ensemble, members, options, device)
        total = sum(voter.weight for voter in members)
        with cog(path, reader.geobox, BANDS, "float32", float("nan"), ("1", "1")) as writer:
            for roi, values in _masked(moments, reader, ensemble.info.bands, total):
                writer.write(values, roi)


def _average(
    moments: RunningMoments,
    reader: Reader,
    ensemble: Ensemble,
    members: list[Voter],
    options: MapOptions,
    device: str,
) -> None:
    """Run every member over the scene into the moments."""

    def read(roi: Roi) -> NDArray[np.float32]:
        return ensemble.info.normalisation.apply(reader.read(ensemble.info.bands, roi))

    rows_each = len(starts(reader.shape[0], options.window, options.overlap))
    steps = list(product(range(len(members)), range(rows_each)))
    rows_of_all = _rows(members, ensemble, read, reader.shape, options, device)
    for _, (rows, values, weight, before) in zip(track(steps, "Mapping"), rows_of_all, strict=True):
        moments.update(rows, values, weight, before)


def _rows(
    members: list[Voter], ensemble: Ensemble, read: Read, shape: tuple[int, int], options: MapOptions, device: str
) -> Iterator[tuple[slice, NDArray[np.float32], float, float]]:
    """Every member's rows in turn, with its weight and that of all before it; one network in memory at a time."""
    before = 0.0
    for voter in members:
        network = ensemble.load(voter, device)
        for rows, values in probability_rows(network, read, shape, options.window, options.overlap):
            yield rows, values, voter.weight, before
        before += voter.weight


def _masked(
    moments: RunningMoments, reader: Reader, bands: tuple[str, ...], total: float
) -> Iterator[tuple[Roi, NDArray[np.float32]]]:
    """Blocks of the result, NaN where not observed; the moments are read once a row of blocks."""
    height, width = reader.shape
    for band_of_rows in (slice(row, min(row + BLOCK, height)) for row in range(0, height, BLOCK)):
        values = moments.result(band_of_rows, total)
        for _, columns in blocks((1, width), BLOCK):
            roi = (band_of_rows, columns)
            block = values[:, :, columns]
            yield roi, np.where(observed(reader.read(bands, roi)), block, np.float32("nan"))
