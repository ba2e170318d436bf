"""Stages: the parameters and inputs of a result and the code that builds it, in one model.

A stage is a frozen model. Its fields are its parameters and the artifacts that it reads; `key` is a digest of them, and
`build` reads the same fields, so that key and work cannot disagree. A field marked `NotInKey` must not change the
result: where or how to run, or a name for messages.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_serializer
from pydantic_core.core_schema import SerializationInfo, SerializerFunctionWrapHandler

from landslide.errors import InputError

if TYPE_CHECKING:
    from landslide.artifacts.store import ArtifactStore

KEY_LENGTH = 24
KEY_CONTEXT = "key"


class NotInKey:
    """Marks a field that does not change the result: `Annotated[str, NotInKey]`."""


class Keyed(BaseModel):
    """A frozen model that refuses unknown keys. In a key it is serialised without its `NotInKey` fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_serializer(mode="wrap")
    def _for_key(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        if info.context == KEY_CONTEXT:
            for name, field in type(self).model_fields.items():
                if NotInKey in field.metadata:
                    data.pop(name, None)
        return data


class Artifact(Keyed):
    """A reference to a result, which tasks pass to each other. It is independent of the store."""

    stage: str
    key: str


class InputFile(Keyed):
    """A file or folder of the user, identified by its content."""

    path: Annotated[Path, NotInKey]
    sha256: str

    @classmethod
    def of(cls, path: Path) -> InputFile:
        """Hash a file, or all files of a folder; InputError if it cannot be read."""
        return cls(path=path, sha256=path_digest(path))


class Stage(Keyed):
    """One kind of work: `name` is its folder in the store, `version` is raised when its results change.

    `packages` are those whose major version affects a result and is part of the key. `sources` are the modules whose
    code affects it: a test compares their digests with a committed list.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    packages: ClassVar[tuple[str, ...]] = ()
    sources: ClassVar[tuple[str, ...]] = ()

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Write the result into an empty folder. `store.path(artifact)` is the folder of an input."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        """The name of a run in logs and the UI."""
        return self.name

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields that the result depends on, as JSON."""
        data: dict[str, Any] = self.model_dump(mode="json", context=KEY_CONTEXT)
        return data

    @property
    def key(self) -> str:
        packages = {name: major(name) for name in self.packages}
        return digest([self.name, self.version, packages, self.parameters])[:KEY_LENGTH]

    @property
    def artifact(self) -> Artifact:
        """The reference to the result, whether or not it has been built."""
        return Artifact(stage=self.name, key=self.key)

    @property
    def inputs(self) -> list[Artifact]:
        """The artifacts among the fields."""
        return list(_artifacts([getattr(self, name) for name in type(self).model_fields]))


def _artifacts(value: object) -> Iterator[Artifact]:
    if isinstance(value, Artifact):
        yield value
    elif isinstance(value, dict):
        yield from _artifacts(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _artifacts(item)
    elif isinstance(value, Keyed):
        yield from _artifacts([getattr(value, name) for name in type(value).model_fields])


def major(package: str) -> str:
    """The major version of an installed package: `2` of 2.9.1, `0.6` of 0.6.0."""
    try:
        first, *rest = version(package).split(".")
    except PackageNotFoundError:
        return "none"
    return f"0.{rest[0]}" if first == "0" else first


def digest(value: object) -> str:
    """sha256 of a value's canonical JSON: sorted keys, no spaces."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's content, cached by size and modification time; InputError if unreadable."""
    try:
        stat = path.stat()
        return _file_digest(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}. Check the path") from error


@lru_cache(maxsize=4096)
def _file_digest(path: Path, *_: int) -> str:
    return content_digest(path)


def content_digest(path: Path) -> str:
    """sha256 of a file's content, without a cache; OSError if unreadable."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def path_digest(path: Path) -> str:
    """sha256 of a file, or of the names and contents of all files in a folder; InputError if unreadable."""
    if not path.is_dir():
        return file_digest(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest([[str(file.relative_to(path)), file_digest(file)] for file in files])
