"""The registry of functions, and the conversion of their arguments.

Names, arguments, types and defaults are those of Earth Engine's list of algorithms, which the client's package
contains. A call that does not match it is refused with Earth Engine's error.
"""

import importlib.util
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

from landslide.errors import InputError

from .coercion import coerce
from .replies import ApiError, unsupported

Implementation = Callable[..., Any]
Function = TypeVar("Function", bound=Implementation)
PREFIX = "algorithms/"
IGNORED_ARGUMENTS = {"geodesic", "evenOdd", "maxError", "version"}


@dataclass(frozen=True)
class Argument:
    """One argument of Earth Engine's list, and its name in Python."""

    name: str
    type: str
    optional: bool
    default: Any
    python: str


@dataclass(frozen=True)
class Algorithm:
    """One function of Earth Engine's list."""

    name: str
    arguments: Mapping[str, Argument]


IMPLEMENTED: dict[str, tuple[Implementation, frozenset[str]]] = {}


def algorithm(*names: str) -> Callable[[Function], Function]:
    """Register a function under one or several names. Its parameters are the argument names in snake case."""

    def register(function: Function) -> Function:
        for name in names:
            IMPLEMENTED[name] = (function, frozenset(signature(function).parameters))
        return function

    return register


def call(name: str, given: Mapping[str, Any], additional: Mapping[str, Implementation]) -> Any:
    """Call a function by Earth Engine's name.

    `given` holds the arguments by Earth Engine's names; `additional` holds implementations besides the registered ones.
    ApiError if the function or an argument is unknown or unsupported, or if an argument is missing or of a wrong type.
    """
    known = algorithms().get(name)
    if known is None:
        raise ApiError(f"Unrecognized function name '{name}'.")
    if name in additional:
        function, accepted = additional[name], frozenset(signature(additional[name]).parameters)
    elif name in IMPLEMENTED:
        function, accepted = IMPLEMENTED[name]
    else:
        raise unsupported(f"The function '{name}'")
    for extra in given:
        if extra not in known.arguments:
            raise ApiError(f"{name}: Unrecognized argument '{extra}'. It takes {', '.join(known.arguments) or 'none'}.")
    values = {}
    for argument in known.arguments.values():
        value = _value(name, argument, given)
        if argument.python in accepted:
            values[argument.python] = value
        elif (
            argument.name in given and argument.name not in IGNORED_ARGUMENTS and value not in (None, argument.default)
        ):
            raise unsupported(f"The argument '{argument.name}' of {name}")
    return function(**values)


def _value(name: str, argument: Argument, given: Mapping[str, Any]) -> Any:
    value = given.get(argument.name)
    if value is None:
        if not argument.optional:
            raise ApiError(f"{name}: Parameter '{argument.name}' is required and may not be null.")
        value = argument.default
    if value is None:
        return None
    try:
        return coerce(value, argument.type)
    except ApiError as error:
        raise ApiError(f"{name}, argument '{argument.name}': {error.message}") from error


@cache
def algorithms() -> dict[str, Algorithm]:
    """Earth Engine's list of functions, by name."""
    known = {}
    for entry in json.loads(client_file("algorithms.json").read_text())["algorithms"]:
        name = entry["name"].removeprefix(PREFIX)
        arguments = [_argument(argument) for argument in entry.get("arguments", [])]
        known[name] = Algorithm(name, {argument.name: argument for argument in arguments})
    return known


def _argument(entry: Mapping[str, Any]) -> Argument:
    default = entry.get("defaultValue")
    if isinstance(default, float) and default.is_integer() and entry["type"] in ("Integer", "Long"):
        default = int(default)
    return Argument(
        entry["argumentName"], entry["type"], bool(entry.get("optional")), default, _snake(entry["argumentName"])
    )


def _snake(name: str) -> str:
    """camelCase as snake_case, with a trailing underscore for names that Python uses."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return snake + "_" if snake in ("from", "list") else snake


@cache
def client_file(name: str) -> Path:
    """A file of the tests of the client's package; InputError if the package or the file is missing."""
    found = importlib.util.find_spec("ee")
    if found is None or found.origin is None:
        raise InputError("earthengine-api is not installed, although landslide depends on it: install landslide again.")
    path = Path(found.origin).parent / "tests" / name
    if not path.is_file():
        raise InputError(f"The installed earthengine-api has no {path.name} among its tests: install another release.")
    return path
