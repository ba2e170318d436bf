"""A reader of pickles that imports and calls nothing.

It interprets the operations that `torch.save` writes and builds plain values only. Classes and functions become a
`Global`, objects and the results of calls become `OPAQUE`, tensors become a `TensorInfo`.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from landslide.errors import InputError

NEXT_STEP = "Download the archive of models again, from zenodo.org/records/13471162"
MAX_AXES = 8  # of a tensor

ALLOWED_PACKAGES = ("segmentation_models_pytorch.", "torch.nn.modules.", "torch.optim.", "omegaconf.")  # every name
ALLOWED_NAMES = {
    "__builtin__": {"dict", "list", "long", "set"},
    "collections": {"OrderedDict", "defaultdict"},
    "functools": {"partial"},
    "torch": {"Size", "device"},
    "torch._utils": {"_rebuild_parameter", "_rebuild_tensor_v2"},
    "torchvision.models.resnet": {"BasicBlock"},
    "typing": {"Any"},
}
STORAGES = {  # torch's storage classes: numpy's name of their type
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "HalfStorage": "float16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
}


@dataclass(frozen=True)
class Global:
    """A class or function, by the name in the pickle."""

    module: str
    name: str


@dataclass(frozen=True)
class Opaque:
    """An object or the result of a call, of which nothing else is known."""


@dataclass(frozen=True)
class PickledStorage:
    """A storage of `length` numbers in the file `data/<key>` of the archive; `dtype` is numpy's name."""

    key: str
    dtype: str
    length: int


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as a view of its storage, within the storage's length; offset and strides count elements."""

    storage: PickledStorage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


OPAQUE = Opaque()
ORDERED_DICT = Global("collections", "OrderedDict")
PARAMETER = Global("torch._utils", "_rebuild_parameter")
TENSOR = Global("torch._utils", "_rebuild_tensor_v2")


def unpickle(program: bytes, path: Path) -> Any:
    """The content of a pickle: dict (also for ordered ones), list, tuple, str, int, float, bool, None or `TensorInfo`.

    Anything else in it is a `Global` or `OPAQUE`. Raises InputError, naming `path`, if the pickle is damaged, uses a
    name or an operation that no published model uses, or has a tensor that exceeds its storage.
    """
    machine = _PickleMachine(path)
    try:
        for operation, argument, _ in pickletools.genops(program):
            if operation.name == "STOP":
                return machine.pop()
            execute = _OPERATIONS.get(operation.name)
            if execute is None:
                machine.refuse(f"uses the operation {operation.name}, which torch.save does not write")
            execute(machine, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} contains a damaged pickle: {error}. {NEXT_STEP}") from error
    raise InputError(f"{path} contains a damaged pickle: it has no end. {NEXT_STEP}")


class _PickleMachine:
    """The state of the interpreter: the stack, the stacks below each mark, and the memo of values by number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def refuse(self, reason: str) -> NoReturn:
        raise InputError(f"{self.path} {reason}. {NEXT_STEP}, and do not open this file with other programs")

    def pop(self) -> Any:
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def store(self, number: int) -> None:
        self._memo[number] = self.stack[-1]

    def load(self, number: int) -> None:
        self.push(self._memo[number])

    def mark(self, _: object) -> None:
        self._below.append(self.stack)
        self.stack = []

    def pop_to_mark(self) -> list[Any]:
        """All values since the last mark, which is removed."""
        values, self.stack = self.stack, self._below.pop()
        return values

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def append(self, values: list[Any]) -> None:
        """Append to the list on the stack; values of an opaque object are dropped."""
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Opaque):
            self.refuse(f"appends to a {type(target).__name__}")

    def set_items(self, pairs: list[Any]) -> None:
        """Set alternating keys and values in the dict on the stack; items of an opaque object are dropped."""
        target = self.stack[-1]
        if isinstance(target, Opaque):
            return
        if not isinstance(target, dict) or len(pairs) % 2:
            self.refuse(f"sets items of a {type(target).__name__}")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str | int | float | None):
                self.refuse(f"has a {type(key).__name__} for a key")
            target[key] = value

    def push_global(self, argument: str) -> None:
        """Push a class or function; `argument` is its module and its name, separated by a space."""
        module, _, name = argument.partition(" ")
        storage = module == "torch" and name in STORAGES
        in_package = f"{module}.".startswith(ALLOWED_PACKAGES) and name.isidentifier()
        if not (storage or in_package or name in ALLOWED_NAMES.get(module, ())):
            self.refuse(f"names {f'{module}.{name}'!a}, which no published model does")
        self.push(Global(module, name))

    def reduce(self, _: object) -> None:
        """Replace a call: tensors, parameters and empty ordered dicts by their values, any other call by OPAQUE."""
        arguments, function = self.pop(), self.pop()
        if not isinstance(arguments, tuple) or not isinstance(function, Global | Opaque):
            self.refuse(f"calls a {type(function).__name__} with a {type(arguments).__name__}")
        if function == TENSOR:
            self.push(self._tensor(*arguments[:4]))
        elif function == PARAMETER:
            self.push(arguments[0])
        elif function == ORDERED_DICT and not arguments:
            self.push({})
        else:
            self.push(OPAQUE)

    def new_object(self, _: object) -> None:
        """Replace a new object by OPAQUE; its arguments are dropped."""
        self.pop()
        if not isinstance(self.pop(), Global):
            self.refuse("creates an object of something that is not a class")
        self.push(OPAQUE)

    def drop_state(self, _: object) -> None:
        """Drop the state of the object below it."""
        self.pop()
        if not isinstance(self.stack[-1], Opaque | dict):
            self.refuse(f"sets the state of a {type(self.stack[-1]).__name__}")

    def storage(self, _: object) -> None:
        """Replace ('storage', type, key, device, length), torch's reference to a file of the archive."""
        reference = self.pop()
        match reference:
            case ("storage", Global("torch", kind), str(key), str(), int(length)) if kind in STORAGES and length >= 0:
                self.push(PickledStorage(key, STORAGES[kind], length))
            case _:
                self.refuse("refers to something that is not a storage of numbers")

    def _tensor(self, storage: object, offset: object, shape: object, strides: object) -> TensorInfo:
        if not isinstance(storage, PickledStorage) or not _is_view(offset, shape, strides):
            self.refuse("contains a tensor with an impossible shape or strides")
        tensor = TensorInfo(storage, offset, shape, strides)  # type: ignore[arg-type]  # checked by _is_view
        count = math.prod(tensor.shape)
        last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
        if count > storage.length or (count and last >= storage.length):
            self.refuse(
                f"contains a tensor of shape {tensor.shape} and strides {tensor.strides} from element {tensor.offset}, "
                f"which exceeds its storage of {storage.length}"
            )
        return tensor


def _is_view(offset: object, shape: object, strides: object) -> bool:
    """Whether these are a non-negative offset, and a non-negative size and stride of each axis."""
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or not len(shape) == len(strides) <= MAX_AXES:
        return False
    return all(isinstance(value, int) and value >= 0 for value in (offset, *shape, *strides))


def _constant(value: object) -> Callable[[_PickleMachine, Any], None]:
    return lambda machine, _: machine.push(value)


_OPERATIONS: dict[str, Callable[[_PickleMachine, Any], None]] = {
    "PROTO": lambda _, __: None,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"), _PickleMachine.push),
    "BINPUT": _PickleMachine.store,
    "LONG_BINPUT": _PickleMachine.store,
    "BINGET": _PickleMachine.load,
    "LONG_BINGET": _PickleMachine.load,
    "MARK": _PickleMachine.mark,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.pop_to_mark()),
    "SETITEM": lambda machine, _: machine.set_items([*reversed([machine.pop(), machine.pop()])]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    "GLOBAL": _PickleMachine.push_global,
    "REDUCE": _PickleMachine.reduce,
    "NEWOBJ": _PickleMachine.new_object,
    "BUILD": _PickleMachine.drop_state,
    "BINPERSID": _PickleMachine.storage,
}  # fmt: skip
