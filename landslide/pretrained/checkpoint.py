"""Checkpoints of PyTorch: zip archives of a pickle, `data.pkl`, and a file of numbers a storage, `data/<key>`.

The pickle is read by `unpickle`; of the numbers only those of the network's weights are, once their shapes are known to
be right. `torch.save` compresses nothing, so what an archive claims to hold cannot be more than the file is long.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from landslide.errors import InputError

PICKLE, STATE, PREFIX = "data.pkl", "state_dict", "net."
MAX_PICKLE_BYTES = 2 * 2**20  # bytes of a pickle; honest ones have a quarter of a MiB
ENCRYPTED = 1  # the flag of a member
DAMAGE = (BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError, ValueError)


class Checkpoint:
    """An open checkpoint. `weights`: by name, without the prefix `net.`, what the network's tensors are."""

    def __init__(self, path: Path, archive: ZipFile) -> None:
        self.path = path
        self._archive = archive
        self._members = _members(path, archive)
        self._root = _root(path, self._members)
        self.weights = _weights(path, unpickle(self._bytes(PICKLE, MAX_PICKLE_BYTES), path))

    def read(self, tensor: TensorInfo) -> NDArray[np.generic]:
        """A tensor's numbers, contiguous. InputError if its file is missing, damaged or of another length."""
        storage = tensor.storage
        dtype = np.dtype(storage.dtype).newbyteorder("<")
        data = self._bytes(f"data/{storage.key}", storage.length * dtype.itemsize)
        if len(data) != storage.length * dtype.itemsize:
            raise InputError(
                f"{self.path}: data/{storage.key} has {len(data)} bytes, not {storage.length} of {dtype.name}. {AGAIN}"
            )
        strides = tuple(step * dtype.itemsize for step in tensor.strides)
        view = np.ndarray(tensor.shape, dtype, data, tensor.offset * dtype.itemsize, strides)
        return view.astype(dtype.newbyteorder("="), order="C")

    def _bytes(self, name: str, most: int) -> bytes:
        member = self._members.get(self._root + name)
        if member is None:
            raise InputError(f"{self.path} holds no {name}. {AGAIN}")
        if member.file_size > most:
            raise InputError(f"{self.path}: {name} has {member.file_size} bytes, more than {most}. {AGAIN}")
        with _damage(self.path):
            return self._archive.read(member)


@contextmanager
def opened(path: Path) -> Iterator[Checkpoint]:
    """A checkpoint, open for the block; InputError if it is none, is damaged, or holds what it should not."""
    with _damage(path):
        archive = ZipFile(path)
    with archive:
        yield Checkpoint(path, archive)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise InputError(f"{path} is no whole checkpoint of PyTorch 1.6 or later: {error}. {AGAIN}") from error


def _members(path: Path, archive: ZipFile) -> dict[str, ZipInfo]:
    """By name. InputError for a name that leads out of a folder, and for more bytes than the file has."""
    members = archive.infolist()
    for member in members:
        name = PurePosixPath(member.orig_filename)
        if name.is_absolute() or ".." in name.parts or not set("\\:\0").isdisjoint(member.orig_filename):
            raise InputError(f"{path} holds {member.orig_filename!a}, a name that leads out of a folder. {AGAIN}")
        if member.compress_type != ZIP_STORED or member.flag_bits & ENCRYPTED:
            raise InputError(f"{path}: {member.orig_filename!a} is compressed or encrypted. {AGAIN}")
    claimed, there = sum(member.file_size for member in members), path.stat().st_size
    if claimed > there:
        raise InputError(f"{path} claims to hold {claimed} bytes but has {there}. {AGAIN}")
    return {member.filename: member for member in members}


def _root(path: Path, members: dict[str, ZipInfo]) -> str:
    """The one folder in which all lies, with its slash."""
    roots = [name.removesuffix(PICKLE) for name in members if PurePosixPath(name).name == PICKLE]
    if len(roots) != 1:
        raise InputError(f"{path} holds {len(roots)} files {PICKLE} instead of one. {AGAIN}")
    order = members.get(f"{roots[0]}byteorder")
    if order is not None and order.file_size != len("little"):
        raise InputError(f"{path} was written on a big-endian machine. {AGAIN}")
    return roots[0]


def _weights(path: Path, content: object) -> dict[str, TensorInfo]:
    state = content.get(STATE) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise InputError(f"{path} holds no {STATE}. Give checkpoints as Lightning writes them. {AGAIN}")
    names = [name for name in state if isinstance(name, str) and name.startswith(PREFIX)]
    strange = [name for name in names if not isinstance(state[name], TensorInfo)]
    if strange or not names:
        raise InputError(f"{path}: {STATE} holds no tensor for {strange or PREFIX!a}. {AGAIN}")
    return {name.removeprefix(PREFIX): state[name] for name in names}


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
class PickledStorage:
    """Numbers of one type in a file of the archive, `data/<key>`."""

    key: str
    dtype: str
    length: int


@dataclass(frozen=True)
class TensorInfo:
    """A tensor as a view of a storage that holds it whole; offset and strides count elements."""

    storage: PickledStorage
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
                self.push(PickledStorage(key, STORAGES[kind], length))
            case _:
                self.refuse("refers to what is no storage of numbers")

    def _tensor(self, storage: object, offset: object, shape: object, strides: object) -> TensorInfo:
        if not isinstance(storage, PickledStorage) or not _counts(offset, shape, strides):
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
