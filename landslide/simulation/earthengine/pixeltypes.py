"""Pixel types: a precision and, for integers, the range that determines the dtype."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Precision = Literal["int", "float", "double"]
ORDER: tuple[Precision, ...] = ("int", "float", "double")
INTEGER_CODES = ("u1", "i1", "u2", "i2", "u4", "i4", "i8")


@dataclass(frozen=True)
class PixelType:
    """The type of a band's pixels; `low` and `high` are None if the range is unknown."""

    precision: Precision
    low: float | None = None
    high: float | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest little-endian dtype that holds the range."""
        if self.precision != "int":
            return np.dtype("<f4" if self.precision == "float" else "<f8")
        low, high = (-(2**31), 2**31 - 1) if self.low is None or self.high is None else (self.low, self.high)
        for code in INTEGER_CODES:
            limits = np.iinfo(code)
            if limits.min <= low and high <= limits.max:
                return np.dtype(code).newbyteorder("<")
        return np.dtype("<i8")

    @property
    def is_integer(self) -> bool:
        return self.precision == "int"

    def describe(self) -> dict[str, Any]:
        """The type as getInfo returns it."""
        description: dict[str, Any] = {"type": "PixelType", "precision": self.precision}
        if self.low is not None and self.high is not None:
            description |= {"min": _as_number(self.low), "max": _as_number(self.high)}
        return description


def full_range(dtype: str) -> PixelType:
    """The integer type with the range of a numpy dtype."""
    limits = np.iinfo(dtype)
    return PixelType("int", int(limits.min), int(limits.max))


UINT8, INT8, UINT16, INT16 = full_range("u1"), full_range("i1"), full_range("u2"), full_range("i2")
UINT32, INT32, INT64 = full_range("u4"), full_range("i4"), full_range("i8")
FLOAT, DOUBLE, BOOLEAN = PixelType("float"), PixelType("double"), PixelType("int", 0, 1)


def union(*types: PixelType) -> PixelType:
    """The type that holds the values of all types."""
    precision = ORDER[max(ORDER.index(kind.precision) for kind in types)]
    lows, highs = [kind.low for kind in types], [kind.high for kind in types]
    if any(edge is None for edge in (*lows, *highs)):
        return PixelType(precision)
    return PixelType(precision, min(low for low in lows if low is not None), max(h for h in highs if h is not None))


def arithmetic_type(*types: PixelType) -> PixelType:
    """The type of sums, differences and products: of integers int32, or int64 if an operand is wider than 32 bits."""
    precision = union(*types).precision
    if precision != "int":
        return PixelType(precision)
    return INT64 if any(kind.dtype.itemsize > 4 for kind in types) else INT32


def floating_type(*types: PixelType) -> PixelType:
    """The type of quotients and transcendental functions: double if an operand is double, else float."""
    return DOUBLE if any(kind.precision == "double" for kind in types) else FLOAT


def _as_number(value: float) -> float:
    return int(value) if float(value).is_integer() else value
