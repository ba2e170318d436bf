"""The functions: which there are, how each is called, and what their arguments are turned into.

Names, arguments, types and defaults are those of Google's own list, which the client's package carries; a call that
does not fit it is refused as Google refuses it.
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

from .coercion import coerced
from .replies import ApiError, not_imitated

Implementation = Callable[..., Any]
Function = TypeVar("Function", bound=Implementation)
PREFIX = "algorithms/"
WITHOUT_EFFECT = {"geodesic", "evenOdd", "maxError", "version"}


@dataclass(frozen=True)
class Argument:
    """One argument as Google lists it, and the name it has in Python."""

    name: str
    type: str
    optional: bool
    default: Any
    python: str


@dataclass(frozen=True)
class Algorithm:
    """One function of Google's list."""

    name: str
    arguments: Mapping[str, Argument]


IMPLEMENTED: dict[str, tuple[Implementation, frozenset[str]]] = {}


def algorithm(*names: str) -> Callable[[Function], Function]:
    """Register a function under one name or several; its parameters are the arguments' names in snake case."""

    def register(function: Function) -> Function:
        for name in names:
            IMPLEMENTED[name] = (function, frozenset(signature(function).parameters))
        return function

    return register


def call(name: str, given: Mapping[str, Any], bound: Mapping[str, Implementation]) -> Any:
    """Call a function with arguments by Google's names; ApiError if it or they are unknown, missing or of a wrong
    type, or if an argument is given that is not imitated. `bound` are further implementations."""
    known = algorithms().get(name)
    if known is None:
        raise ApiError(f"Unrecognized function name '{name}'.")
    if name in bound:
        function, accepted = bound[name], frozenset(signature(bound[name]).parameters)
    elif name in IMPLEMENTED:
        function, accepted = IMPLEMENTED[name]
    else:
        raise not_imitated(f"The function '{name}'")
    for extra in given:
        if extra not in known.arguments:
            raise ApiError(f"{name}: Unrecognized argument '{extra}'. It takes {', '.join(known.arguments) or 'none'}.")
    ready = {}
    for argument in known.arguments.values():
        value = _value(name, argument, given)
        if argument.python in accepted:
            ready[argument.python] = value
        elif argument.name in given and argument.name not in WITHOUT_EFFECT and value not in (None, argument.default):
            raise not_imitated(f"The argument '{argument.name}' of {name}")
    return function(**ready)


def _value(name: str, argument: Argument, given: Mapping[str, Any]) -> Any:
    value = given.get(argument.name)
    if value is None:
        if not argument.optional:
            raise ApiError(f"{name}: Parameter '{argument.name}' is required and may not be null.")
        value = argument.default
    if value is None:
        return None
    try:
        return coerced(value, argument.type)
    except ApiError as error:
        raise ApiError(f"{name}, argument '{argument.name}': {error.message}") from error


@cache
def algorithms() -> dict[str, Algorithm]:
    """Google's list by name."""
    known = {}
    for told in json.loads(client_file("algorithms.json").read_text())["algorithms"]:
        name = told["name"].removeprefix(PREFIX)
        arguments = [_argument(argument) for argument in told.get("arguments", [])]
        known[name] = Algorithm(name, {argument.name: argument for argument in arguments})
    return known


def _argument(told: Mapping[str, Any]) -> Argument:
    default = told.get("defaultValue")
    if isinstance(default, float) and default.is_integer() and told["type"] in ("Integer", "Long"):
        default = int(default)
    return Argument(
        told["argumentName"], told["type"], bool(told.get("optional")), default, _snake(told["argumentName"])
    )


def _snake(name: str) -> str:
    """camelCase as snake_case, with an underscore behind Python's own words."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return snake + "_" if snake in ("from", "list") else snake


@cache
def client_file(name: str) -> Path:
    """A file that the client's package carries for its own tests; InputError if the package is not installed."""
    found = importlib.util.find_spec("ee")
    if found is None or found.origin is None:
        raise InputError("No earthengine-api here, although landslide depends on it: install landslide again.")
    path = Path(found.origin).parent / "tests" / name
    if not path.is_file():
        raise InputError(f"The installed earthengine-api has no {path.name} among its tests: install another release.")
    return path
