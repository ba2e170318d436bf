"""Artifacts on storage that machines share: a bucket (`s3://`, `gs://`), a mounted folder, whatever fsspec opens.

A file of an artifact lies in `<stage>/<key>/<its sha256>` and is never changed; `manifest.json`, sent last, says which
file is which. Each arrives whole or not at all, so a reader finds a whole artifact or none, also when two machines send
the same one.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from landslide.artifacts.atomic import atomic_file
from landslide.errors import InputError, LandslideError, ServiceError

if TYPE_CHECKING:
    from landslide.artifacts.stage import Artifact

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class RemoteStore:
    """A folder of artifacts at a URL. Credentials come from the environment, as the URL's library reads them.

    Raises InputError for a URL that nothing opens, ServiceError where the storage does not answer as it should.
    """

    url: str

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        try:
            files, root = url_to_fs(self.url)
        except (ValueError, ImportError) as error:
            raise InputError(
                f"shared storage {self.url!r}: {error}. Give s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or "
                "file:///FOLDER, and install landslide[cloud] for the first two"
            ) from error
        return files, root.rstrip("/")

    def check(self) -> None:
        """Write a small file and remove it."""
        place = self._place(f".probe-{uuid.uuid4().hex}")
        with self._reaching():
            self._write(place, b"")
            self._files.rm_file(place)

    def has(self, artifact: Artifact) -> bool:
        """Whether a whole artifact is there."""
        return self._manifest(artifact) is not None

    def fetch(self, artifact: Artifact, folder: Path) -> dict[str, Any]:
        """Bring an artifact's files into an empty folder; the manifest of one that is there."""
        manifest = self._manifest(artifact)
        if manifest is None:
            raise ServiceError(f"{artifact.stage} {artifact.key} is not on {self.url}. Run the same command again")
        for name, sha in manifest["files"].items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with self._reaching():
                self._files.get_file(self._place(artifact.stage, artifact.key, sha), str(folder / name))
        return manifest

    def send(self, artifact: Artifact, folder: Path, manifest: dict[str, Any]) -> None:
        """Copy an artifact's folder there, unless it is there."""
        if self._manifest(artifact) is not None:
            return
        with self._reaching():
            for name, sha in manifest["files"].items():
                self._put(folder / name, self._place(artifact.stage, artifact.key, sha))
            self._write(self._place(artifact.stage, artifact.key, MANIFEST), json.dumps(manifest).encode())

    def keys(self, stage: str) -> set[str]:
        """The keys of a stage's artifacts."""
        with self._reaching():
            self._files.invalidate_cache()
            return {place.split("/")[-2] for place in self._files.glob(self._place(stage, "*", MANIFEST))}

    @property
    def _files(self) -> Any:
        return self._opened[0]

    def _place(self, *parts: str) -> str:
        return "/".join((self._opened[1], *parts))

    def _manifest(self, artifact: Artifact) -> dict[str, Any] | None:
        with self._reaching():
            try:
                content = self._files.cat_file(self._place(artifact.stage, artifact.key, MANIFEST))
            except FileNotFoundError:
                return None
        manifest: dict[str, Any] = json.loads(content)
        return manifest

    def _put(self, file: Path, place: str) -> None:
        """A local file to a place; a bucket shows an object once it is whole, a folder needs a rename for that."""
        if not isinstance(self._files, LocalFileSystem):
            self._files.put_file(str(file), place)
            return
        self._files.makedirs(str(Path(place).parent), exist_ok=True)
        with atomic_file(Path(place)) as draft:
            self._files.put_file(str(file), str(draft))

    def _write(self, place: str, content: bytes) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self._put(Path(file.name), place)

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """What the storage's own library raises, in one line. Of all kinds: each library has its own."""
        try:
            yield
        except LandslideError:
            raise
        except Exception as error:
            raise ServiceError(
                f"shared storage {self.url}: {type(error).__name__}: {error}. Check its name, the network and the "
                "credentials in the environment; the same command goes on from here"
            ) from error
