"""What people are told of a grid on its way."""

from pathlib import Path
from typing import Any

import pytest

from flows.training.jobs import GridMember, TrainingJob
from flows.training.progress import GridProgress
from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.models.member import MemberSpec
from landslide.training.records import Schedule
from landslide.training.train_member import TrainMember

pytestmark = pytest.mark.slow
SCHEDULE = Schedule(
    epochs=1, min_epochs=1, patience=1, lr_patience=1, samples_per_epoch=8, crop=64, batch=2, background_fraction=0.0
)


SENSORS = {"s1": "vv_change", "s2": "dndvi_median"}


class Found:
    def __init__(self, score: float | None) -> None:
        self.validation_f1 = score


def job(band_set: str, architecture: str, loss: str) -> TrainingJob:
    spec = MemberSpec(architecture=architecture, loss=loss, learning_rate=1e-3, bands=(SENSORS[band_set],))
    member = GridMember(band_set, spec)
    tiles = Artifact(stage="tile", key="t")
    return TrainingJob(member, TrainMember.of(member.name, spec, SCHEDULE, tiles, "cpu"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("flows.training.progress.monotonic", lambda: now[0])
    return now


def test_progress_tells_what_is_done_and_what_is_left(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [("s1", "DeepLabV3", "bce"), ("s1", "Unet", "bce"), ("s2", "Unet", "bce"), ("s2", "Unet", "dice")]
    jobs = [job(*member) for member in members]
    scores: dict[str, Any] = {jobs[0].stage.key: 0.25, jobs[2].stage.key: 0.5, jobs[3].stage.key: None}
    monkeypatch.setattr("flows.training.progress.trained_member", lambda key, folder: Found(scores[key]))
    store = ArtifactStore(tmp_path)
    store.folder(jobs[3].stage.artifact).mkdir(parents=True)
    progress = GridProgress(jobs, store, lambda: 2)
    assert str(progress) == "2 running"
    progress.add(jobs[3], finished=True)
    assert str(progress) == "2 running", "it was there, and had diverged"
    clock[0] = 166.0  # a second for each GFLOP of DeepLabV3
    progress.add(jobs[0], finished=True)
    assert str(progress) == "2 running, best F1 0.250 s1/DeepLabV3-bce-0.001, about 0:01:38 left"
    progress.add(jobs[1], finished=False)
    progress.add(jobs[2], finished=True)
    assert str(progress) == "2 running, 1 failed, best F1 0.500 s2/Unet-bce-0.001"
    assert progress.markdown().splitlines() == [
        "**4 of 4 members**: 2 running, 1 failed, best F1 0.500 s2/Unet-bce-0.001",
        "",
        "| ended, best F1 | s1 | s2 |",
        "|---|---|---|",
        "| DeepLabV3 | 1/1, 0.250 | 0/0 |",
        "| Unet | 1/1 | 2/2, 0.500 |",
        "",
        "Failed: s1/Unet-bce-0.001",
    ]
