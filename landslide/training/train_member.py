"""The train stage: one member of the grid, trained in a worker process."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from landslide.artifacts.stage import Artifact, NotInKey, Stage
from landslide.models.member import MemberSpec
from landslide.training.records import Schedule
from landslide.training.workers.pool import WORKER_POOL, Job
from landslide.training.workers.slots import lease

if TYPE_CHECKING:
    from collections.abc import Callable

    from landslide.artifacts.store import ArtifactStore

log = logging.getLogger(__name__)


class TrainMember(Stage):
    """Trains a member to its end, or up to the epoch `until`.

    `processor` is `cpu` or `cuda`, whose results differ; the GPU and the number of members on it do not matter.
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
            label: Its name in messages, such as `all/Unet-dice-0.001`.
            spec: Architecture, loss, learning rate, bands, seed.
            schedule: The hyperparameters of training.
            tiles: The training store.
            device: `cpu`, `cuda` or `cuda:1`.
            until: The last epoch, for successive halving; None trains to the end.
        """
        processor = device.split(":")[0]
        return cls(
            spec=spec, schedule=schedule, tiles=tiles, processor=processor, until=until, label=label, device=device
        )  # fmt: skip

    @property
    def title(self) -> str:
        return f"{self.name} {self.label}"

    def build(self, folder: Path, store: ArtifactStore, on_log: Callable[[str], None] = log.info) -> None:
        """Wait for a free slot and train there, resuming from the checkpoint of an earlier attempt.

        `on_log` is called with each line that the worker process logs. A member that stops at `until` keeps its
        checkpoint until `forget` is called.
        """
        with lease(self.device, self.members_per_gpu) as device:
            job = Job(
                name=self.label, spec=self.spec, schedule=self.schedule, tiles=store.path(self.tiles), device=device,
                folder=folder, workspace=self.workspace(store), until=self.until,
            )  # fmt: skip
            WORKER_POOL.run(job, on_log)

    def workspace(self, store: ArtifactStore) -> Path:
        """The folder of its checkpoint, the same for every `until`."""
        return store.workspace(self.model_copy(update={"until": None}))

    def forget(self, store: ArtifactStore) -> None:
        shutil.rmtree(self.workspace(store), ignore_errors=True)
