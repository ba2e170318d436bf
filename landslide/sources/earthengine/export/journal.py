"""What has been delivered, on disk: an export that was killed goes on with the tiles that it lacks.

A folder holds `journal.json` (for which request), one `.f32` file a tile (band, y, x; little-endian float32) and
`tiles.jsonl`: a line for every tile once it is whole, and for every tile that was too large and is requested in halves.
A tile is written beside its place and renamed before its line is written, so that a line never names a tile that is not
there; its digest finds a tile that was damaged, so that nothing need be synced. The folder is locked while it is open,
so that two processes do not export the same layer at once; the lock file lies beside it.
"""

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from landslide.artifacts.atomic import try_lock, write_text
from landslide.errors import StoreError
from landslide.geo.grid import Roi

HEADER, LINES, OWNER = "journal.json", "tiles.jsonl", "owner"
TILE, DRAFT = ".f32", ".draft"
POLL_SECONDS = 0.1
Bounds = tuple[int, int, int, int]
log = logging.getLogger(__name__)


class Journal:
    """The tiles of one request that are on disk. Open it with `with`; its methods may be called from any thread.

    `identity` is a digest of the request: a folder that was begun for another one, or for another `shape` (height,
    width) or other `bands`, starts afresh. Raises StoreError where the folder cannot be used.
    """

    def __init__(self, folder: Path, identity: str, shape: tuple[int, int], bands: Sequence[str]) -> None:
        self.folder = folder
        self._header = {"identity": identity, "shape": list(shape), "bands": list(bands)}
        self._depth = len(bands)
        self._tiles: dict[Bounds, str] = {}
        self._split: set[Bounds] = set()
        self._lock = threading.Lock()
        self._folder_lock: FileLock | None = _lock_folder(folder)
        try:
            with self._store_errors():
                self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the next process in. A tile that comes later is dropped."""
        with self._lock:
            if self._folder_lock is not None:
                self._folder_lock.release()
                self._folder_lock = None

    def keep(self, roi: Roi, values: NDArray[np.float32]) -> bool:
        """Write a tile (band, y, x); False if the journal was closed meanwhile.

        Raises StoreError, and leaves no half tile, where the disk is full.
        """
        data = np.ascontiguousarray(values, "<f4").reshape(-1).view(np.uint8).data
        line = {"roi": bounds(roi), "sha256": hashlib.sha256(data).hexdigest(), "bytes": data.nbytes}
        final = self._path(bounds(roi))
        draft = final.with_name(f"{final.name}.{os.getpid()}.{threading.get_ident()}{DRAFT}")
        with self._store_errors():
            try:
                with draft.open("wb", buffering=0) as file:
                    _write(file, data)
                with self._lock:  # a closed journal may be another process's by now, so not `atomic_file`
                    if self._folder_lock is None:
                        return False
                    draft.replace(final)
                    self._append(line)
                    self._tiles[bounds(roi)] = str(line["sha256"])
            finally:
                draft.unlink(missing_ok=True)
        return True

    def split(self, roi: Roi) -> None:
        """Note that a tile is too large, so that no later run requests it whole again."""
        with self._store_errors(), self._lock:
            if self._folder_lock is not None:
                self._append({"split": bounds(roi)})
                self._split.add(bounds(roi))

    def kept(self) -> list[Roi]:
        """The tiles on disk, in the order in which they came. They do not overlap."""
        with self._lock:
            return [_roi(tile) for tile in self._tiles]

    def read(self, roi: Roi) -> NDArray[np.float32] | None:
        """A kept tile (band, y, x); None, and it counts as missing from now on, if the file is not as written."""
        top, bottom, left, right = tile = bounds(roi)
        path = self._path(tile)
        with self._store_errors():
            data = np.fromfile(path, np.uint8) if path.exists() else np.empty(0, np.uint8)
        sha = hashlib.sha256(data.data).hexdigest()
        with self._lock:
            if sha != self._tiles.get(tile):
                log.warning("%s is damaged and is requested again", path)
                self._tiles.pop(tile, None)
                path.unlink(missing_ok=True)
                return None
        return data.view("<f4").reshape(self._depth, bottom - top, right - left).astype(np.float32, copy=False)

    def missing(self, tiles: Iterable[Roi]) -> list[Roi]:
        """What is to be requested: of every tile the parts that no kept tile covers, tiles that were split in halves.

        The kept tiles may be of another size.
        """
        with self._lock:
            kept = np.array(list(self._tiles), int).reshape(-1, 4)
        return [part for tile in tiles for part in self._missing_parts(tile, kept)]

    def _missing_parts(self, roi: Roi, kept: NDArray[np.int_]) -> Iterator[Roi]:
        top, bottom, left, right = bounds(roi)
        rows = np.minimum(kept[:, 1], bottom) - np.maximum(kept[:, 0], top)
        columns = np.minimum(kept[:, 3], right) - np.maximum(kept[:, 2], left)
        overlapping = (rows > 0) & (columns > 0)
        covered = int((rows * columns)[overlapping].sum())
        if not covered and bounds(roi) not in self._split:
            yield roi
        elif covered < (bottom - top) * (right - left):
            for half in halves(roi):
                yield from self._missing_parts(half, kept[overlapping])

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        header = self.folder / HEADER
        if not header.exists() or _json(header.read_text()) != self._header:
            for path in [path for name in (LINES, f"*{TILE}", f"*{DRAFT}") for path in self.folder.glob(name)]:
                path.unlink(missing_ok=True)
            write_text(header, json.dumps(self._header), durable=False)
        (self.folder / OWNER).write_text(str(os.getpid()))
        lines = self.folder / LINES
        for line in lines.read_text(errors="replace").splitlines() if lines.exists() else []:
            self._load_line(_json(line))
        self._sweep()

    def _load_line(self, line: Any) -> None:
        """Take a line into account, unless a kill cut it off or its tile is gone."""
        if not isinstance(line, dict):
            return
        if "split" in line:
            self._split.add(tuple(line["split"]))
            return
        tile = tuple(line["roi"])
        path = self._path(tile)
        if path.exists() and path.stat().st_size == line["bytes"]:
            self._tiles[tile] = line["sha256"]

    def _sweep(self) -> None:
        """Remove files without a line, and lines without a file, so that new lines follow whole ones."""
        wanted = {self._path(tile) for tile in self._tiles}
        for path in [*self.folder.glob(f"*{TILE}"), *self.folder.glob(f"*{DRAFT}")]:
            if path not in wanted:
                path.unlink(missing_ok=True)
        splits = [{"split": tile} for tile in sorted(self._split)]
        tiles = [
            {"roi": tile, "sha256": sha, "bytes": self._path(tile).stat().st_size} for tile, sha in self._tiles.items()
        ]
        text = "".join(f"{json.dumps(line)}\n" for line in [*splits, *tiles])
        write_text(self.folder / LINES, text, durable=False)

    def _append(self, line: dict[str, Any]) -> None:
        with (self.folder / LINES).open("ab", buffering=0) as file:
            length = file.tell()
            try:
                _write(file, f"{json.dumps(line)}\n".encode())
            except OSError:
                os.ftruncate(file.fileno(), length)  # or the next line would be appended to half of this one
                raise

    def _path(self, tile: Bounds) -> Path:
        top, bottom, left, right = tile
        return self.folder / f"r{top:05}_c{left:05}_h{bottom - top:05}_w{right - left:05}{TILE}"

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"cannot keep tiles in {self.folder}: {error.strerror or error}. Make room or choose another store, "
                "then run the same command again: what has been delivered is kept"
            ) from error


def bounds(roi: Roi) -> Bounds:
    """First row, row after the last, first column, column after the last."""
    rows, columns = roi
    return rows.start, rows.stop, columns.start, columns.stop


def halves(roi: Roi) -> tuple[Roi, Roi]:
    """A tile cut across its longer side."""
    rows, columns = roi
    if rows.stop - rows.start >= columns.stop - columns.start:
        middle = (rows.start + rows.stop) // 2
        return (slice(rows.start, middle), columns), (slice(middle, rows.stop), columns)
    middle = (columns.start + columns.stop) // 2
    return (rows, slice(columns.start, middle)), (rows, slice(middle, columns.stop))


def _roi(tile: Bounds) -> Roi:
    top, bottom, left, right = tile
    return slice(top, bottom), slice(left, right)


def _lock_folder(folder: Path) -> FileLock:
    """The lock of the folder, waiting for the process that has it; StoreError where no lock file can be written."""
    path = folder.with_name(f"{folder.name}.lock")
    lock = try_lock(path)
    if lock is None:
        owner = folder / OWNER
        process = owner.read_text() if owner.exists() else "unknown"
        log.warning("waiting for process %s, which exports the same layer into %s", process, folder)
    while lock is None:
        time.sleep(POLL_SECONDS)
        lock = try_lock(path)
    return lock


def _write(file: FileIO, data: bytes | memoryview) -> None:
    """Write it all: a nearly full disk takes a part of it before it refuses the rest."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
