"""A small stage for tests of the store."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from landslide.artifacts.stage import Artifact, NotInKey, Stage
from landslide.artifacts.store import ArtifactStore


class Toy(Stage):
    """Writes two files."""

    name: ClassVar[str] = "toy"
    version: ClassVar[int] = 1

    x: dict[str, Any] = {}
    source: Artifact = Artifact(stage="other", key="abc")
    label: Annotated[str, NotInKey] = "a toy"

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """A text and a binary file."""
        write(folder)


def write(folder: Path) -> None:
    """Two files, one of them in a folder."""
    (folder / "deep").mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "b.bin").write_bytes(bytes(range(256)) * 4096)
