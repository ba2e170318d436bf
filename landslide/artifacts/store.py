"""The artifact store: every stage's result in a folder named by what it was made of.

`key = sha256(stage, version, parameters, inputs)`; the files lie in `<root>/<stage>/<key>/` beside a `manifest.json`
with each file's sha256. A result is built in a temporary folder beside its final place, synced and renamed, so a
reader sees all of it or nothing; it counts as present only while its manifest verifies.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from landslide import __version__
from landslide.errors import InputError, StoreError

MANIFEST = "manifest.json"
KEY_LENGTH = 24


class Request(BaseModel):
    """What a stage is asked for: small, JSON, and all that its result depends on.

    `inputs` maps a role to a digest: the key of an artifact, or the sha256 of a file's content.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    version: int
    parameters: dict[str, Any]
    inputs: dict[str, str] = {}

    @property
    def key(self) -> str:
        """24 hexadecimal digits that name the result."""
        return digest(self.model_dump(mode="json"))[:KEY_LENGTH]


class Artifact(BaseModel):
    """A reference to a result: what tasks pass to each other. Its place depends on the store, its identity does not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    key: str


@dataclass(frozen=True)
class Store:
    """A folder of artifacts."""

    root: Path

    def path(self, artifact: Artifact | Request) -> Path:
        """Where the artifact's files lie, or would lie."""
        return self.root / artifact.stage / artifact.key

    def find(self, request: Request) -> Artifact | None:
        """The finished result of a request; None if it is missing, incomplete or damaged."""
        return Artifact(stage=request.stage, key=request.key) if verify(self.path(request)) else None

    def obtain(self, request: Request, build: Callable[[Path], None]) -> Artifact:
        """The result of a request, built by `build(folder)` only when no verified one is there.

        Of several processes that ask for one result, one builds it and the others wait.
        """
        found = self.find(request)
        if found is not None:
            return found
        with self._alone(request):
            return self.find(request) or self.build(request, build)

    def build(self, request: Request, build: Callable[[Path], None]) -> Artifact:
        """Build the result anew and publish it whole. Whatever `build` raises leaves nothing behind."""
        started = time.monotonic()
        with self._draft(request) as draft:
            build(draft)
            _write_manifest(draft, request, time.monotonic() - started)
            _publish(draft, self.path(request))
        return Artifact(stage=request.stage, key=request.key)

    def receive(self, artifact: Artifact, bring: Callable[[Path], bool]) -> bool:
        """Publish a result that was made elsewhere, unless it is here; False if `bring(folder)` found none.

        Raises StoreError if what was brought does not match its manifest.
        """
        with self._alone(artifact):
            if verify(self.path(artifact)):
                return True
            with self._draft(artifact) as draft:
                if not bring(draft):
                    return False
                if not verify(draft):
                    raise StoreError(f"{artifact.stage} {artifact.key} arrived damaged. Remove it where it came from")
                _publish(draft, self.path(artifact))
        return True

    @contextmanager
    def _draft(self, artifact: Artifact | Request) -> Iterator[Path]:
        """A folder beside the result's final place that is gone after the block."""
        final = self.path(artifact)
        writable(final.parent)
        _sweep(final)
        draft = final.with_name(f"{_drafts(final)}.{os.getpid()}.{threading.get_ident()}")
        draft.mkdir()
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def workspace(self, request: Request) -> Path:
        """A folder for what must outlast a run that is killed before its result is there; its user makes and removes
        it.
        """
        return self.root / ".work" / f"{request.stage}-{request.key}"

    @contextmanager
    def _alone(self, artifact: Artifact | Request) -> Iterator[None]:
        """One process, and one thread of it, at a time; the lock falls with the process, however it ends."""
        path = self.root / ".locks" / f"{artifact.stage}-{artifact.key}"
        writable(path.parent)
        with _locked(path):
            try:
                yield
            finally:
                path.unlink()

    def manifest(self, artifact: Artifact) -> dict[str, Any]:
        """The manifest of a published artifact."""
        manifest: dict[str, Any] = json.loads((self.path(artifact) / MANIFEST).read_text())
        return manifest


def digest(value: object) -> str:
    """sha256 of a value's canonical JSON: sorted keys, no spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's content; InputError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}. Check the path") from error


def path_digest(path: Path) -> str:
    """sha256 of a file's content, or of all files' names and contents in a folder; InputError if unreadable."""
    if not path.is_dir():
        return file_digest(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest([[str(file.relative_to(path)), file_digest(file)] for file in files])


def verify(folder: Path) -> bool:
    """Whether every file that the folder's manifest lists is there, unchanged."""
    try:
        files: Mapping[str, str] = json.loads((folder / MANIFEST).read_text())["files"]
        return all(file_digest(folder / name) == sha for name, sha in files.items())
    except (OSError, ValueError, KeyError, InputError):
        return False


def writable(folder: Path) -> None:
    """Make the folder; StoreError if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write into {folder}: {error.strerror}. Choose another folder") from error
    if not os.access(folder, os.W_OK):
        raise StoreError(f"cannot write into {folder}: permission denied. Choose another folder")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that its last holder removes: what was waited for may be gone, then a new one is made."""
    while True:
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                yield
                return


def _drafts(final: Path) -> str:
    """How the names of this machine's drafts of an artifact begin; other machines may share the store."""
    return f".{final.name}.{platform.node()}"


def _sweep(final: Path) -> None:
    """Remove drafts of this artifact that a process of this machine left behind when it was killed."""
    for draft in final.parent.glob(f"{_drafts(final)}.*"):
        if not _alive(int(draft.name.split(".")[-2])):
            shutil.rmtree(draft, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write_manifest(folder: Path, request: Request, seconds: float) -> None:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    manifest = {
        **request.model_dump(mode="json"),
        "key": request.key,
        "files": {name: file_digest(folder / name) for name in names},
        "versions": {"landslide": __version__, "python": platform.python_version()},
        "seconds": round(seconds, 3),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))


def _publish(draft: Path, final: Path) -> None:
    for path in draft.rglob("*"):
        if path.is_file():
            _sync(path)
    _sync(draft)
    if verify(final):  # another process was faster: its result is as good
        return
    if final.exists():
        shutil.rmtree(final)
    draft.rename(final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
