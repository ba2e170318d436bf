"""Types of pixels: a precision and, for integers, the range that decides how they are stored."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Precision = Literal["int", "float", "double"]
ORDER: tuple[Precision, ...] = ("int", "float", "double")
STORED = ("u1", "i1", "u2", "i2", "u4", "i4", "i8")


@dataclass(frozen=True)
class PixelType:
    """`low` and `high` are None where nothing is known of the range."""

    precision: Precision
    low: float | None = None
    high: float | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type that holds the range, little endian."""
        if self.precision != "int":
            return np.dtype("<f4" if self.precision == "float" else "<f8")
        low, high = (-(2**31), 2**31 - 1) if self.low is None or self.high is None else (self.low, self.high)
        for code in STORED:
            limits = np.iinfo(code)
            if limits.min <= low and high <= limits.max:
                return np.dtype(code).newbyteorder("<")
        return np.dtype("<i8")

    @property
    def integral(self) -> bool:
        return self.precision == "int"

    def describe(self) -> dict[str, Any]:
        """As getInfo tells it."""
        told: dict[str, Any] = {"type": "PixelType", "precision": self.precision}
        if self.low is not None and self.high is not None:
            told |= {"min": _plain(self.low), "max": _plain(self.high)}
        return told


def whole(dtype: str) -> PixelType:
    """The type of all integers of a numpy dtype."""
    limits = np.iinfo(dtype)
    return PixelType("int", int(limits.min), int(limits.max))


UINT8, INT8, UINT16, INT16 = whole("u1"), whole("i1"), whole("u2"), whole("i2")
UINT32, INT32, INT64 = whole("u4"), whole("i4"), whole("i8")
FLOAT, DOUBLE, BOOLEAN = PixelType("float"), PixelType("double"), PixelType("int", 0, 1)


def union(*types: PixelType) -> PixelType:
    """The type that holds the values of all."""
    precision = ORDER[max(ORDER.index(kind.precision) for kind in types)]
    lows, highs = [kind.low for kind in types], [kind.high for kind in types]
    if any(edge is None for edge in (*lows, *highs)):
        return PixelType(precision)
    return PixelType(precision, min(low for low in lows if low is not None), max(h for h in highs if h is not None))


def computed(*types: PixelType) -> PixelType:
    """The type of sums, differences and products: integers stay integers, with room to grow."""
    precision = union(*types).precision
    if precision != "int":
        return PixelType(precision)
    return INT64 if any(kind.dtype.itemsize > 4 for kind in types) else INT32


def fractional(*types: PixelType) -> PixelType:
    """The type of quotients and transcendental functions: double where an operand is, else float."""
    return DOUBLE if any(kind.precision == "double" for kind in types) else FLOAT


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else value
