"""Properties of elements, dictionaries, numbers, strings, and conditions."""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..coercion import as_number, type_name
from ..errors import ApiError
from ..geometry import Geometry, box
from ..registry import algorithm
from ..values import Collection, Element, Image, constant
from .reducers import plain


@algorithm("Element.get", "Element.getNumber", "Element.getString")
def get(object: Element, property: str) -> Any:
    """A property's value, null if there is none."""
    return object.get(property)


@algorithm("Element.set")
def set_property(object: Any, key: str, value: Any) -> Any:
    """The element with one more property; null takes it away."""
    return _with(object, {key: value})


algorithm("Element.setMulti")(lambda object, properties: _with(object, properties))


def _with(target: Element | Collection, changes: Mapping[str, Any]) -> Element | Collection:
    merged = {**target.properties, **changes}
    return replace(target, properties={name: value for name, value in merged.items() if value is not None})


@algorithm("Element.propertyNames")
def property_names(element: Element) -> list[str]:
    """The names of the properties, an image's bands among them."""
    names = list(element.properties)
    if isinstance(element, Image):
        names += [name for name in ("system:bands", "system:band_names") if name not in names]
    return names


@algorithm("Element.toDictionary")
def to_dictionary(element: Element, properties: list[str] | None) -> dict[str, Any]:
    """The properties that are not the system's own, or those named."""
    if properties is not None:
        return {name: element.get(name) for name in properties}
    return {name: value for name, value in element.properties.items() if not name.startswith("system:")}


@algorithm("Element.copyProperties", "Image.copyProperties")
def copy_properties(
    destination: Element, source: Element | None, properties: list[str] | None, exclude: list[str] | None
) -> Element:
    """Properties from another element: those named, or all but the system's own."""
    if source is None:
        return destination
    names = [name for name in source.properties if not name.startswith("system:")] if properties is None else properties
    copied = {name: source.get(name) for name in names if name not in (exclude or ())}
    return destination.with_properties({**destination.properties, **copied})


@algorithm("Element.geometry", "Image.geometry")
def geometry(feature: Element) -> Geometry:
    """The element's place; an image without bounds covers the Earth."""
    return feature.footprint or box(-180, -90, 180, 90)


@algorithm("If")
def if_(condition: Any, true_case: Any, false_case: Any) -> Any:
    """One of two values; null, 0, "", false and empty collections count as false."""
    if isinstance(condition, Collection):
        return true_case if condition.elements else false_case
    return true_case if condition else false_case


algorithm("IsEqual")(lambda left, right: bool(left == right))


algorithm("ObjectType")(lambda value: type_name(value))


@algorithm("Dictionary")
def dictionary(input: Any) -> dict[str, Any]:
    """A dictionary, also from a list of keys and values in turn."""
    if isinstance(input, list):
        return dict(zip(input[::2], input[1::2], strict=True))
    return dict(input or {})


@algorithm("Dictionary.get", "Dictionary.getNumber", "Dictionary.getString")
def dictionary_get(dictionary: Mapping[str, Any], key: str, default_value: Any = None) -> Any:
    """A key's value; ApiError if there is none and no default."""
    if key not in dictionary and default_value is None:
        raise ApiError(f"Dictionary.get: Dictionary does not contain key: '{key}'.")
    return dictionary.get(key, default_value)


algorithm("Dictionary.set")(lambda dictionary, key, value: {**dictionary, key: value})


algorithm("Dictionary.keys")(lambda dictionary: sorted(dictionary))


algorithm("Dictionary.values")(lambda dictionary, keys: [dictionary[key] for key in (keys or sorted(dictionary))])


algorithm("Dictionary.size")(lambda dictionary: len(dictionary))


algorithm("Dictionary.contains")(lambda dictionary, key: key in dictionary)


algorithm("Dictionary.combine")(
    lambda first, second, overwrite: {**first, **second} if overwrite else {**second, **first}
)


algorithm("Dictionary.fromLists")(lambda keys, values: dict(zip(keys, values, strict=True)))


algorithm("Dictionary.remove")(
    lambda dictionary, selectors: {key: value for key, value in dictionary.items() if key not in selectors}
)


algorithm("Dictionary.select")(
    lambda dictionary, selectors: {key: value for key, value in dictionary.items() if key in selectors}
)


algorithm("Dictionary.map")(
    lambda dictionary, base_algorithm: {key: base_algorithm.call(key, value) for key, value in dictionary.items()}
)


@algorithm("Dictionary.toImage")
def dictionary_to_image(dictionary: Mapping[str, Any], names: list[str] | None) -> Image:
    """One constant band a key."""
    keys = names or sorted(dictionary)
    return Image(bands=tuple(constant(as_number(dictionary[key]), key) for key in keys))


NUMBERS: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul, "mod": math.fmod, "pow": operator.pow,
    "divide": lambda left, right: left / right if right else 0, "min": min, "max": max,
    "eq": operator.eq, "neq": operator.ne, "lt": operator.lt, "lte": operator.le, "gt": operator.gt,
    "gte": operator.ge, "and": lambda left, right: bool(left and right), "or": lambda left, right: bool(left or right),
    "atan2": lambda left, right: math.atan2(right, left), "hypot": math.hypot,
}  # fmt: skip
ROUNDED: dict[str, Callable[[Any], Any]] = {
    "abs": abs, "sqrt": math.sqrt, "exp": math.exp, "log": math.log, "log10": math.log10, "sin": math.sin,
    "cos": math.cos, "tan": math.tan, "asin": math.asin, "acos": math.acos, "atan": math.atan, "floor": math.floor,
    "ceil": math.ceil, "round": lambda value: math.floor(value + 0.5), "not": lambda value: int(not value),
    "int": int, "toInt": int, "long": int, "toLong": int, "float": float, "toFloat": float, "double": float,
    "toDouble": float, "int32": int, "toInt32": int, "int64": int, "toInt64": int,
    "signum": lambda value: (value > 0) - (value < 0),
}  # fmt: skip


def _register_numbers(name: str, compute: Callable[[Any, Any], Any]) -> None:
    def function(left: float, right: float) -> Any:
        value = compute(left, right)
        return int(value) if isinstance(value, bool) else plain(value)

    algorithm(f"Number.{name}")(function)


def _register_number(name: str, compute: Callable[[Any], Any]) -> None:
    algorithm(f"Number.{name}")(lambda input: plain(compute(input)))


for _name, _compute in NUMBERS.items():
    _register_numbers(_name, _compute)
for _name, _single in ROUNDED.items():
    _register_number(_name, _single)


@algorithm("Number.parse")
def parse_number(input: str) -> float:
    """A decimal number; ApiError if the text is none."""
    try:
        return plain(float(input))
    except ValueError as error:
        raise ApiError(f"Number.parse: Cannot parse '{input}' as a number.") from error


algorithm("Number.format")(lambda number, pattern: (pattern or "%s") % number)


algorithm("String")(
    lambda input: input if isinstance(input, str) else str(plain(input) if isinstance(input, float) else input)
)


algorithm("String.cat")(lambda string1, string2: string1 + string2)


algorithm("String.length")(lambda string: len(string))


algorithm("String.slice")(lambda string, start, end: string[start:end])


@algorithm("String.split")
def string_split(string: str, regex: str) -> list[str]:
    """The parts between matches of a regular expression."""
    return re.split(regex, string)


@algorithm("String.replace")
def string_replace(input: str, regex: str, replacement: str) -> str:
    """The text with the first match of a regular expression replaced."""
    return re.sub(regex, replacement, input, count=1)


algorithm("String.toLowerCase")(lambda string: string.lower())


algorithm("String.toUpperCase")(lambda string: string.upper())


algorithm("String.equals")(lambda reference, target: bool(reference == target))
