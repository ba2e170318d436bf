"""The recorded list of scenes of a case. Its layers are made from it, also if the catalogue changes later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landslide.artifacts.atomic import write_text
from landslide.artifacts.stage import Stage

if TYPE_CHECKING:
    from landslide.artifacts.store import ArtifactStore

SCENES_FILE = "scenes.json"


class RecordScenes(Stage):
    """Records a `SceneList` as JSON, with the addresses of its files."""

    name: ClassVar[str] = "scenes"
    version: ClassVar[int] = 1
    sources: ClassVar[tuple[str, ...]] = ("landslide.datasets.scene_list",)

    found: dict[str, Any]

    @property
    def title(self) -> str:
        return f"{self.name} {self.found['case']}"

    def build(self, folder: Path, store: ArtifactStore) -> None:
        write_text(folder / SCENES_FILE, json.dumps(self.found, indent=1), durable=False)
