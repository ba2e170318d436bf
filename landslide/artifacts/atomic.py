"""Atomic writes of files and folders, and locks between processes."""

import os
import platform
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from landslide.errors import StoreError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock of a file and hold it for the block. It is released when the process ends, however it ends."""
    writable(path.parent)
    with FileLock(path):
        yield


def try_lock(path: Path) -> FileLock | None:
    """Acquire the lock of a file, held until its `release()`; None if another process or thread holds it."""
    writable(path.parent)
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


@contextmanager
def atomic_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """A draft to write, which replaces the file at the end of the block. After an error it is removed.

    With `durable` the file is synced to the disk first, so that it survives a power failure.
    """
    if durable:
        _sweep(path)
    draft = _draft(path)
    try:
        yield draft
        if durable:
            sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_file(path, durable) as draft:
        draft.write_text(text, encoding="utf-8")


@contextmanager
def draft_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside the final path, removed after the block unless `publish` has moved it there.

    Drafts of the same path that killed processes of this machine left behind are removed first.
    """
    writable(path.parent)
    _sweep(path)
    draft = _draft(path)
    draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def publish(draft: Path, path: Path) -> None:
    """Sync a finished draft to the disk and rename it to its final path, replacing an earlier folder."""
    for file in draft.rglob("*"):
        if file.is_file():
            sync(file)
    sync(draft)
    old = path.with_name(f"{draft.name}.old")
    if path.exists():
        path.rename(old)
    try:
        draft.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def writable(folder: Path) -> None:
    """Create a folder if needed; StoreError if it is not writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write into {folder}: {error.strerror}. Choose another folder") from error
    if not os.access(folder, os.W_OK):
        raise StoreError(f"cannot write into {folder}: permission denied. Choose another folder")


def _prefix(path: Path) -> str:
    """Prefix of this machine's drafts; other machines may share the folder."""
    return f".{path.name}.{platform.node()}"


def _draft(path: Path) -> Path:
    return path.with_name(f"{_prefix(path)}.{os.getpid()}.{threading.get_ident()}")


def _sweep(path: Path) -> None:
    for draft in path.parent.glob(f"{_prefix(path)}.*"):
        process = draft.name.removeprefix(f"{_prefix(path)}.").split(".")[0]
        if process.isdigit() and not _alive(int(process)):
            shutil.rmtree(draft) if draft.is_dir() else draft.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
