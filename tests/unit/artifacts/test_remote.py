"""Artifacts on shared storage, in a bucket of a simulated S3 and in a folder: whole or not there."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from landslide.artifacts.remote import RemoteStore
from landslide.artifacts.store import MANIFEST, Artifact, Request, Store, verify
from landslide.errors import InputError, ServiceError, StoreError
from tests.helpers.object_store import s3

REQUEST = Request(stage="toy", version=1, parameters={"x": 1})
HERE = Artifact(stage="toy", key=REQUEST.key)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as monkeypatch, s3(monkeypatch) as url:
        yield url


@pytest.fixture(params=["bucket", "folder"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> RemoteStore:
    if request.param == "folder":
        return RemoteStore(f"file://{tmp_path}/shared")
    return RemoteStore(f"{request.getfixturevalue('bucket')}/{tmp_path.name}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with an artifact."""
    found = Store(tmp_path / "one")
    found.obtain(REQUEST, write)
    return found


def write(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.bin").write_bytes(bytes(range(256)) * 4096)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_sent_arrives(shared: RemoteStore, store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    assert not shared.fetch(HERE, other)
    assert shared.keys("toy") == set()
    shared.check()
    shared.send(HERE, store)
    assert shared.keys("toy") == {HERE.key}
    assert shared.fetch(HERE, other)
    assert verify(other.path(HERE))
    assert other.manifest(HERE) == store.manifest(HERE), "also how long it took to build"
    assert {**files(other.path(HERE)), MANIFEST: b""} == {**files(store.path(HERE)), MANIFEST: b""}


def test_without_its_manifest_it_is_not_there(
    shared: RemoteStore, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that dies while it sends."""

    def die(self: RemoteStore, place: str, content: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(RemoteStore, "_write", die)
        with pytest.raises(KeyboardInterrupt):
            shared.send(HERE, store)
    other = Store(tmp_path / "other")
    assert not shared.fetch(HERE, other)
    assert not list((tmp_path / "other").rglob("a.txt"))
    shared.send(HERE, store)
    assert shared.fetch(HERE, other)


def test_two_machines_send_different_bytes_of_one_result(shared: RemoteStore, store: Store, tmp_path: Path) -> None:
    """As two GPUs do: what arrives is the one or the other, never a part of each."""
    rival = Store(tmp_path / "rival")

    def write_else(folder: Path) -> None:
        write(folder)
        (folder / "a.txt").write_text("else")

    rival.obtain(REQUEST, write_else)
    start = threading.Barrier(2)

    def send(which: Store) -> None:
        start.wait()
        RemoteStore(shared.url).send(HERE, which)

    senders = [threading.Thread(target=send, args=(which,)) for which in (store, rival)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    other = Store(tmp_path / "other")
    assert shared.fetch(HERE, other)
    assert (other.path(HERE) / "a.txt").read_text() in ("a", "else")


def test_damage_is_refused_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    shared = RemoteStore(f"file://{tmp_path}/shared")
    shared.send(HERE, store)
    sha = store.manifest(HERE)["files"]["a.txt"]
    (tmp_path / "shared" / "toy" / HERE.key / sha).write_text("b")
    with pytest.raises(StoreError, match=f"toy {HERE.key} arrived damaged"):
        shared.fetch(HERE, Store(tmp_path / "other"))
    assert not files(tmp_path / "other")


def test_no_draft_is_left_in_a_folder(store: Store, tmp_path: Path) -> None:
    shared = RemoteStore(f"file://{tmp_path}/shared")
    shared.check()
    shared.send(HERE, store)
    names = {path.name for path in (tmp_path / "shared").rglob("*") if path.is_file()}
    assert names == {MANIFEST, *store.manifest(HERE)["files"].values()}


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("ftq://there/x", InputError, "shared storage 'ftq://there/x'.*s3://BUCKET"),
        ("s3://no-such-bucket/x", ServiceError, "shared storage s3://no-such-bucket/x: .*Check its name"),
    ],
)
def test_a_place_that_cannot_be_used_is_named(bucket: str, url: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        RemoteStore(url).check()


def test_stages_use_it(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one machine built another one takes, and finds as an input."""
    from tasks import stage

    monkeypatch.setenv(stage.SHARED, f"file://{tmp_path}/shared")
    built: list[Any] = []

    def build(folder: Path) -> None:
        built.append(folder)
        write(folder)

    references = [stage.obtain(REQUEST, tmp_path / name, build) for name in ("a", "b")]
    assert len(built) == 1
    assert references[0] == references[1] == HERE.model_dump()
    assert files(stage.path(references[0], tmp_path / "c"))["a.txt"] == b"a"
    assert json.loads((tmp_path / "c" / "toy" / HERE.key / MANIFEST).read_text())["parameters"] == {"x": 1}
