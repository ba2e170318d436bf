"""Artifacts on shared storage, in a bucket of a simulated S3 and in a folder: whole or not there."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from landslide.artifacts.remote import RemoteStore
from landslide.artifacts.store import MANIFEST, SHARED, ArtifactStore, verify
from landslide.errors import InputError, ServiceError, StoreError
from tests.helpers.object_store import s3
from tests.helpers.toy_stage import Toy, write

STAGE = Toy(x={"a": 1})
HERE = STAGE.artifact


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
def store(tmp_path: Path) -> ArtifactStore:
    """A store with an artifact, that shares nothing."""
    found = ArtifactStore(tmp_path / "one")
    found.get_or_build(STAGE)
    return found


def send(shared: RemoteStore, store: ArtifactStore) -> None:
    shared.send(HERE, store.folder(HERE), store.manifest(HERE))


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_sent_arrives(shared: RemoteStore, store: ArtifactStore, tmp_path: Path) -> None:
    other = ArtifactStore(tmp_path / "other", shared.url)
    assert not other.has(HERE)
    assert shared.keys("toy") == set()
    shared.check()
    send(shared, store)
    assert shared.keys("toy") == {HERE.key}
    assert other.has(HERE)
    assert verify(other.path(HERE))
    assert other.manifest(HERE) == store.manifest(HERE), "also how long it took to build"
    assert {**files(other.path(HERE)), MANIFEST: b""} == {**files(store.path(HERE)), MANIFEST: b""}


def test_without_its_manifest_it_is_not_there(
    shared: RemoteStore, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that dies while it sends."""

    def die(self: RemoteStore, place: str, content: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(RemoteStore, "_write", die)
        with pytest.raises(KeyboardInterrupt):
            send(shared, store)
    other = ArtifactStore(tmp_path / "other", shared.url)
    assert not other.has(HERE)
    assert not list((tmp_path / "other").rglob("a.txt"))
    send(shared, store)
    assert other.has(HERE)


def test_two_machines_send_different_bytes_of_one_result(
    shared: RemoteStore, store: ArtifactStore, tmp_path: Path
) -> None:
    """As two GPUs do: what arrives is the one or the other, never a part of each."""
    rival = ArtifactStore(tmp_path / "rival")

    def write_else(folder: Path) -> None:
        write(folder)
        (folder / "a.txt").write_text("else")

    rival.get_or_build(STAGE, write_else)
    start = threading.Barrier(2)

    def send_together(which: ArtifactStore) -> None:
        start.wait()
        send(RemoteStore(shared.url), which)

    senders = [threading.Thread(target=send_together, args=(which,)) for which in (store, rival)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    other = ArtifactStore(tmp_path / "other", shared.url)
    assert other.has(HERE)
    assert (other.path(HERE) / "a.txt").read_text() in ("a", "else")


def test_damage_is_refused_and_leaves_nothing(store: ArtifactStore, tmp_path: Path) -> None:
    shared = RemoteStore(f"file://{tmp_path}/shared")
    send(shared, store)
    sha = store.manifest(HERE)["files"]["a.txt"]
    (tmp_path / "shared" / "toy" / HERE.key / sha).write_text("b")
    with pytest.raises(StoreError, match=f"toy {HERE.key} is damaged on the shared storage"):
        ArtifactStore(tmp_path / "other", shared.url).path(HERE)
    assert not files(tmp_path / "other" / "toy")


def test_no_draft_is_left_in_a_folder(store: ArtifactStore, tmp_path: Path) -> None:
    shared = RemoteStore(f"file://{tmp_path}/shared")
    shared.check()
    send(shared, store)
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


def test_what_one_machine_built_another_one_takes(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And finds it as an input."""
    monkeypatch.setenv(SHARED, f"file://{tmp_path}/shared")
    built: list[Any] = []

    def build(folder: Path) -> None:
        built.append(folder)
        write(folder)

    artifacts = [ArtifactStore.at(tmp_path / name).get_or_build(STAGE, build) for name in ("a", "b")]
    assert len(built) == 1
    assert artifacts[0] == artifacts[1] == HERE
    third = ArtifactStore.at(tmp_path / "c")
    assert files(third.path(HERE))["a.txt"] == b"a"
    assert third.manifest(HERE)["parameters"]["x"] == {"a": 1}
    assert json.loads((tmp_path / "c" / "toy" / HERE.key / MANIFEST).read_text())["key"] == HERE.key
