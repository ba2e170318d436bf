"""What TensorBoard's event files tell of a model's validation: the values of one tag, read without TensorBoard.

A file is a row of records: the length (uint64), its checksum, the data, their checksum, all little-endian; a checksum
is a masked CRC-32C. The data of a record are an `Event` in the wire format of protocol buffers, of which these fields
matter: Event.summary 5, Summary.value 1, Value.tag 1, Value.simple_value 2, Value.tensor 8, TensorProto.tensor_content
4, .float_val 5, .double_val 6.
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
LARGEST = 65536  # bytes of a record that may hold a scalar; pictures are passed over
POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
MASK = 0xA282EAD8
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types
Field = tuple[int, int, bytes]  # number, wire type, and the bytes of what is not a varint

log = logging.getLogger(__name__)


def best_score(folder: Path, tag: str = BEST) -> float:
    """The greatest value of a tag in all event files of a folder; InputError if there is none, or one is damaged.

    A last record that was cut off, as when a run was killed, is left out.
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
    """The values of a tag in the order written; InputError if the file is damaged."""
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
    """The data of the records that hold the bytes `wanted`."""
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
        if length > LARGEST:
            file.seek(start)
            continue
        data, checksum = file.read(length), int.from_bytes(file.read(4), "little")
        if wanted in data:
            if checksum != _masked(data):
                raise InputError(f"{path} is damaged before byte {start}. Unpack the model's folder again")
            yield data


def _summary(event: bytes) -> Iterator[tuple[bytes, float]]:
    """Tag and number of each scalar in an event."""
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
    """The number in a tensor of one number: as its content, 4 or 8 bytes, or as a list of float or of double."""
    for number, _, data in _fields(tensor):
        if number in (4, 5, 6) and len(data) in (4, 8):
            yield struct.unpack("<f" if len(data) == 4 else "<d", data)[0]


def _each(message: bytes, wanted: int) -> list[bytes]:
    return [data for number, wire, data in _fields(message) if (number, wire) == (wanted, BYTES)]


def _fields(message: bytes) -> Iterator[Field]:
    """The fields of a message; ValueError if one reaches beyond its end or has a wire type that is none."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            _, place = _varint(message, place)
            yield number, wire, b""
            continue
        if wire == BYTES:
            length, place = _varint(message, place)
        elif wire in (FIXED32, FIXED64):
            length = 4 if wire == FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire}")
        if place + length > len(message):
            raise ValueError("a field reaches beyond its message")
        yield number, wire, message[place : place + length]
        place += length


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, least first, and the place after it."""
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _checksums() -> list[int]:
    """CRC-32C of each byte."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _checksums()


def _masked(data: bytes) -> int:
    """CRC-32C, turned by 15 bits and shifted, as the records have it."""
    value = 0xFFFFFFFF
    for byte in data:
        value = _TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + MASK) & 0xFFFFFFFF
