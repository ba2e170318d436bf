"""PyTorch checkpoints: zip archives of a pickle, `data.pkl`, and one file of numbers for each storage, `data/<key>`.

The pickle is read by `unpickle`. Only the numbers of the network's weights are read, after their shapes are checked.
`torch.save` compresses nothing, so an archive whose files are larger than itself is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from landslide.errors import InputError
from landslide.pretrained.unpickle import NEXT_STEP, TensorInfo, unpickle

PICKLE, STATE, PREFIX = "data.pkl", "state_dict", "net."
MAX_PICKLE_BYTES = 2 * 2**20  # the pickles of the published models have a quarter of a MiB
ENCRYPTED = 1  # bit of a zip entry's flags
READ_ERRORS = (BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError)


class Checkpoint:
    """An open checkpoint. `weights` are the network's tensors by name, without the prefix `net.`."""

    def __init__(self, path: Path, archive: ZipFile) -> None:
        self.path = path
        self._archive = archive
        self._entries = _entries(path, archive)
        self._root = _root(path, self._entries)
        self.weights = _weights(path, unpickle(self._bytes(PICKLE, MAX_PICKLE_BYTES), path))

    def read(self, tensor: TensorInfo) -> NDArray[np.generic]:
        """A tensor as a contiguous array. Raises InputError if its file is missing, damaged or of another length."""
        storage = tensor.storage
        dtype = np.dtype(storage.dtype).newbyteorder("<")
        data = self._bytes(f"data/{storage.key}", storage.length * dtype.itemsize)
        if len(data) != storage.length * dtype.itemsize:
            raise InputError(
                f"{self.path}: data/{storage.key} has {len(data)} bytes, not {storage.length} of {dtype.name}. "
                f"{NEXT_STEP}"
            )
        strides = tuple(step * dtype.itemsize for step in tensor.strides)
        view = np.ndarray(tensor.shape, dtype, data, tensor.offset * dtype.itemsize, strides)
        return view.astype(dtype.newbyteorder("="), order="C")

    def _bytes(self, name: str, max_bytes: int) -> bytes:
        entry = self._entries.get(self._root + name)
        if entry is None:
            raise InputError(f"{self.path} has no {name}. {NEXT_STEP}")
        if entry.file_size > max_bytes:
            raise InputError(f"{self.path}: {name} has {entry.file_size} bytes, more than {max_bytes}. {NEXT_STEP}")
        with _read_errors(self.path):
            return self._archive.read(entry)


@contextmanager
def open_checkpoint(path: Path) -> Iterator[Checkpoint]:
    """Open a checkpoint for the block. Raises InputError if it is damaged or contains something unexpected."""
    with _read_errors(path):
        archive = ZipFile(path)
    with archive:
        yield Checkpoint(path, archive)


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except READ_ERRORS as error:
        raise InputError(
            f"{path} is not a complete checkpoint of PyTorch 1.6 or later: {error}. {NEXT_STEP}"
        ) from error


def _entries(path: Path, archive: ZipFile) -> dict[str, ZipInfo]:
    """The archive's entries by name.

    Raises InputError for a name that leads out of its folder, a compressed entry, or more bytes than the archive has.
    """
    entries = archive.infolist()
    for entry in entries:
        name = PurePosixPath(entry.orig_filename)
        if name.is_absolute() or ".." in name.parts or not set("\\:\0").isdisjoint(entry.orig_filename):
            raise InputError(
                f"{path} has the entry {entry.orig_filename!a}, which leads out of its folder. {NEXT_STEP}"
            )
        if entry.compress_type != ZIP_STORED or entry.flag_bits & ENCRYPTED:
            raise InputError(f"{path}: {entry.orig_filename!a} is compressed or encrypted. {NEXT_STEP}")
    total, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if total > size:
        raise InputError(f"{path} claims to contain {total} bytes but has {size}. {NEXT_STEP}")
    return {entry.filename: entry for entry in entries}


def _root(path: Path, entries: dict[str, ZipInfo]) -> str:
    """The only top folder of the archive, with a slash."""
    roots = [name.removesuffix(PICKLE) for name in entries if PurePosixPath(name).name == PICKLE]
    if len(roots) != 1:
        raise InputError(f"{path} has {len(roots)} files {PICKLE} instead of one. {NEXT_STEP}")
    order = entries.get(f"{roots[0]}byteorder")
    if order is not None and order.file_size != len("little"):
        raise InputError(f"{path} was written on a big-endian machine. {NEXT_STEP}")
    return roots[0]


def _weights(path: Path, content: object) -> dict[str, TensorInfo]:
    state = content.get(STATE) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise InputError(f"{path} has no {STATE}. Give checkpoints as Lightning writes them. {NEXT_STEP}")
    names = [name for name in state if isinstance(name, str) and name.startswith(PREFIX)]
    invalid = [name for name in names if not isinstance(state[name], TensorInfo)]
    if invalid or not names:
        raise InputError(f"{path}: {STATE} has no tensor for {invalid or PREFIX!a}. {NEXT_STEP}")
    return {name.removeprefix(PREFIX): state[name] for name in names}
