"""Artifacts on storage shared by machines: a bucket (`s3://`, `gs://`), a mounted folder, or another fsspec URL.

An artifact's files are stored as `<stage>/<key>/<sha256>` and never change; `manifest.json`, written last, maps names
to digests. Each file is written atomically, so a reader finds a complete artifact or none, also when two machines send
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
from landslide.artifacts.store import MANIFEST
from landslide.errors import InputError, LandslideError, ServiceError

if TYPE_CHECKING:
    from landslide.artifacts.stage import Artifact


@dataclass(frozen=True)
class RemoteStore:
    """A folder of artifacts at a URL. The URL's fsspec library reads credentials from the environment.

    Methods raise InputError for an unsupported URL, ServiceError if the storage fails.
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
        """Test access: write a small file and remove it."""
        path = self._path(f".probe-{uuid.uuid4().hex}")
        with self._service_errors():
            self._write(path, b"")
            self._files.rm_file(path)

    def has(self, artifact: Artifact) -> bool:
        return self._manifest(artifact) is not None

    def fetch(self, artifact: Artifact, folder: Path) -> dict[str, Any]:
        """Download an artifact's files into an empty folder and return its manifest."""
        manifest = self._manifest(artifact)
        if manifest is None:
            raise ServiceError(f"{artifact.stage} {artifact.key} is not on {self.url}. Run the same command again")
        for name, sha in manifest["files"].items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with self._service_errors():
                self._files.get_file(self._path(artifact.stage, artifact.key, sha), str(folder / name))
        return manifest

    def send(self, artifact: Artifact, folder: Path, manifest: dict[str, Any]) -> None:
        """Upload an artifact's folder, unless the storage has it."""
        if self._manifest(artifact) is not None:
            return
        with self._service_errors():
            for name, sha in manifest["files"].items():
                self._put(folder / name, self._path(artifact.stage, artifact.key, sha))
            self._write(self._path(artifact.stage, artifact.key, MANIFEST), json.dumps(manifest).encode())

    def keys(self, stage: str) -> set[str]:
        with self._service_errors():
            self._files.invalidate_cache()
            return {path.split("/")[-2] for path in self._files.glob(self._path(stage, "*", MANIFEST))}

    @property
    def _files(self) -> Any:
        return self._opened[0]

    def _path(self, *parts: str) -> str:
        return "/".join((self._opened[1], *parts))

    def _manifest(self, artifact: Artifact) -> dict[str, Any] | None:
        with self._service_errors():
            try:
                content = self._files.cat_file(self._path(artifact.stage, artifact.key, MANIFEST))
            except FileNotFoundError:
                return None
        manifest: dict[str, Any] = json.loads(content)
        return manifest

    def _put(self, file: Path, path: str) -> None:
        """Upload a file atomically: by the nature of a bucket, or by renaming in a folder."""
        if not isinstance(self._files, LocalFileSystem):
            self._files.put_file(str(file), path)
            return
        self._files.makedirs(str(Path(path).parent), exist_ok=True)
        with atomic_file(Path(path)) as draft:
            self._files.put_file(str(file), str(draft))

    def _write(self, path: str, content: bytes) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            self._put(Path(file.name), path)

    @contextmanager
    def _service_errors(self) -> Iterator[None]:
        """Convert errors of the storage's library to ServiceError. Each library has exceptions of its own."""
        try:
            yield
        except LandslideError:
            raise
        except Exception as error:
            raise ServiceError(
                f"shared storage {self.url}: {type(error).__name__}: {error}. Check its name, the network and the "
                "credentials in the environment, and run the same command again"
            ) from error
