"""Pickles of PyTorch checkpoints, read by a machine that calls nothing.

A pickle is a program, and Python's own reader runs it: it may import and call whatever the file says. This one takes
the file apart with `pickletools`, which only decodes, and knows the thirty operations that `torch.save` writes
(protocol 2). It builds containers, numbers, text and descriptions of tensors. A class or a function that the file names
is never looked up or imported: if it is one that the published models name (`KNOWN`, `FAMILIES`), what would have been
made of it is an `Opaque` without any content; any other is refused by name. So is every other operation.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from landslide.errors import InputError

AGAIN = "Fetch the archive of models again, from zenodo.org/records/13471162"
AXES = 8  # a tensor has no more
FAMILIES = ("segmentation_models_pytorch.", "torch.nn.modules.", "torch.optim.", "omegaconf.")  # all within
KNOWN = {
    "__builtin__": {"dict", "list", "long", "set"},
    "collections": {"OrderedDict", "defaultdict"},
    "functools": {"partial"},
    "torch": {"Size", "device"},
    "torch._utils": {"_rebuild_parameter", "_rebuild_tensor_v2"},
    "torchvision.models.resnet": {"BasicBlock"},
    "typing": {"Any"},
}
STORAGES = {  # of torch, by numpy's name of what they hold
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
class Name:
    """A class or a function as the file names it."""

    module: str
    name: str


@dataclass(frozen=True)
class Opaque:
    """What the file makes of a class or a function: nothing is known of it but that it stands here."""


@dataclass(frozen=True)
class Storage:
    """Numbers of one type in a file of the archive, `data/<key>`."""

    key: str
    dtype: str
    length: int


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as a view of a storage that holds it whole; offset and strides count elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


ORDERED = Name("collections", "OrderedDict")
PARAMETER = Name("torch._utils", "_rebuild_parameter")
TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
OPAQUE = Opaque()


def unpickle(program: bytes, path: Path) -> Any:
    """What a pickle describes: dict (of ordered ones, too), list, tuple, str, int, float, bool, None, `TensorInfo`.

    Where it describes anything else, there is a `Name` or an `Opaque`. InputError naming `path` for a pickle that is
    damaged, names what no published model does, or holds a tensor that reaches out of its storage.
    """
    machine = _Machine(path)
    try:
        for operation, argument, _ in pickletools.genops(program):
            if operation.name == "STOP":
                return machine.pop()
            act = _OPERATIONS.get(operation.name)
            if act is None:
                machine.refuse(f"uses the operation {operation.name}, which torch.save does not write")
            act(machine, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} holds a damaged pickle: {error}. {AGAIN}") from error
    raise InputError(f"{path} holds a pickle without an end. {AGAIN}")


class _Machine:
    """A stack of values, the stacks that wait below each mark, and values by number to be used again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def refuse(self, what: str) -> NoReturn:
        raise InputError(f"{self.path} {what}. {AGAIN}, and open this file with nothing else")

    def pop(self) -> Any:
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def remember(self, number: int) -> None:
        self._memo[number] = self.stack[-1]

    def recall(self, number: int) -> None:
        self.push(self._memo[number])

    def mark(self, _: object) -> None:
        self._below.append(self.stack)
        self.stack = []

    def above_mark(self) -> list[Any]:
        """Everything since the last mark, which goes with it."""
        values, self.stack = self.stack, self._below.pop()
        return values

    def tuple_of(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def append(self, values: list[Any]) -> None:
        """To the list on the stack; what belongs to an object that is left out is left out with it."""
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Opaque):
            self.refuse(f"appends to a {type(target).__name__}")

    def insert(self, pairs: list[Any]) -> None:
        """Keys and values in turn into the dict on the stack."""
        target = self.stack[-1]
        if isinstance(target, Opaque):
            return
        if not isinstance(target, dict) or len(pairs) % 2:
            self.refuse(f"sets items of a {type(target).__name__}")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str | int | float | None):
                self.refuse(f"has a {type(key).__name__} for a key")
            target[key] = value

    def name(self, argument: str) -> None:
        """A class or a function; `argument` is its module and its name."""
        module, _, name = argument.partition(" ")
        storage = module == "torch" and name in STORAGES
        family = f"{module}.".startswith(FAMILIES) and name.isidentifier()
        if not (storage or family or name in KNOWN.get(module, ())):
            self.refuse(f"names {f'{module}.{name}'!a}, which no published model does")
        self.push(Name(module, name))

    def reduce(self, _: object) -> None:
        """Where Python's reader would call a function: three are known by what they stand for, the rest is opaque."""
        arguments, function = self.pop(), self.pop()
        if not isinstance(arguments, tuple) or not isinstance(function, Name | Opaque):
            self.refuse(f"calls a {type(function).__name__} with a {type(arguments).__name__}")
        if function == TENSOR:
            self.push(self._tensor(*arguments[:4]))
        elif function == PARAMETER:
            self.push(arguments[0])
        elif function == ORDERED and not arguments:
            self.push({})
        else:
            self.push(OPAQUE)

    def new(self, _: object) -> None:
        """An object of a class, and what the class would be given."""
        self.pop()
        if not isinstance(self.pop(), Name):
            self.refuse("makes an object of what is no class")
        self.push(OPAQUE)

    def build(self, _: object) -> None:
        """The state of the object below it: left out."""
        self.pop()
        if not isinstance(self.stack[-1], Opaque | dict):
            self.refuse(f"sets the state of a {type(self.stack[-1]).__name__}")

    def storage(self, _: object) -> None:
        """('storage', type, key, device, length), by which a tensor refers to a file of the archive."""
        described = self.pop()
        match described:
            case ("storage", Name("torch", kind), str(key), str(), int(length)) if kind in STORAGES and length >= 0:
                self.push(Storage(key, STORAGES[kind], length))
            case _:
                self.refuse("refers to what is no storage of numbers")

    def _tensor(self, storage: object, offset: object, shape: object, strides: object) -> TensorInfo:
        if not isinstance(storage, Storage) or not _counts(offset, shape, strides):
            self.refuse("holds a tensor whose shape and strides cannot be")
        tensor = TensorInfo(storage, offset, shape, strides)  # type: ignore[arg-type]  # as _counts has found
        count = math.prod(tensor.shape)
        last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.strides, strict=True))
        if count > storage.length or (count and last >= storage.length):
            self.refuse(
                f"holds a tensor of shape {tensor.shape} and strides {tensor.strides} from element {tensor.offset} on, "
                f"which reaches out of its storage of {storage.length}"
            )
        return tensor


def _counts(offset: object, shape: object, strides: object) -> bool:
    """Whether these are an offset, and a size and a step along each axis."""
    if not isinstance(shape, tuple) or not isinstance(strides, tuple) or not len(shape) == len(strides) <= AXES:
        return False
    return all(isinstance(value, int) and value >= 0 for value in (offset, *shape, *strides))


def _constant(value: object) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.push(value)


_OPERATIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda _, __: None,
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"), _Machine.push),
    "BINPUT": _Machine.remember,
    "LONG_BINPUT": _Machine.remember,
    "BINGET": _Machine.recall,
    "LONG_BINGET": _Machine.recall,
    "MARK": _Machine.mark,
    "TUPLE": lambda machine, _: machine.push(tuple(machine.above_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.above_mark()),
    "SETITEM": lambda machine, _: machine.insert([*reversed([machine.pop(), machine.pop()])]),
    "SETITEMS": lambda machine, _: machine.insert(machine.above_mark()),
    "GLOBAL": _Machine.name,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": _Machine.new,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.storage,
}  # fmt: skip
