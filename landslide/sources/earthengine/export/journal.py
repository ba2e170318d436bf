"""What has been delivered, on disk: an export that was killed resumes at the tile it died on.

A folder holds `journal.json` (for which request), one `.f32` file a tile (band, y, x; little-endian float32) and
`tiles.jsonl`: a line for every tile once it is whole, and for every tile that was too large and is asked for in halves.
A tile is written beside its place and renamed before its line is, so that a line never promises what is not there; its
digest tells a tile that a failing machine spoilt, so that nothing need be synced. The folder is locked (flock) while it
is open, so that two processes do not export the same case at once.
"""

import fcntl
import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from landslide.errors import StoreError
from landslide.geo.grid import Roi

HEADER, LINES, OWNER = "journal.json", "tiles.jsonl", "owner"
TILE, DRAFT = ".f32", ".draft"
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
        self._handle: int | None = None
        with self._naming_the_folder():
            self._handle = _locked(folder)
            try:
                self._open()
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the next one in. A tile that comes later is dropped."""
        with self._lock:
            if self._handle is not None:
                os.close(self._handle)  # and with it goes the lock
                self._handle = None

    def remove(self) -> None:
        """Delete every tile, and the folder unless something else lies in it; closes the journal."""
        with self._naming_the_folder(), self._lock:
            self._tiles, self._split = {}, set()
            for path in self._ours():
                path.unlink(missing_ok=True)
            if not any(self.folder.iterdir()):
                self.folder.rmdir()
        self.close()

    def keep(self, roi: Roi, values: NDArray[np.float32]) -> bool:
        """Write a tile (band, y, x); False if the journal was closed meanwhile.

        Raises StoreError, and leaves no half tile, where the disk is full.
        """
        data = np.ascontiguousarray(values, "<f4").reshape(-1).view(np.uint8).data
        line = {"roi": bounds(roi), "sha256": hashlib.sha256(data).hexdigest(), "bytes": data.nbytes}
        final = self._path(bounds(roi))
        draft = final.with_name(f"{final.name}.{os.getpid()}.{threading.get_ident()}{DRAFT}")
        with self._naming_the_folder():
            try:
                with draft.open("wb", buffering=0) as file:
                    _write(file, data)
                with self._lock:
                    if self._handle is None:
                        return False
                    os.replace(draft, final)
                    self._append(line)
                    self._tiles[bounds(roi)] = str(line["sha256"])
            finally:
                draft.unlink(missing_ok=True)
        return True

    def split(self, roi: Roi) -> None:
        """Note that a tile is too large, so that no later run asks for it whole again."""
        with self._naming_the_folder(), self._lock:
            if self._handle is not None:
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
        with self._naming_the_folder():
            data = np.fromfile(path, np.uint8) if path.exists() else np.empty(0, np.uint8)
        sha = hashlib.sha256(data.data).hexdigest()
        with self._lock:
            if sha != self._tiles.get(tile):
                log.warning("%s is damaged and is asked for again", path)
                self._tiles.pop(tile, None)
                path.unlink(missing_ok=True)
                return None
        return data.view("<f4").reshape(self._depth, bottom - top, right - left).astype(np.float32, copy=False)

    def missing(self, tiles: Iterable[Roi]) -> list[Roi]:
        """What is to be asked for: of every tile the parts that no kept tile covers, tiles that were split in halves.

        The kept tiles may be of another size.
        """
        with self._lock:
            kept = np.array(list(self._tiles), int).reshape(-1, 4)
        return [part for tile in tiles for part in self._parts(tile, kept)]

    def _parts(self, roi: Roi, kept: NDArray[np.int_]) -> Iterator[Roi]:
        top, bottom, left, right = bounds(roi)
        rows = np.minimum(kept[:, 1], bottom) - np.maximum(kept[:, 0], top)
        columns = np.minimum(kept[:, 3], right) - np.maximum(kept[:, 2], left)
        covering = (rows > 0) & (columns > 0)
        covered = int((rows * columns)[covering].sum())
        if not covered and bounds(roi) not in self._split:
            yield roi
        elif covered < (bottom - top) * (right - left):
            for half in halves(roi):
                yield from self._parts(half, kept[covering])

    def _open(self) -> None:
        header = self.folder / HEADER
        if not header.exists() or _json(header.read_text()) != self._header:
            for path in self._ours():
                path.unlink(missing_ok=True)
            _replace(header, json.dumps(self._header))
        (self.folder / OWNER).write_text(str(os.getpid()))
        lines = self.folder / LINES
        for line in lines.read_text(errors="replace").splitlines() if lines.exists() else []:
            self._recall(_json(line))
        self._sweep()

    def _recall(self, line: Any) -> None:
        """Take up a line; one that a kill tore counts for nothing, and neither does one whose tile is gone."""
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
        """Files without a line go, and so do lines without a file: what is left is what is appended to."""
        wanted = {self._path(tile) for tile in self._tiles}
        for path in [*self.folder.glob(f"*{TILE}"), *self.folder.glob(f"*{DRAFT}")]:
            if path not in wanted:
                path.unlink(missing_ok=True)
        splits = [{"split": tile} for tile in sorted(self._split)]
        tiles = [
            {"roi": tile, "sha256": sha, "bytes": self._path(tile).stat().st_size} for tile, sha in self._tiles.items()
        ]
        _replace(self.folder / LINES, "".join(f"{json.dumps(line)}\n" for line in [*splits, *tiles]))

    def _append(self, line: dict[str, Any]) -> None:
        with (self.folder / LINES).open("ab", buffering=0) as file:
            whole = file.tell()
            try:
                _write(file, f"{json.dumps(line)}\n".encode())
            except OSError:
                os.ftruncate(file.fileno(), whole)  # or the next line would be glued to half of this one
                raise

    def _ours(self) -> list[Path]:
        return [path for name in (HEADER, LINES, OWNER, f"*{TILE}", f"*{DRAFT}") for path in self.folder.glob(name)]

    def _path(self, tile: Bounds) -> Path:
        top, bottom, left, right = tile
        return self.folder / f"r{top:05}_c{left:05}_h{bottom - top:05}_w{right - left:05}{TILE}"

    @contextmanager
    def _naming_the_folder(self) -> Iterator[None]:
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


def _locked(folder: Path) -> int:
    """A handle on the folder, made if need be, that holds its lock."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        try:
            _await_lock(handle, folder)
            if folder.exists() and os.path.samestat(os.fstat(handle), folder.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the one before us has removed the folder: what we hold is the lock on nothing


def _await_lock(handle: int, folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = folder / OWNER
        process = owner.read_text() if owner.exists() else "unknown"
        log.warning("waiting for process %s, which exports the same case into %s", process, folder)
        fcntl.flock(handle, fcntl.LOCK_EX)


def _write(file: FileIO, data: bytes | memoryview) -> None:
    """Write it all: a nearly full disk takes a part of it before it refuses the rest."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(path.name + DRAFT)
    with draft.open("wb", buffering=0) as file:
        _write(file, text.encode())
    os.replace(draft, path)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
