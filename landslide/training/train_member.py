"""The train stage: one member of the grid, in a process of its own."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from landslide.artifacts.stage import Artifact, NotInKey, Stage
from landslide.models.member import MemberSpec
from landslide.training.records import Schedule
from landslide.training.workers.pool import TRAINERS, Job
from landslide.training.workers.slots import lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from landslide.artifacts.store import ArtifactStore

log = logging.getLogger(__name__)


class TrainMember(Stage):
    """A trained member, or its first epochs up to `until`.

    `processor` is `cpu` or `cuda`: arithmetic differs between them. Which GPU it is, and how many members share it,
    changes nothing.
    """

    name: ClassVar[str] = "train"
    version: ClassVar[int] = 4
    packages: ClassVar[tuple[str, ...]] = ("torch", "segmentation-models-pytorch")
    sources: ClassVar[tuple[str, ...]] = (
        *(f"landslide.training.{name}" for name in ("trainer", "loader", "step", "validation", "deterministic")),
        "landslide.models.losses", "landslide.models.architectures", "landslide.datasets.sampler",
    )  # fmt: skip

    spec: MemberSpec
    schedule: Schedule
    tiles: Artifact
    processor: str
    until: int | None = None
    label: Annotated[str, NotInKey]
    device: Annotated[str, NotInKey]
    members_per_gpu: Annotated[int, NotInKey] = 1

    @classmethod
    def of(
        cls, label: str, spec: MemberSpec, schedule: Schedule, tiles: Artifact, device: str, until: int | None = None
    ) -> TrainMember:
        """The training of a member.

        Args:
            label: What people call it, such as `all/Unet-dice-0.001`.
            spec: What it is.
            schedule: How it is trained.
            tiles: The training store.
            device: Where it is trained: `cpu`, `cuda` or `cuda:1`.
            until: The epoch after which it stops, to be compared with others; None trains it to its end.
        """
        processor = device.split(":")[0]
        return cls(
            spec=spec, schedule=schedule, tiles=tiles, processor=processor, until=until, label=label, device=device
        )  # fmt: skip

    @property
    def title(self) -> str:
        """`train all/Unet-dice-0.001`."""
        return f"{self.name} {self.label}"

    def build(self, folder: Path, store: ArtifactStore, say: Callable[[str], None] = log.info) -> None:
        """Wait for a free core or GPU and train there, from the last checkpoint of an earlier attempt.

        `say` is told what the member's process logs, line by line. A member that stops at `until` keeps its
        checkpoint; `forget` removes it.
        """
        with lease(self.device, self.members_per_gpu) as place:
            job = Job(
                name=self.label, spec=self.spec, schedule=self.schedule, tiles=store.path(self.tiles), device=place,
                folder=folder, workspace=self.workspace(store), until=self.until,
            )  # fmt: skip
            TRAINERS.run(job, say)

    def workspace(self, store: ArtifactStore) -> Path:
        """Where its checkpoints lie, those of all its stops."""
        return store.workspace(self.model_copy(update={"until": None}))

    def forget(self, store: ArtifactStore) -> None:
        """Remove its checkpoints."""
        shutil.rmtree(self.workspace(store), ignore_errors=True)
