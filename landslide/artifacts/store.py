"""The artifact store: every stage's result in a folder named by what it was made of.

The files lie in `<local>/<stage>/<key>/` beside a `manifest.json` with each file's sha256. A result is built in a
draft beside its final place, synced and renamed, so that a reader sees all of it or nothing; it counts as present only
while its manifest verifies. With `remote`, a folder at a URL that machines share, results are looked for there too and
sent there.
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
    """A folder of artifacts, and the storage that it shares with other machines, if there is one."""

    local: Path
    remote_url: str | None = None

    @classmethod
    def at(cls, folder: Path) -> ArtifactStore:
        """The store in a folder; LANDSLIDE_SHARED in the environment names what it shares."""
        return cls(folder, os.environ.get(SHARED) or None)

    @cached_property
    def remote(self) -> RemoteStore | None:
        """The shared storage."""
        from landslide.artifacts.remote import RemoteStore  # fsspec

        return RemoteStore(self.remote_url) if self.remote_url else None

    def folder(self, artifact: Artifact) -> Path:
        """Where an artifact's files lie, or would lie."""
        return self.local / artifact.stage / artifact.key

    def path(self, artifact: Artifact) -> Path:
        """The folder of a finished artifact, brought from the shared storage where it is not here."""
        folder = self.folder(artifact)
        if self.remote is not None and not folder.exists():
            self._fetch(artifact)
        return folder

    def has(self, artifact: Artifact) -> bool:
        """Whether the finished result is here or on the shared storage, complete and undamaged."""
        return verify(self.folder(artifact)) or self._fetch(artifact)

    def get_or_build(self, stage: Stage, build: Callable[[Path], None] | None = None) -> Artifact:
        """The result of a stage, built by its own `build`, or by the one given, only where no finished one is there.

        Of several processes that ask for one result, one builds it and the others wait.
        """
        artifact = stage.artifact
        folder = self.folder(artifact)
        if not self.has(artifact):
            with self._alone(artifact):
                if not verify(folder):  # else another process has built it meanwhile
                    self._build(stage, build or (lambda draft: stage.build(draft, self)))
        if self.remote is not None:
            self.remote.send(artifact, folder, self.manifest(artifact))
        return artifact

    def manifest(self, artifact: Artifact) -> dict[str, Any]:
        """The manifest of a finished artifact."""
        manifest: dict[str, Any] = json.loads((self.folder(artifact) / MANIFEST).read_text())
        return manifest

    def workspace(self, stage: Stage) -> Path:
        """A folder for what must outlast a run that is killed before its result is there; its user makes and removes
        it.
        """
        return self.local / ".work" / f"{stage.name}-{stage.key}"

    def _alone(self, artifact: Artifact) -> Any:
        return locked(self.local / ".locks" / f"{artifact.stage}-{artifact.key}")

    def _build(self, stage: Stage, build: Callable[[Path], None]) -> None:
        """Build a result anew and publish it whole. Whatever `build` raises leaves nothing behind."""
        started = time.monotonic()
        with draft_folder(self.folder(stage.artifact)) as draft:
            build(draft)
            _write_manifest(draft, stage, time.monotonic() - started)
            publish(draft, self.folder(stage.artifact))

    def _fetch(self, artifact: Artifact) -> bool:
        """Bring a result from the shared storage; False where there is none. StoreError where it arrived damaged."""
        if self.remote is None or not self.remote.has(artifact):
            return False
        with self._alone(artifact):
            if verify(self.folder(artifact)):
                return True
            with draft_folder(self.folder(artifact)) as draft:
                manifest = self.remote.fetch(artifact, draft)
                (draft / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
                if not verify(draft):
                    raise StoreError(f"{artifact.stage} {artifact.key} arrived damaged. Remove it where it came from")
                publish(draft, self.folder(artifact))
        return True


def verify(folder: Path) -> bool:
    """Whether every file that the folder's manifest lists is there, unchanged."""
    try:
        files: dict[str, str] = json.loads((folder / MANIFEST).read_text())["files"]
        return all(content_digest(folder / name) == sha for name, sha in files.items())
    except (OSError, ValueError, KeyError):
        return False


def _write_manifest(folder: Path, stage: Stage, seconds: float) -> None:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    manifest = {
        "stage": stage.name,
        "version": stage.version,
        "key": stage.key,
        "parameters": stage.parameters,
        "inputs": [artifact.model_dump() for artifact in stage.inputs],
        "files": {name: content_digest(folder / name) for name in names},
        "versions": _versions(),
        "seconds": round(seconds, 3),
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))


def _versions() -> dict[str, str]:
    """Of this package, of Python, and of those packages here that results depend on."""
    found = {"landslide": __version__, "python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if (rasterio := sys.modules.get("rasterio")) is not None:
        found["gdal"] = rasterio.__gdal_version__
    return found
