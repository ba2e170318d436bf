"""Probability and its uncertainty in a scene: member by member, row by row, as running weighted means and a variance.

They lie in flat scratch files beside the result and are read and written by rows with plain file calls: pages of a
memory map would count as resident, these do not.
"""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr

from landslide.datasets.normalisation import observed
from landslide.ensembles.scale import bounded, inverse_link, link
from landslide.errors import InputError
from landslide.geo.grid import blocks
from landslide.geo.raster import BLOCK_SIDE, cog
from landslide.mapping.summary import PART
from landslide.models.inference import probability_rows, starts
from landslide.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from landslide.datasets.stack import Stack, StackReader
    from landslide.ensembles.ensemble import Ensemble, EnsembleMember
    from landslide.ensembles.scale import Scale
    from landslide.geo.grid import Roi
    from landslide.mapping.summary import MapOptions
    from landslide.models.inference import Read

BANDS = ("probability", "spread", "mutual_information")
UNITS = ("1", "1", "bit")


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
    """What all members say together, updated by rows; every member must cover all rows once.

    `mean` is of probabilities, `squares` the weighted sum of their squared deviations from it so far (West 1979,
    doi:10.1145/359146.359153), `entropy` the mean of their entropies; `linked` the mean of what is averaged, where
    those are logits.
    """

    def __init__(self, folder: Path, shape: tuple[int, int], scale: Scale = "probability") -> None:
        height, width = shape
        self._scale: Scale = scale
        names = ("mean", "squares", "entropy") if scale == "probability" else ("mean", "squares", "entropy", "linked")
        self._scales: dict[str, Scale] = {"mean": "probability", "linked": "logit"}
        self._files = {name: RowFile(folder / f"{name}.f32", width, height) for name in names}

    def __enter__(self) -> RunningMoments:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    def update(self, rows: slice, values: NDArray[np.float32], weight: float, before: float) -> None:
        """Add one member's rows of probabilities; `before` is the sum of the weights of the members before it."""
        share, squares = np.float32(weight / (before + weight)), self._files["squares"]
        delta = values - self._files["mean"].read(rows)
        mean = self._advance("mean", rows, values, share)
        if before:
            squares.write(rows, squares.read(rows) + np.float32(weight) * delta * (values - mean))
        self._advance("entropy", rows, entropy(values), share)
        if "linked" in self._files:
            self._advance("linked", rows, link(values, self._scale), share)

    def _advance(self, name: str, rows: slice, values: NDArray[np.floating], share: np.float32) -> NDArray[np.float32]:
        mean = self._files[name].read(rows)
        mean += (values - mean) * share
        if name in self._scales:
            mean = bounded(mean, self._scales[name])
        self._files[name].write(rows, mean)
        return mean

    def result(self, rows: slice, total: float) -> NDArray[np.float32]:
        """(3, rows, width): weighted mean, and, over members, population standard deviation for the sum of weights
        `total`, and mutual information in bits: entropy of the mean less the mean of entropies. That is the knowledge
        (epistemic) part of the uncertainty, what seeing the right member would tell of the pixel (Depeweg et al. 2018,
        Decomposition of Uncertainty; Smith and Gal 2018, Understanding Measures of Uncertainty).
        """
        mean = self._files["mean"].read(rows)
        spread = np.sqrt(np.maximum(self._files["squares"].read(rows), 0) / np.float32(total))
        information = np.maximum(entropy(mean) - self._files["entropy"].read(rows), 0)
        linked = self._files["linked"].read(rows) if "linked" in self._files else mean
        return np.stack([inverse_link(linked, self._scale), spread, information])


def entropy(probability: NDArray[np.floating]) -> NDArray[np.floating]:
    """Bits of a yes or no, −p log₂ p − (1 − p) log₂ (1 − p), in the shape and precision given; 0 at 0 and at 1."""
    values = np.clip(probability, 0, 1)  # weights that sum to 1 in float32 do so within rounding
    return np.asarray((entr(values) + entr(1 - values)) / np.log(2).astype(values.dtype))


def write(stack: Stack, ensemble: Ensemble, path: Path, options: MapOptions, device: str) -> None:
    """The COG of `BANDS`, float32, NaN where any band of the ensemble is missing.

    `probability` (0-1) is calibrated; `spread` and `mutual_information` are of the members as they are.
    """
    members = [voter for voter in ensemble.info.members if voter.weight > 0]
    if not members:
        raise InputError(f"no member of ensemble {ensemble.info.name} in {ensemble.folder} has a weight. Assemble anew")
    with (
        stack.reader(PART) as reader,
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".moments-") as scratch,
        RunningMoments(Path(scratch), reader.shape, ensemble.info.scale) as moments,
    ):
        _average(moments, reader, ensemble, members, options, device)
        total = sum(voter.weight for voter in members)
        with cog(path, reader.geobox, BANDS, "float32", float("nan"), UNITS) as writer:
            for roi, values in _masked(moments, reader, ensemble.info.bands, total):
                if ensemble.info.calibration is not None:
                    values[0] = ensemble.info.calibration.apply(values[0])
                writer.write(values, roi)


def _average(
    moments: RunningMoments,
    reader: StackReader,
    ensemble: Ensemble,
    members: list[EnsembleMember],
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
    members: list[EnsembleMember],
    ensemble: Ensemble,
    read: Read,
    shape: tuple[int, int],
    options: MapOptions,
    device: str,
) -> Iterator[tuple[slice, NDArray[np.float32], float, float]]:
    """Every member's rows in turn, with its weight and that of all before it; one network in memory at a time."""
    before = 0.0
    for voter in members:
        network = ensemble.load(voter, device)
        for rows, values in probability_rows(network, read, shape, options.window, options.overlap, options.precision):
            yield rows, values, voter.weight, before
        before += voter.weight


def _masked(
    moments: RunningMoments, reader: StackReader, bands: tuple[str, ...], total: float
) -> Iterator[tuple[Roi, NDArray[np.float32]]]:
    """Blocks of the result, NaN where not observed; the moments are read once a row of blocks."""
    height, width = reader.shape
    for band_of_rows in (slice(row, min(row + BLOCK_SIDE, height)) for row in range(0, height, BLOCK_SIDE)):
        values = moments.result(band_of_rows, total)
        for _, columns in blocks((1, width), BLOCK_SIDE):
            roi = (band_of_rows, columns)
            block = values[:, :, columns]
            yield roi, np.where(observed(reader.read(bands, roi)), block, np.float32("nan"))
