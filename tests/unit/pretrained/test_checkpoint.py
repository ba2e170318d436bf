"""Checkpoints: honest ones as torch.save writes them, and those that are out for more."""

import builtins
import collections
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from landslide.errors import InputError
from landslide.pretrained.checkpoint import open_checkpoint
from landslide.pretrained.unpickle import Opaque, TensorInfo, unpickle
from tests.helpers.published_layout import content


@pytest.fixture(scope="module")
def plain() -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "epoch_003.ckpt"


def read(path: Path) -> dict[str, np.ndarray]:
    with open_checkpoint(path) as checkpoint:
        return {name: checkpoint.read(tensor) for name, tensor in checkpoint.weights.items()}


def program(value: object, protocol: int = 2) -> bytes:
    return pickle.dumps(value, protocol)


def rewritten(path: Path, change: Callable[[str, bytes], bytes | None], more: dict[str, bytes] | None = None) -> None:
    """The archive with members changed, left out (None) or added."""
    with zipfile.ZipFile(path) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**members, **(more or {})}.items():
            if data is not None:
                archive.writestr(name, data)


def unchanged(_: str, data: bytes) -> bytes:
    return data


class Runs:
    """What an honest reader of pickles would run."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._called = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._called


def test_weights_are_read_and_objects_are_not(plain: nn.Module, path: Path) -> None:
    torch.save(content(plain), path)
    arrays = read(path)
    assert list(arrays) == list(plain.state_dict())
    for name, tensor in plain.state_dict().items():
        assert arrays[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(arrays[name], tensor.numpy())
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        described = unpickle(archive.read(name), path)
    assert set(map(type, described["hyper_parameters"].values())) == {Opaque}
    assert isinstance(described["optimizer_states"][0]["state"][0]["exp_avg"], TensorInfo)


def test_the_optimisers_numbers_are_never_read(plain: nn.Module, path: Path) -> None:
    torch.save(content(plain), path)
    with open_checkpoint(path) as checkpoint:
        wanted = {f"data/{tensor.storage.key}" for tensor in checkpoint.weights.values()}
    kept = lambda name, data: data if "/data/" not in name or name.partition("/")[2] in wanted else None  # noqa: E731
    rewritten(path, kept)
    assert len(read(path)) == len(plain.state_dict())


def test_views_types_and_empty_tensors(path: Path) -> None:
    base = torch.arange(24, dtype=torch.float64).reshape(4, 6)
    state = {
        "turned": base.T,
        "part": base[1:3, ::2],
        "half": torch.ones(2, dtype=torch.float16),
        "yes": torch.tensor([True, False]),
        "none": torch.zeros(0, 3),
        "parameter": nn.Parameter(torch.ones(2)),
    }
    torch.save({"state_dict": {f"net.{name}": value for name, value in state.items()}}, path)
    for name, array in read(path).items():
        np.testing.assert_array_equal(array, state[name].detach().numpy())
        assert array.flags.c_contiguous


@pytest.mark.parametrize("where", ["top", "state", "inside an object", "as an argument", "as a key"])
def test_a_command_is_named_and_not_run(plain: nn.Module, path: Path, tmp_path: Path, where: str) -> None:
    trace = tmp_path / "trace"
    runs = Runs(os.system, f"touch {trace}")
    inside = nn.ReLU()
    inside.state = [runs]
    extra = {
        "top": {"extra": runs},
        "state": {"state_dict": collections.OrderedDict({"net.weight": runs})},
        "inside an object": {"hyper_parameters": {"net": inside}},
        "as an argument": {"hyper_parameters": Runs(collections.OrderedDict, [(1, runs)])},
        "as a key": {"loops": {runs: 1}},
    }[where]
    torch.save(content(plain, **extra), path)
    with pytest.raises(InputError, match=r"epoch_003.ckpt names 'posix.system'"), open_checkpoint(path):
        pass
    assert not trace.exists()


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (eval, ("1",), r"__builtin__.eval"),
        (exec, ("1",), r"__builtin__.exec"),
        (getattr, (builtins, "eval"), r"__builtin__.getattr"),
        (__import__, ("os",), r"__builtin__.__import__"),
        (torch.load, ("x",), r"torch.serialization.load"),
        (torch.hub.load, ("x", "y"), r"torch.hub.load"),
        (os.popen, ("x",), r"os.popen"),
        (io.open, ("x",), r"io.open"),
        (Path, ("x",), r"pathlib.\w*Path"),
    ],
)
def test_what_no_published_model_names_is_refused(
    path: Path, function: Callable[..., object], arguments: tuple[object, ...], name: str
) -> None:
    if arguments[0] is builtins:
        arguments = ("", "upper")
    with pytest.raises(InputError, match=rf"{path.name} names '{name}'"):
        unpickle(program({"x": Runs(function, *arguments)}), path)


def test_an_unknown_class_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match=r"names 'fractions.Fraction', which no published model does"):
        unpickle(b"\x80\x02cfractions\nFraction\n)\x81.", path)
    with pytest.raises(InputError, match=r"names 'torch.nn.modules.os.system"):
        unpickle(b"\x80\x02ctorch.nn.modules\nos.system\n.", path)
    with pytest.raises(InputError, match=r"names 'torch.nn.modules_evil.X"):
        unpickle(b"\x80\x02ctorch.nn.modules_evil\nX\n.", path)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "uses the operation SHORT_BINUNICODE"),
        (b"U\x05posixU\x06system\x93.", "uses the operation SHORT_BINSTRING"),
        (b"(S'id'\niposix\nsystem\n.", "uses the operation STRING"),
        (b"(X\x02\x00\x00\x00idiposix\nsystem\n.", "uses the operation INST"),
        (b"(ccollections\nOrderedDict\no.", "uses the operation OBJ"),
        (b"\x82\x01.", "uses the operation EXT1"),
        (b"Pkey\n.", "uses the operation PERSID"),
        (b"ccollections\nOrderedDict\n\x8f.", "uses the operation EMPTY_SET"),
        (b"X\x01\x00\x00\x00ac__builtin__\nset\n\x86R.", "damaged"),
        (b"X\x01\x00\x00\x00a)R.", "calls a str"),
        (b"]X\x01\x00\x00\x00ab.", "sets the state of a list"),
        (b"])\x81.", "creates an object of something that is not a class"),
        (b")X\x01\x00\x00\x00aa.", "appends to a tuple"),
        (b"}0.", "uses the operation POP"),
        (b"}(K\x01u.", "sets items of a dict"),
        (b"})K\x01s.", "has a tuple for a key"),
        (b"h\x07.", "damaged"),
        (b"R.", "damaged"),
        (b".", "damaged"),
        (b"", "damaged"),
        (b"N", "damaged"),
        (b"X\xff\xff\xff\x7fa.", "damaged"),
        (b"X\x01\x00\x00\x00aQ.", "refers to something that is not a storage"),
        (b"r\xff\xff\xff\xff.", "damaged"),
    ],
)
def test_no_other_operation_is_known(path: Path, code: bytes, words: str) -> None:
    with pytest.raises(InputError, match=rf"{path.name} .*{words}"):
        unpickle(code, path)


def test_a_number_for_the_memo_takes_no_memory(path: Path) -> None:
    assert unpickle(b"Nr\xff\xff\xff\xff.", path) is None


def test_the_state_of_an_object_is_left_out(path: Path) -> None:
    assert unpickle(b"cfunctools\npartial\n)\x81}X\x01\x00\x00\x00aK\x01sb.", path) == Opaque()
    assert unpickle(b"ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00aK\x01sb.", path) == {}
    name = unpickle(b"ctyping\nAny\n.", path)
    assert (name.module, name.name) == ("typing", "Any")


class Tensor:
    """A tensor as a pickle describes it, with numbers of one's own."""

    def __init__(self, *described: object) -> None:
        self.described = described

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return torch._utils._rebuild_tensor_v2, self.described


def forged(path: Path, *view: object, key: object = "0", length: object = 12) -> None:
    """A checkpoint of one tensor, whose storage has twelve numbers."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return ("storage", torch.FloatStorage, key, "cpu", length) if value is Ellipsis else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"state_dict": {"net.weight": Tensor(..., *view, False, {})}})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        archive.writestr("archive/data/0", np.arange(12, dtype="float32").tobytes())


def test_a_view_within_its_storage(path: Path) -> None:
    forged(path, 1, (3, 2), (4, 1))
    np.testing.assert_array_equal(read(path)["weight"], [[1, 2], [5, 6], [9, 10]])


@pytest.mark.parametrize(
    "view",
    [
        (0, (3, 2), (9, 1)),
        (11, (2,), (1,)),
        (12, (), ()),
        (0, (13,), (0,)),
        (0, (2**40, 2**40), (0, 0)),
        (-1, (2,), (1,)),
        (0, (-2, -2), (1, 1)),
        (3, (2, 2), (1, -2)),
        (0, (2,), (1, 1)),
        (0, [2], [1]),
        (0, (2.0,), (1,)),
        (0, (1,) * 9, (1,) * 9),
    ],
)
def test_a_view_out_of_its_storage_is_refused(path: Path, view: tuple[object, ...]) -> None:
    forged(path, *view)
    with pytest.raises(InputError, match=rf"{path.name} contains a tensor"), open_checkpoint(path):
        pass


@pytest.mark.parametrize(
    ("key", "length", "words"),
    [
        ("0", 11, "bytes, more than 44"),
        ("0", 13, "48 bytes, not 13 of float32"),
        ("../0", 12, r"has no data/\.\./0"),
        ("1", 12, "has no data/1"),
        ("0", -1, "refers to something that is not a storage"),
        (0, 12, "refers to something that is not a storage"),
    ],
)
def test_a_storage_that_is_not_there_is_refused(path: Path, key: object, length: object, words: str) -> None:
    forged(path, 0, (2,), (1,), key=key, length=length)
    with pytest.raises(InputError, match=rf"{path.name}.*{words}"):
        read(path)


def test_truncated_and_flipped_files(plain: nn.Module, path: Path) -> None:
    torch.save(content(plain), path)
    whole = path.read_bytes()
    for share in (0, 0.3, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match=rf"{path.name} is not a complete checkpoint"):
            read(path)
    first = plain.state_dict()["0.weight"].numpy().tobytes()
    path.write_bytes(whole.replace(first, first[:-1] + bytes([first[-1] ^ 1])))
    with pytest.raises(InputError, match=rf"{path.name} is not a complete checkpoint.*CRC"):
        read(path)
    with pytest.raises(InputError, match="not a complete checkpoint"):
        read(path.with_name("missing.ckpt"))


def test_the_format_before_zip_is_refused(plain: nn.Module, path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"x": Runs(os.system, f"touch {trace}")}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"epoch_003.ckpt is not a complete checkpoint of PyTorch 1.6 or later"):
        read(path)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["../evil", "archive/../../evil", "/etc/evil", "archive\\..\\evil", "C:evil"])
def test_a_name_that_climbs_out_is_refused(plain: nn.Module, path: Path, name: str) -> None:
    torch.save(content(plain), path)
    rewritten(path, unchanged, {name: b"x"})
    with pytest.raises(InputError, match=rf"{path.name} has the entry '.*evil', which leads out"):
        read(path)


def test_a_bomb_is_refused(plain: nn.Module, path: Path) -> None:
    torch.save(content(plain), path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0x", bytes(10**6))
    with pytest.raises(InputError, match="compressed or encrypted"):
        read(path)


def test_a_size_beyond_the_files_is_refused(plain: nn.Module, path: Path) -> None:
    torch.save(content(plain), path)
    data = bytearray(path.read_bytes())
    place = data.rindex(b"PK\x01\x02")
    data[place + 20 : place + 28] = (2**31).to_bytes(4, "little") * 2  # of the last entry, both its sizes
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"claims to contain \d+ bytes but has \d+"):
        read(path)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({}, "has no tensor for 'net.'"),
        ({"net.a": 1}, r"has no tensor for \['net.a'\]"),
        ({"other.a": torch.ones(1)}, "has no tensor for 'net.'"),
        (nn.ReLU(), "has no state_dict"),
    ],
)
def test_a_checkpoint_without_weights_is_refused(plain: nn.Module, path: Path, state: object, words: str) -> None:
    torch.save(content(plain, state_dict=state), path)
    with pytest.raises(InputError, match=rf"{path.name}.*{words}"):
        read(path)


def test_other_archives_are_refused(plain: nn.Module, path: Path) -> None:
    torch.save(content(plain), path)
    rewritten(path, unchanged, {"second/data.pkl": b"N."})
    with pytest.raises(InputError, match=r"has 2 files data\.pkl"):
        read(path)
    torch.save(content(plain), path)
    rewritten(path, lambda name, data: b"big" if name.endswith("byteorder") else data)
    with pytest.raises(InputError, match="big-endian"):
        read(path)
