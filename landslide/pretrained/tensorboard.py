"""Scalars of a tag from TensorBoard event files, read without TensorBoard.

A file is a sequence of records: length (uint64), its checksum, data, their checksum, all little-endian; a checksum is a
masked CRC-32C. The data are an `Event` in the protocol buffers wire format, of which these fields are used:
Event.summary 5, Summary.value 1, Value.tag 1, Value.simple_value 2, Value.tensor 8, TensorProto.tensor_content 4,
.float_val 5, .double_val 6.
"""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from landslide.errors import InputError

BEST = "val/f1_best"
MAX_SCALAR_BYTES = 65536  # larger records are images and are skipped
POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), bits reversed
MASK = 0xA282EAD8
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
Field = tuple[int, int, bytes]  # number, wire type, bytes (empty for a varint)

log = logging.getLogger(__name__)


def best_score(folder: Path, tag: str = BEST) -> float:
    """The maximum of a tag over all event files of a folder. A truncated last record is skipped.

    InputError if the folder has no value, or a file is damaged.
    """
    files = sorted(folder.glob("events.out.tfevents.*"))
    values = [value for file in files for value in scalars(file, tag) if not math.isnan(value)]
    if not values:
        raise InputError(
            f"{folder} holds no value of {tag} in {len(files)} event files: the model diverged, or they are not whole. "
            "Unpack its folder again, or leave it out"
        )
    return max(values)


def scalars(path: Path, tag: str) -> list[float]:
    """The values of a tag in order; InputError if the file is damaged."""
    found = []
    try:
        with path.open("rb") as file:
            for data in _records(file, path, tag.encode()):
                found += [value for name, value in _summary(data) if name == tag.encode()]
    except (OSError, struct.error, IndexError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {path}: {error}. Unpack the model's folder again") from error
    return found


def _records(file: BinaryIO, path: Path, wanted: bytes) -> Iterator[bytes]:
    """The data of the records that contain the bytes `wanted`."""
    size, start = path.stat().st_size, 0
    while start + 12 <= size:
        head = file.read(12)
        length, checksum = struct.unpack("<QI", head)
        if checksum != _masked(head[:8]):
            raise InputError(f"{path} is damaged at byte {start}. Unpack the model's folder again")
        start += 16 + length
        if start > size:
            log.warning("%s: the last record is cut off and left out", path)
            return
        if length > MAX_SCALAR_BYTES:
            file.seek(start)
            continue
        data, checksum = file.read(length), int.from_bytes(file.read(4), "little")
        if wanted in data:
            if checksum != _masked(data):
                raise InputError(f"{path} is damaged before byte {start}. Unpack the model's folder again")
            yield data


def _summary(event: bytes) -> Iterator[tuple[bytes, float]]:
    for summary in _each(event, 5):
        for value in _each(summary, 1):
            fields = list(_fields(value))
            tags = [data for number, _, data in fields if number == 1]
            for number, wire, data in fields:
                if number == 2 and wire == FIXED32:
                    yield tags[0], struct.unpack("<f", data)[0]
                elif number == 8 and wire == BYTES:
                    yield from ((tags[0], scalar) for scalar in _tensor(data))


def _tensor(tensor: bytes) -> Iterator[float]:
    """The value of a scalar tensor, stored as content of 4 or 8 bytes or as a list of one float or double."""
    for number, _, data in _fields(tensor):
        if number in (4, 5, 6) and len(data) in (4, 8):
            yield struct.unpack("<f" if len(data) == 4 else "<d", data)[0]


def _each(message: bytes, wanted: int) -> list[bytes]:
    return [data for number, wire, data in _fields(message) if (number, wire) == (wanted, BYTES)]


def _fields(message: bytes) -> Iterator[Field]:
    """The fields of a message; ValueError if one exceeds the message or has an unknown wire type."""
    offset = 0
    while offset < len(message):
        key, offset = _varint(message, offset)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            _, offset = _varint(message, offset)
            yield number, wire, b""
            continue
        if wire == BYTES:
            length, offset = _varint(message, offset)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if offset + length > len(message):
            raise ValueError("a field reaches beyond its message")
        yield number, wire, message[offset : offset + length]
        offset += length


def _varint(message: bytes, offset: int) -> tuple[int, int]:
    """A variable-length integer (seven bits per byte, least significant first) and the offset after it."""
    value = shift = 0
    while True:
        byte = message[offset]
        value |= (byte & 0x7F) << shift
        offset, shift = offset + 1, shift + 7
        if byte < 0x80:
            return value, offset


def _checksums() -> list[int]:
    """The CRC-32C lookup table."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _checksums()


def _masked(data: bytes) -> int:
    """The masked CRC-32C of TensorBoard records: rotated right by 15 bits, plus a constant."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + MASK) & 0xFFFFFFFF
