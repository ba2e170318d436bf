"""The artifact store: the result of every stage in `<local>/<stage>/<key>/`, with a `manifest.json` of sha256 digests.

A result is built in a draft folder, synced and renamed, so that readers never see a part of it. It counts as present
only if its manifest verifies. With `remote`, storage shared by machines, results are also fetched from and sent there.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landslide import __version__
from landslide.artifacts.atomic import draft_folder, locked, publish
from landslide.artifacts.stage import Artifact, Stage, content_digest
from landslide.errors import StoreError

if TYPE_CHECKING:
    from landslide.artifacts.remote import RemoteStore

MANIFEST = "manifest.json"
SHARED = "LANDSLIDE_SHARED"
RECORDED = ("torch", "segmentation-models-pytorch", "earthengine-api")


@dataclass(frozen=True)
class ArtifactStore:
    """A folder of artifacts, optionally backed by shared storage at a URL."""

    local: Path
    remote_url: str | None = None

    @classmethod
    def at(cls, folder: Path) -> ArtifactStore:
        """The store in a folder, with the shared storage of the environment variable LANDSLIDE_SHARED."""
        return cls(folder, os.environ.get(SHARED) or None)

    @cached_property
    def remote(self) -> RemoteStore | None:
        from landslide.artifacts.remote import RemoteStore  # fsspec

        return RemoteStore(self.remote_url) if self.remote_url else None

    def folder(self, artifact: Artifact) -> Path:
        """The local folder of an artifact, whether or not it exists."""
        return self.local / artifact.stage / artifact.key

    def path(self, artifact: Artifact) -> Path:
        """The folder of a finished artifact, fetched from the shared storage if it is not here."""
        folder = self.folder(artifact)
        if self.remote is not None and not folder.exists():
            self._fetch(artifact)
        return folder

    def has(self, artifact: Artifact) -> bool:
        """Whether the artifact is complete and undamaged, after fetching it from the shared storage if needed."""
        return verify(self.folder(artifact)) or self._fetch(artifact)

    def get_or_build(self, stage: Stage, build: Callable[[Path], None] | None = None) -> Artifact:
        """The result of a stage, built by `build` or `stage.build` unless it exists.

        Of several processes that need the same result, one builds it and the others wait.
        """
        artifact = stage.artifact
        folder = self.folder(artifact)
        if not self.has(artifact):
            with self._lock(artifact):
                if not verify(folder):  # another process may have built it while this one waited
                    self._build(stage, build or (lambda draft: stage.build(draft, self)))
        if self.remote is not None:
            self.remote.send(artifact, folder, self.manifest(artifact))
        return artifact

    def manifest(self, artifact: Artifact) -> dict[str, Any]:
        manifest: dict[str, Any] = json.loads((self.folder(artifact) / MANIFEST).read_text())
        return manifest

    def workspace(self, stage: Stage) -> Path:
        """A folder for files that survive a killed run, such as checkpoints. The stage creates and removes it."""
        return self.local / ".work" / f"{stage.name}-{stage.key}"

    def _lock(self, artifact: Artifact) -> Any:
        return locked(self.local / ".locks" / f"{artifact.stage}-{artifact.key}")

    def _build(self, stage: Stage, build: Callable[[Path], None]) -> None:
        started = time.monotonic()
        with draft_folder(self.folder(stage.artifact)) as draft:
            build(draft)
            _write_manifest(draft, stage, time.monotonic() - started)
            publish(draft, self.folder(stage.artifact))

    def _fetch(self, artifact: Artifact) -> bool:
        """Fetch a result from the shared storage; False if it has none, StoreError if it is damaged."""
        if self.remote is None or not self.remote.has(artifact):
            return False
        with self._lock(artifact):
            if verify(self.folder(artifact)):
                return True
            with draft_folder(self.folder(artifact)) as draft:
                manifest = self.remote.fetch(artifact, draft)
                (draft / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
                if not verify(draft):
                    raise StoreError(
                        f"{artifact.stage} {artifact.key} is damaged on the shared storage. Remove it there"
                    )
                publish(draft, self.folder(artifact))
        return True


def verify(folder: Path) -> bool:
    """Whether all files of the folder's manifest exist, unchanged."""
    try:
        files: dict[str, str] = json.loads((folder / MANIFEST).read_text())["files"]
        return all(content_digest(folder / name) == sha for name, sha in files.items())
    except (OSError, ValueError, KeyError):
        return False


def _write_manifest(folder: Path, stage: Stage, seconds: float) -> None:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    manifest = {
        "stage": stage.name, "version": stage.version, "key": stage.key, "parameters": stage.parameters,
        "inputs": [artifact.model_dump() for artifact in stage.inputs],
        "files": {name: content_digest(folder / name) for name in names},
        "versions": _versions(), "seconds": round(seconds, 3),
    }  # fmt: skip
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))


def _versions() -> dict[str, str]:
    versions = {"landslide": __version__, "python": platform.python_version()}
    for name in RECORDED:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    if (rasterio := sys.modules.get("rasterio")) is not None:
        versions["gdal"] = rasterio.__gdal_version__
    return versions
