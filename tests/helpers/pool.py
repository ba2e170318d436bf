"""Jobs for members' processes."""

from pathlib import Path

from landslide.datasets.training_store import tile
from landslide.models.member import MemberSpec
from landslide.training.records import Schedule
from landslide.training.workers.pool import Job
from tests.helpers.stacks import BANDS, toy_stack

SCHEDULE = Schedule(
    epochs=12, min_epochs=12, patience=12, lr_patience=9, samples_per_epoch=8, crop=32, batch=4, background_fraction=0.0
)
SPEC = MemberSpec(architecture="PSPNet", loss="dice", learning_rate=1e-3, bands=BANDS, encoder="resnet18")


def toy_tiles(folder: Path) -> Path:
    """A training store of two small cases."""
    stacks = {"train": [toy_stack(folder / "a", "a", seed=1)], "validation": [toy_stack(folder / "b", "b", seed=2)]}
    (folder / "tiles").mkdir()
    tile(BANDS, stacks, folder / "tiles")
    return folder / "tiles"


def job(tiles: Path, folder: Path, **spec: object) -> Job:
    """To train a member of `SPEC`, but for what is given, into a folder that is made."""
    folder.mkdir()
    one = SPEC.model_copy(update=spec)
    return Job(
        name=one.name, spec=one, schedule=SCHEDULE, tiles=tiles, device="cpu", folder=folder, workspace=folder / "work"
    )


def children() -> set[int]:
    """The processes that this one has started."""
    lists = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    return {int(number) for text in lists for number in text.split()}
