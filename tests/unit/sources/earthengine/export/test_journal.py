import errno
import io
import json
import logging
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide.artifacts.atomic import try_lock
from landslide.errors import StoreError
from landslide.geo.grid import Roi, blocks
from landslide.sources.earthengine.export import journal as module
from landslide.sources.earthengine.export.journal import Journal, bounds, halves
from landslide.sources.earthengine.export.stats import ExportStats

SHAPE, BANDS = (96, 160), ("vv", "vh")
TILES = blocks(SHAPE, 64)


def opened(folder: Path, identity: str = "a", shape: tuple[int, int] = SHAPE) -> Journal:
    return Journal(folder, identity, shape, BANDS)


def pixels(roi: Roi) -> np.ndarray:
    """(band, y, x) float32, another value everywhere, some of them NaN."""
    values = np.arange(2 * SHAPE[0] * SHAPE[1], dtype="float32").reshape(2, *SHAPE)[:, roi[0], roi[1]].copy()
    values[0, 0, 0] = np.nan
    return values


def test_what_is_kept_is_there_after_opening_it_again(tmp_path: Path) -> None:
    with opened(tmp_path / "new" / "folder") as journal:
        for roi in TILES[:3]:
            assert journal.keep(roi, pixels(roi))
        journal.split(TILES[4])
    with opened(tmp_path / "new" / "folder") as journal:
        assert journal.kept() == TILES[:3]
        for roi in TILES[:3]:
            np.testing.assert_array_equal(journal.read(roi), pixels(roi))
        assert journal.missing(TILES) == [TILES[3], *halves(TILES[4]), TILES[5]]


def test_what_comes_in_another_layout_is_kept_right(tmp_path: Path) -> None:
    roi = TILES[0]
    with opened(tmp_path) as journal:
        journal.keep(roi, np.asfortranarray(pixels(roi)))
        np.testing.assert_array_equal(journal.read(roi), pixels(roi))


@pytest.mark.parametrize("other", [{"identity": "b"}, {"shape": (96, 161)}], ids=["another request", "another grid"])
def test_another_request_starts_afresh(tmp_path: Path, other: dict[str, object]) -> None:
    with opened(tmp_path) as journal:
        journal.keep(TILES[0], pixels(TILES[0]))
        journal.split(TILES[1])
    (tmp_path / "notes.txt").write_text("not ours")
    with opened(tmp_path, **other) as journal:  # type: ignore[arg-type]
        assert journal.kept() == []
        assert journal.missing(TILES) == TILES
    assert not list(tmp_path.glob("*.f32"))
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("tail", ['{"roi": [0, 64, 64,', "\0\0\0\0", '"text"\n', "["])
def test_a_torn_line_is_ignored_and_mended(tmp_path: Path, tail: str) -> None:
    with opened(tmp_path) as journal:
        journal.keep(TILES[0], pixels(TILES[0]))
    with (tmp_path / "tiles.jsonl").open("a") as file:
        file.write(tail)
    with opened(tmp_path) as journal:
        journal.keep(TILES[1], pixels(TILES[1]))
    with opened(tmp_path) as journal:
        assert journal.kept() == TILES[:2]
    assert all(isinstance(json.loads(line), dict) for line in (tmp_path / "tiles.jsonl").read_text().splitlines())


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
@pytest.mark.parametrize("reopen", [False, True])
def test_a_damaged_tile_is_missing(tmp_path: Path, damage: str, reopen: bool) -> None:
    journal = opened(tmp_path)
    for roi in TILES[:2]:
        journal.keep(roi, pixels(roi))
    path = next(tmp_path.glob("r00000_c00000_*"))
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.unlink() if damage == "gone" else path.write_bytes(data if damage == "flip" else data[:-4])
    if reopen:
        journal.close()
        journal = opened(tmp_path)
    assert journal.read(TILES[0]) is None
    assert journal.kept() == TILES[1:2]
    assert journal.missing(TILES[:2]) == TILES[:1]
    journal.keep(TILES[0], pixels(TILES[0]))
    journal.close()
    with opened(tmp_path) as journal:
        assert journal.missing(TILES[:2]) == []
        np.testing.assert_array_equal(journal.read(TILES[0]), pixels(TILES[0]))


def test_files_that_a_kill_left_are_swept_away(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.keep(TILES[0], pixels(TILES[0]))
    (tmp_path / "r00000_c00064_h00064_w00064.f32").write_bytes(b"renamed, but its line was not written")
    (tmp_path / "r00000_c00128_h00064_w00032.f32.12.13.draft").write_bytes(b"half")
    with opened(tmp_path) as journal:
        assert journal.kept() == TILES[:1]
    assert len(list(tmp_path.glob("*.f32*"))) == 1


class FullDisk(io.FileIO):
    """A file on a disk with room for 100 bytes more."""

    def write(self, data: object) -> int:
        part = memoryview(data)[:100]  # type: ignore[arg-type]
        if self.tell() >= 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(part)


@pytest.mark.parametrize("which", ["draft", "tiles.jsonl"])
def test_a_full_disk_names_the_folder_and_leaves_nothing_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    with opened(tmp_path) as journal:
        journal.keep(TILES[0], pixels(TILES[0]))
        before = (tmp_path / "tiles.jsonl").read_text()
        usual = Path.open
        with monkeypatch.context() as patch:
            patch.setattr(
                Path,
                "open",
                lambda path, mode="r", **options: (
                    FullDisk(path, mode) if path.name.endswith(which) else usual(path, mode, **options)
                ),
            )
            with pytest.raises(StoreError, match=f"{tmp_path}: No space left on device"):
                journal.keep(TILES[1], pixels(TILES[1]))
        assert (tmp_path / "tiles.jsonl").read_text() == before
        assert not list(tmp_path.glob("*.draft"))
        assert journal.kept() == TILES[:1]
        journal.keep(TILES[1], pixels(TILES[1]))
    with opened(tmp_path) as journal:
        assert journal.kept() == TILES[:2]


def test_a_file_in_the_way_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="another store"):
        opened(tmp_path / "file")


def test_a_late_tile_is_dropped_and_a_removed_folder_starts_afresh(tmp_path: Path) -> None:
    with opened(tmp_path / "journal") as journal:
        journal.keep(TILES[0], pixels(TILES[0]))
    shutil.rmtree(tmp_path / "journal")
    with opened(tmp_path / "journal") as journal:
        assert journal.kept() == []
    assert journal.keep(TILES[0], pixels(TILES[0])) is False
    assert not list((tmp_path / "journal").glob("*.f32*"))


def test_the_lock_lies_beside_the_folder_and_is_free_after_closing(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal")
    assert try_lock(tmp_path / "journal.lock") is None
    assert not list((tmp_path / "journal").glob("*.lock"))
    threading.Thread(target=journal.close).start()  # as a generator that is collected in another thread
    deadline = time.monotonic() + 5
    while (lock := try_lock(tmp_path / "journal.lock")) is None:
        assert time.monotonic() < deadline
    lock.release()


@pytest.mark.slow
@pytest.mark.parametrize("removes", [False, True])
def test_a_second_process_waits_for_the_first(tmp_path: Path, caplog: pytest.LogCaptureFixture, removes: bool) -> None:
    folder = tmp_path / "journal"
    program = textwrap.dedent(f"""
        import shutil, sys
        from pathlib import Path
        import numpy as np
        from landslide.sources.earthengine.export.journal import Journal
        journal = Journal(Path({str(folder)!r}), "a", {SHAPE}, {BANDS})
        journal.keep((slice(0, 64), slice(0, 64)), np.ones((2, 64, 64), "float32"))
        print("open", flush=True)
        sys.stdin.readline()
        if {removes}:
            shutil.rmtree(journal.folder)
        journal.close()
    """)
    found: list[list[Roi]] = []

    def second() -> None:
        with opened(folder) as journal:
            found.append(journal.kept())

    with (
        caplog.at_level(logging.WARNING, module.__name__),
        subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True) as first,
    ):
        assert first.stdin is not None
        assert first.stdout is not None
        assert first.stdout.readline() == "open\n"
        thread = threading.Thread(target=second, daemon=True)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        assert f"waiting for process {first.pid}" in caplog.text
        first.stdin.write("\n")
        first.stdin.flush()
        thread.join(10)
    assert found == [[] if removes else TILES[:1]]


def test_many_threads_keep_at_once(tmp_path: Path) -> None:
    tiles = blocks(SHAPE, 8)
    with opened(tmp_path) as journal:
        threads = [
            threading.Thread(target=lambda part=tiles[k::8]: [journal.keep(roi, pixels(roi)) for roi in part])
            for k in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with opened(tmp_path) as journal:
        assert sorted(map(bounds, journal.kept())) == sorted(map(bounds, tiles))
        assert journal.missing(blocks(SHAPE, 64)) == []


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), st.integers(8, 40), st.randoms(use_true_random=False)
)
def test_kept_and_missing_partition_the_grid_whatever_the_sizes(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, side: int, other: int, random: object
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal"), "a", (height, width), BANDS)
    for roi in blocks((height, width), side):
        if random.random() < 0.5:  # type: ignore[attr-defined]
            journal._tiles[bounds(roi)] = ""
    counts = np.zeros((height, width), int)
    for roi in [*journal.kept(), *journal.missing(blocks((height, width), other))]:
        counts[roi] += 1
    assert (counts == 1).all()
    journal.close()


@given(st.integers(0, 50), st.integers(1, 50), st.integers(0, 50), st.integers(2, 50))
def test_halves_are_the_whole(top: int, height: int, left: int, width: int) -> None:
    roi = (slice(top, top + height), slice(left, left + width))
    counts = np.zeros((100, 100), int)
    for half in halves(roi):
        counts[half] += 1
    assert counts.sum() == counts[roi].sum() == height * width
    assert {half[0] == roi[0] for half in halves(roi)} == {height < width}


def test_stats_are_plain_json() -> None:
    stats = ExportStats()
    stats.add(tiles=2, bytes=10, seconds=0.5)
    for label in ("429", "connection", "429"):
        stats.retry(label)
    stated = {"tiles": 2, "requests": 0, "bytes": 10, "splits": 0, "resumed": 0, "seconds": 0.5}
    assert json.loads(json.dumps(stats.as_json())) == {**stated, "retries": {"429": 2, "connection": 1}}
    assert stats.total_retries == 3
    assert ExportStats().retries == {}
