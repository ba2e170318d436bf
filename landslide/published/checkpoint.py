"""Checkpoints of PyTorch: zip archives of a pickle, `data.pkl`, and a file of numbers a storage, `data/<key>`.

The pickle is read by `unpickle`; of the numbers only those of the network's weights are, once their shapes are known to
be right. `torch.save` compresses nothing, so what an archive claims to hold cannot be more than the file is long.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from landslide.errors import InputError
from landslide.published.unpickle import AGAIN, TensorInfo, unpickle

PICKLE, STATE, PREFIX = "data.pkl", "state_dict", "net."
LONGEST = 2 * 2**20  # bytes of a pickle; honest ones have a quarter of a MiB
ENCRYPTED = 1  # the flag of a member
DAMAGE = (BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError)


class Checkpoint:
    """An open checkpoint. `weights`: by name, without the prefix `net.`, what the network's tensors are."""

    def __init__(self, path: Path, archive: ZipFile) -> None:
        self.path = path
        self._archive = archive
        self._members = _members(path, archive)
        self._root = _root(path, self._members)
        self.weights = _weights(path, unpickle(self._bytes(PICKLE, LONGEST), path))

    def read(self, tensor: TensorInfo) -> NDArray[np.generic]:
        """A tensor's numbers, contiguous. InputError if its file is missing, damaged or of another length."""
        storage = tensor.storage
        dtype = np.dtype(storage.dtype).newbyteorder("<")
        data = self._bytes(f"data/{storage.key}", storage.length * dtype.itemsize)
        if len(data) != storage.length * dtype.itemsize:
            raise InputError(
                f"{self.path}: data/{storage.key} has {len(data)} bytes, not {storage.length} of {dtype.name}. {AGAIN}"
            )
        strides = tuple(step * dtype.itemsize for step in tensor.strides)
        view = np.ndarray(tensor.shape, dtype, data, tensor.offset * dtype.itemsize, strides)
        return view.astype(dtype.newbyteorder("="), order="C")

    def _bytes(self, name: str, most: int) -> bytes:
        member = self._members.get(self._root + name)
        if member is None:
            raise InputError(f"{self.path} holds no {name}. {AGAIN}")
        if member.file_size > most:
            raise InputError(f"{self.path}: {name} has {member.file_size} bytes, more than {most}. {AGAIN}")
        with _damage(self.path):
            return self._archive.read(member)


@contextmanager
def opened(path: Path) -> Iterator[Checkpoint]:
    """A checkpoint, open for the block; InputError if it is none, is damaged, or holds what it should not."""
    with _damage(path):
        archive = ZipFile(path)
    with archive:
        yield Checkpoint(path, archive)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise InputError(f"{path} is no whole checkpoint of PyTorch 1.6 or later: {error}. {AGAIN}") from error


def _members(path: Path, archive: ZipFile) -> dict[str, ZipInfo]:
    """By name. InputError for a name that leads out of a folder, and for more bytes than the file has."""
    members = archive.infolist()
    for member in members:
        name = PurePosixPath(member.orig_filename)
        if name.is_absolute() or ".." in name.parts or not set("\\:\0").isdisjoint(member.orig_filename):
            raise InputError(f"{path} holds {member.orig_filename!a}, a name that leads out of a folder. {AGAIN}")
        if member.compress_type != ZIP_STORED or member.flag_bits & ENCRYPTED:
            raise InputError(f"{path}: {member.orig_filename!a} is compressed or encrypted. {AGAIN}")
    claimed, there = sum(member.file_size for member in members), path.stat().st_size
    if claimed > there:
        raise InputError(f"{path} claims to hold {claimed} bytes but has {there}. {AGAIN}")
    return {member.filename: member for member in members}


def _root(path: Path, members: dict[str, ZipInfo]) -> str:
    """The one folder in which all lies, with its slash."""
    roots = [name.removesuffix(PICKLE) for name in members if PurePosixPath(name).name == PICKLE]
    if len(roots) != 1:
        raise InputError(f"{path} holds {len(roots)} files {PICKLE} instead of one. {AGAIN}")
    order = members.get(f"{roots[0]}byteorder")
    if order is not None and order.file_size != len("little"):
        raise InputError(f"{path} was written on a big-endian machine. {AGAIN}")
    return roots[0]


def _weights(path: Path, content: object) -> dict[str, TensorInfo]:
    state = content.get(STATE) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise InputError(f"{path} holds no {STATE}. Give checkpoints as Lightning writes them. {AGAIN}")
    names = [name for name in state if isinstance(name, str) and name.startswith(PREFIX)]
    strange = [name for name in names if not isinstance(state[name], TensorInfo)]
    if strange or not names:
        raise InputError(f"{path}: {STATE} holds no tensor for {strange or PREFIX!a}. {AGAIN}")
    return {name.removeprefix(PREFIX): state[name] for name in names}
