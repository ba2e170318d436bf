"""The one way to write: a file or a folder appears whole or not at all, and a lock belongs to one process at a time."""

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
    """Hold the lock of a file while others wait; it falls with the process, however that ends."""
    writable(path.parent)
    with FileLock(path):
        yield


def try_lock(path: Path) -> FileLock | None:
    """The lock of a file, held until its `release()`; None where another process or thread holds it."""
    writable(path.parent)
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


@contextmanager
def atomic_file(path: Path, durable: bool = True) -> Iterator[Path]:
    """A draft to write beside a file, which takes its place at the end of the block and is gone after an error.

    With `durable` it is on the disk when the block ends, also after a power cut.
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
    """Write a file in UTF-8, whole or not at all."""
    with atomic_file(path, durable) as draft:
        draft.write_text(text, encoding="utf-8")


@contextmanager
def draft_folder(path: Path) -> Iterator[Path]:
    """A fresh folder beside a final place, gone after the block unless `publish` has moved it there.

    Drafts of this place that a killed process of this machine left behind are removed first.
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
    """Move a finished draft to its final place, on the disk and in one step, replacing what is there."""
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
    """Have a file or a folder written to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def writable(folder: Path) -> None:
    """Make a folder; StoreError if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write into {folder}: {error.strerror}. Choose another folder") from error
    if not os.access(folder, os.W_OK):
        raise StoreError(f"cannot write into {folder}: permission denied. Choose another folder")


def _prefix(path: Path) -> str:
    """How the names of this machine's drafts begin; other machines may share the folder."""
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
