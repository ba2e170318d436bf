import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landslide.artifacts.store import MANIFEST, Request, Store, digest
from landslide.errors import StoreError


def request(**parameters: object) -> Request:
    return Request(stage="toy", version=1, parameters=parameters, inputs={"from": "abc"})


def write(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.bin").write_bytes(bytes(range(256)))


def test_a_result_is_built_once(tmp_path: Path) -> None:
    store, built = Store(tmp_path), []
    for _ in range(2):
        store.obtain(request(x=1), lambda folder: (built.append(1), write(folder)))
    assert len(built) == 1
    assert store.find(request(x=2)) is None


@pytest.mark.parametrize("damage", ["flip", "remove", "manifest"])
def test_damage_is_noticed_and_mended(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    folder = store.path(store.obtain(request(), write))
    if damage == "flip":
        data = bytearray((folder / "deep" / "b.bin").read_bytes())
        data[17] ^= 1
        (folder / "deep" / "b.bin").write_bytes(bytes(data))
    else:
        (folder / ("a.txt" if damage == "remove" else MANIFEST)).unlink()
    assert store.find(request()) is None
    store.obtain(request(), write)
    assert store.find(request()) is not None


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        write(folder)
        raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        Store(tmp_path).obtain(request(), fail)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_killed_build_is_never_read_and_is_swept_away(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from landslide.artifacts.store import Request, Store
        def die(folder):
            (folder / "half.txt").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        request = Request(stage="toy", version=1, parameters={{}}, inputs={{"from": "abc"}})
        Store(Path({str(tmp_path)!r})).obtain(request, die)
    """)
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    store = Store(tmp_path)
    assert list(tmp_path.rglob("half.txt")), "the killed process got as far as writing"
    assert store.find(request()) is None
    store.obtain(request(), write)
    assert not list(tmp_path.rglob("half.txt"))


def test_the_manifest_tells_what_it_was_made_of(tmp_path: Path) -> None:
    store = Store(tmp_path)
    manifest = store.manifest(store.obtain(request(rate=0.1), write))
    assert manifest["parameters"] == {"rate": 0.1}
    assert set(manifest["files"]) == {"a.txt", "deep/b.bin"}


def test_a_file_in_the_way_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="Choose another folder"):
        Store(tmp_path / "file").obtain(request(), write)


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)))
def test_the_key_ignores_the_order_of_parameters(parameters: dict[str, object]) -> None:
    backwards = dict(reversed(parameters.items()))
    assert request(**{"p": parameters}).key == request(**{"p": backwards}).key
    assert digest(json.loads(json.dumps(parameters))) == digest(parameters)


def test_the_key_changes_with_everything_it_depends_on() -> None:
    base = Request(stage="a", version=1, parameters={"x": 1}, inputs={"i": "1"})
    others = [
        base.model_copy(update=change)
        for change in ({"stage": "b"}, {"version": 2}, {"parameters": {"x": 2}}, {"inputs": {"i": "2"}})
    ]
    assert len({base.key, *(other.key for other in others)}) == 5
