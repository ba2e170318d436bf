import threading
from pathlib import Path

import pytest

from landslide.artifacts import store as module
from landslide.artifacts.store import MANIFEST, ArtifactStore
from landslide.errors import StoreError
from tests.helpers.toy_stage import Toy, write


def test_a_result_is_built_once(tmp_path: Path) -> None:
    store, built = ArtifactStore(tmp_path), []
    for _ in range(2):
        store.get_or_build(Toy(x={"a": 1}), lambda folder: (built.append(1), write(folder)))
    assert len(built) == 1
    assert store.has(Toy(x={"a": 1}).artifact)
    assert not store.has(Toy(x={"a": 2}).artifact)


@pytest.mark.parametrize("damage", ["flip", "remove", "manifest"])
def test_damage_is_noticed_and_mended(tmp_path: Path, damage: str) -> None:
    store = ArtifactStore(tmp_path)
    artifact = store.get_or_build(Toy())
    folder = store.path(artifact)
    if damage == "flip":
        data = bytearray((folder / "deep" / "b.bin").read_bytes())
        data[17] ^= 1
        (folder / "deep" / "b.bin").write_bytes(bytes(data))
    else:
        (folder / ("a.txt" if damage == "remove" else MANIFEST)).unlink()
    assert not store.has(artifact)
    store.get_or_build(Toy())
    assert store.has(artifact)


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        ArtifactStore(tmp_path).get_or_build(Toy(), fail)
    assert not [path for path in (tmp_path / "toy").rglob("*") if path.is_file()]


def test_of_several_threads_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    built: list[int] = []
    start = threading.Barrier(6)

    def ask() -> None:
        start.wait()
        ArtifactStore(tmp_path).get_or_build(Toy(), lambda folder: (built.append(1), write(folder)))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1


def test_nothing_is_hashed_twice_in_one_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, hashed = ArtifactStore(tmp_path), []
    plain = module.content_digest

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return plain(path)

    monkeypatch.setattr(module, "content_digest", counted)
    for _ in range(2):  # built, then found
        store.get_or_build(Toy())
        assert sorted(hashed) == ["a.txt", "b.bin"]
        hashed.clear()


def test_the_manifest_says_what_it_was_made_of(tmp_path: Path) -> None:
    import rasterio
    import torch

    store = ArtifactStore(tmp_path)
    manifest = store.manifest(store.get_or_build(Toy(x={"rate": 0.1})))
    assert manifest["parameters"] == {"x": {"rate": 0.1}, "source": {"stage": "other", "key": "abc"}}
    assert manifest["inputs"] == [{"stage": "other", "key": "abc"}]
    assert set(manifest["files"]) == {"a.txt", "deep/b.bin"}
    assert manifest["versions"]["torch"] == torch.__version__.split("+")[0]
    assert manifest["versions"]["gdal"] == rasterio.__gdal_version__
    assert {"segmentation-models-pytorch", "earthengine-api", "landslide", "python"} <= set(manifest["versions"])


def test_a_file_in_the_way_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Choose another folder"):
        ArtifactStore(tmp_path / "file").get_or_build(Toy())
