"""Reducers: many values to one, for pixels (stacks with masks) and for lists."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ApiError, not_imitated
from ..pixels import Array, Flags
from ..pixeltypes import BOOLEAN, DOUBLE, INT32, PixelType, computed
from ..registry import algorithm

Stat = Callable[[Array, Flags], tuple[Array, Any]]
Typing = Callable[[PixelType], PixelType]


@dataclass(frozen=True, eq=False)
class Reducer:
    """`stats` gives for each output a function of a stack (value, ...) and its masks, and the type that comes of it.

    `collect` is what a list of values becomes instead, for reducers that are none of numbers; `width` how many inputs
    it takes at once (`repeat`).
    """

    stats: Mapping[str, tuple[Stat, Typing]]
    collect: Callable[[list[Any]], Any] | None = None
    width: int = 1
    repeated: bool = False

    @property
    def outputs(self) -> list[str]:
        return list(self.stats)

    def stack(self, output: str, values: Array, masks: Flags) -> tuple[Array, Any]:
        """One output of a stack over its first axis."""
        return self.stats[output][0](values, masks)

    def type_of(self, output: str, kind: PixelType) -> PixelType:
        return self.stats[output][1](kind)

    def of_list(self, values: list[Any]) -> dict[str, Any]:
        """Every output of a list; nulls are left out, an empty list gives nulls."""
        if self.collect is not None:
            return {name: self.collect(values) for name in self.stats}
        known = [value for value in values if value is not None]
        if not all(isinstance(value, bool | int | float) for value in known):
            raise ApiError("Reducer: the inputs must be numbers.")
        return {name: self._single(name, known) for name in self.stats}

    def _single(self, output: str, known: list[float]) -> float | None:
        if not known:
            return 0 if output in ("count", "sum") else None
        values, mask = self.stack(output, np.asarray(known, np.float64), np.ones(len(known), bool))
        return plain(float(values)) if bool(mask) else None


def plain(value: float) -> float:
    """Integral numbers as integers."""
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else value


def _averaged(kind: PixelType) -> PixelType:
    return DOUBLE if kind.integral else PixelType(kind.precision)


def _same(kind: PixelType) -> PixelType:
    return kind


def _double(kind: PixelType) -> PixelType:
    return DOUBLE


def _count_type(kind: PixelType) -> PixelType:
    return INT32


def mean(values: Array, masks: Flags) -> tuple[Array, Any]:
    """The mean, in double precision."""
    count = masks.sum(0)
    return np.where(masks, values, 0).sum(0, dtype=np.float64) / np.maximum(count, 1), count > 0


def total(values: Array, masks: Flags) -> tuple[Array, Any]:
    """The sum."""
    dtype = np.float64 if values.dtype.kind == "f" else np.int64
    return np.where(masks, values, 0).sum(0, dtype=dtype), masks.any(0)


def product(values: Array, masks: Flags) -> tuple[Array, Any]:
    """The product."""
    return np.where(masks, values, 1).prod(0, dtype=np.float64), masks.any(0)


def count(values: Array, masks: Flags) -> tuple[Array, Any]:
    """Never masked."""
    counted = masks.sum(0, dtype=np.int32)
    return counted, np.ones(np.shape(counted), bool)


def median(values: Array, masks: Flags) -> tuple[Array, Any]:
    """The middle value, or the mean of the two middle ones."""
    return quantiles(values, masks, 0.5)


def quantiles(values: Array, masks: Flags, share: float) -> tuple[Array, Any]:
    """The value below which a share lies, linear between neighbours in order."""
    ordered = np.sort(np.where(masks, values, np.inf).astype(np.float64), axis=0)
    known = masks.sum(0)
    place = np.maximum(known - 1, 0) * share
    low = np.floor(place).astype(np.intp)
    high = np.ceil(place).astype(np.intp)
    below = np.take_along_axis(ordered, low[None], 0)[0]
    above = np.take_along_axis(ordered, high[None], 0)[0]
    with np.errstate(invalid="ignore"):
        return np.where(known > 0, below + (above - below) * (place - low), 0.0), known > 0


def smallest(values: Array, masks: Flags) -> tuple[Array, Any]:
    """The smallest value."""
    return np.where(masks, values, _most(values)).min(0), masks.any(0)


def largest(values: Array, masks: Flags) -> tuple[Array, Any]:
    """The largest value."""
    return np.where(masks, values, -_most(values)).max(0), masks.any(0)


def _most(values: Array) -> Any:
    return np.float64(np.inf) if values.dtype.kind == "f" else np.int64(2**62)


def first(values: Array, masks: Flags) -> tuple[Array, Any]:
    """The first value of the stack that is not masked."""
    at = np.argmax(masks, axis=0)
    return np.take_along_axis(values, np.asarray(at)[None], 0)[0], masks.any(0)


def last(values: Array, masks: Flags) -> tuple[Array, Any]:
    """The last value of the stack that is not masked."""
    return first(values[::-1], masks[::-1])


def variance(values: Array, masks: Flags, less: int = 0) -> tuple[Array, Any]:
    """The mean square deviation; `less` 1: of a sample."""
    middle, _ = mean(values, masks)
    squares = np.where(masks, (values - middle) ** 2, 0.0).sum(0)
    counted = masks.sum(0)
    return squares / np.maximum(counted - less, 1), counted > less


def deviation(values: Array, masks: Flags, less: int = 0) -> tuple[Array, Any]:
    """The root of the variance."""
    found, known = variance(values, masks, less)
    return np.sqrt(found), known


def mode(values: Array, masks: Flags) -> tuple[Array, Any]:
    """The most frequent value; of several the smallest."""
    best, most = np.zeros(values.shape[1:]), np.zeros(values.shape[1:], np.int64)
    for value in np.unique(values[masks]):
        frequency = ((values == value) & masks).sum(0)
        best, most = np.where(frequency > most, value, best), np.maximum(most, frequency)
    return best, masks.any(0)


def every(values: Array, masks: Flags) -> tuple[Array, Any]:
    """1 where no value is zero."""
    return ((values != 0) | ~masks).all(0).astype(np.uint8), masks.any(0)


def some(values: Array, masks: Flags) -> tuple[Array, Any]:
    """1 where a value is not zero."""
    return ((values != 0) & masks).any(0).astype(np.uint8), masks.any(0)


def _flag(kind: PixelType) -> PixelType:
    return BOOLEAN


STATS: dict[str, tuple[str, Stat, Typing]] = {
    "mean": ("mean", mean, _averaged), "median": ("median", median, _averaged), "min": ("min", smallest, _same),
    "max": ("max", largest, _same), "sum": ("sum", total, lambda kind: computed(kind)),
    "count": ("count", count, _count_type), "product": ("product", product, _double), "first": ("first", first, _same),
    "last": ("last", last, _same), "mode": ("mode", mode, _same), "stdDev": ("stdDev", deviation, _double),
    "variance": ("variance", variance, _double), "and": ("and", every, _flag), "or": ("or", some, _flag),
    "sampleStdDev": ("sampleStdDev", lambda values, masks: deviation(values, masks, 1), _double),
    "sampleVariance": ("sampleVariance", lambda values, masks: variance(values, masks, 1), _double),
    "allNonZero": ("all", every, _flag), "anyNonZero": ("any", some, _flag), "firstNonNull": ("first", first, _same),
    "lastNonNull": ("last", last, _same),
}  # fmt: skip
ANY_VALUE = {"first": 0, "firstNonNull": 0, "last": -1, "lastNonNull": -1}


def simple(name: str) -> Reducer:
    """A reducer of one output by its name."""
    output, stat, typing = STATS[name]
    collect: Callable[[list[Any]], Any] | None = None
    if name in ANY_VALUE:
        collect = lambda values: values[ANY_VALUE[name]] if values else None  # noqa: E731
    if name == "count":
        collect = lambda values: sum(value is not None for value in values)  # noqa: E731
    return Reducer({output: (stat, typing)}, collect)


def _register(name: str) -> None:
    algorithm(f"Reducer.{name}")(lambda: simple(name))


for _name in STATS:
    _register(_name)


algorithm("Reducer.minMax")(lambda: Reducer({"min": (smallest, _same), "max": (largest, _same)}))


@algorithm("Reducer.percentile")
def percentile(percentiles: list[float], output_names: list[str] | None) -> Reducer:
    """Percentiles, linear between neighbours in order (Google's are of a histogram where there are many values)."""
    names = output_names or [f"p{plain(float(value))}" for value in percentiles]

    def stat(share: float) -> Stat:
        return lambda values, masks: quantiles(values, masks, share / 100)

    return Reducer({name: (stat(share), _averaged) for name, share in zip(names, percentiles, strict=True)})


@algorithm("Reducer.toList")
def to_list(tuple_size: int | None, num_optional: int | None) -> Reducer:
    """The values as a list, those of several inputs as tuples; nulls are left out unless they are optional."""
    optional = num_optional or 0

    def collect(values: list[Any]) -> list[Any]:
        if tuple_size is None:
            return [value for value in values if value is not None or optional]
        return [value for value in values if optional or all(part is not None for part in value)]

    return Reducer({"list": (_no_pixels, _same)}, collect, tuple_size or 1)


@algorithm("Reducer.frequencyHistogram")
def frequency_histogram() -> Reducer:
    """How often each value occurs, by the value as a string."""
    return Reducer({"histogram": (_no_pixels, _same)}, histogram)


def histogram(values: Sequence[Any]) -> dict[str, int]:
    """Counts by the values as strings, nulls left out, in order of the values."""
    counts = Counter(value for value in values if value is not None)
    return {str(value): counts[value] for value in sorted(counts, key=lambda value: (isinstance(value, str), value))}


algorithm("Reducer.countDistinct", "Reducer.countDistinctNonNull")(
    lambda: Reducer({"count": (_no_pixels, _same)}, lambda values: len({v for v in values if v is not None}))
)


@algorithm("Reducer.repeat")
def repeat(reducer: Reducer, count: int) -> Reducer:
    """The reducer for each of so many inputs, its outputs as lists."""
    return replace(reducer, width=count, repeated=True)


@algorithm("Reducer.unweighted")
def unweighted(reducer: Reducer) -> Reducer:
    """Weights are not imitated anyway, except by kernels."""
    return reducer


@algorithm("Reducer.setOutputs")
def set_outputs(reducer: Reducer, outputs: list[str]) -> Reducer:
    """Other names of the outputs."""
    return replace(reducer, stats=dict(zip(outputs, reducer.stats.values(), strict=True)))


@algorithm("Reducer.combine")
def combine(reducer1: Reducer, reducer2: Reducer, output_prefix: str, shared_inputs: bool) -> Reducer:
    """The outputs of both of the same inputs."""
    if not shared_inputs:
        raise not_imitated("Reducer.combine without sharedInputs")
    if reducer1.collect or reducer2.collect:
        raise not_imitated("Reducer.combine of reducers that are not statistics of numbers")
    return Reducer(reducer1.stats | {f"{output_prefix}{name}": stat for name, stat in reducer2.stats.items()})  # type: ignore[operator]


algorithm("Reducer.getOutputs")(lambda reducer: reducer.outputs)


def _no_pixels(values: Array, masks: Flags) -> tuple[Array, Any]:
    raise not_imitated("This reducer on pixels")
