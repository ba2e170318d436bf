"""How many members a GPU is found to carry; what is tried on a GPU is tried here on a CPU, by the same processes."""

import time
from pathlib import Path

import pytest

from landslide.datasets.training_store import tile
from landslide.errors import CrashError, TrainingError
from landslide.models.member import MemberSpec
from landslide.training.records import Schedule
from landslide.training.tuning import gpu_sharing
from landslide.training.tuning.gpu_sharing import (
    EPOCHS,
    SHARING_FILE,
    STEPS,
    measure,
    rate,
    read_sharing,
    steps_per_second,
)
from landslide.training.workers.pool import Job, WorkerPool
from tests.helpers.stacks import BANDS, toy_stack

SPEC = MemberSpec(architecture="Linknet", loss="dice", learning_rate=1e-3, bands=BANDS, encoder="resnet18")
SCHEDULE = Schedule(
    epochs=99, min_epochs=9, patience=9, lr_patience=9, samples_per_epoch=9, crop=64, batch=2, background_fraction=0.0
)


def fake(monkeypatch: pytest.MonkeyPatch, rates: dict[int, float]) -> list[int]:
    """Members that together do so many samples a second by their number; a number that is not there does not fit."""
    tried: list[int] = []

    def rate(spec: object, schedule: object, tiles: object, device: object, number: int) -> float:
        tried.append(number)
        if number not in rates:
            raise CrashError("out of memory")
        return rates[number]

    monkeypatch.setattr(gpu_sharing, "rate", rate)
    return tried


@pytest.mark.parametrize(
    ("rates", "tried", "choice"),
    [
        ({1: 100, 2: 104, 4: 200}, [1, 2], 1),
        ({1: 100, 2: 180, 4: 190, 8: 900}, [1, 2, 4], 2),
        ({1: 100, 2: 180, 4: 300, 8: 500}, [1, 2, 4, 8], 8),
        ({1: 100, 2: 180}, [1, 2, 4], 2),
    ],
)
def test_more_at_once_while_it_pays_and_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rates: dict[int, float], tried: list[int], choice: int
) -> None:
    assert fake(monkeypatch, rates) == []
    seen = fake(monkeypatch, rates)
    measure(SPEC, SCHEDULE, tmp_path, "cuda:0", tmp_path)
    assert seen == tried
    found = read_sharing(tmp_path)
    assert found.choice == choice
    assert found.samples_per_second == {number: rates[number] for number in tried if number in rates}


def test_one_that_does_not_fit_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, {})
    with pytest.raises(CrashError, match="out of memory"):
        measure(SPEC, SCHEDULE, tmp_path, "cuda:0", tmp_path)
    assert not (tmp_path / SHARING_FILE).exists()


def test_only_what_members_do_at_once_counts() -> None:
    """The first has the processor to itself for a while; the second starts late and has epochs of another length."""
    alone = [0.1 * i for i in range(1, 30)]
    together = [100 + 2.0 * i for i in range(1, EPOCHS + 2)]
    second = [101 + 4.0 * i for i in range(EPOCHS + 1)]
    assert steps_per_second([alone, []]) is None
    assert steps_per_second([alone + together, second[:-1]]) is None
    assert steps_per_second([alone + together, second]) == pytest.approx(STEPS / 2 + STEPS / 4)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiles")
    cases = {role: [toy_stack(folder / role, role)] for role in ("train", "validation")}
    out = folder / "out"
    out.mkdir()
    tile(BANDS, cases, out)
    return out


@pytest.mark.slow
def test_two_real_members_are_watched_and_ended(tiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_sharing, "STEPS", 2)
    started: list[WorkerPool] = []
    monkeypatch.setattr(gpu_sharing, "WorkerPool", lambda: started.append(WorkerPool()) or started[-1])
    begun = time.monotonic()
    found = rate(SPEC, SCHEDULE, tiles, "cpu", 2)
    assert 2 * 2 * EPOCHS * 2 / (time.monotonic() - begun) < found < 10_000
    (workers,) = started
    assert workers.busy == 0
    workers.close()  # nobody waits: both processes were ended


@pytest.mark.slow
def test_a_member_that_dies_ends_the_trial(tiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_sharing, "STEPS", 2)
    run = WorkerPool.run

    def break_second(self: WorkerPool, job: Job, **heard: object) -> None:
        broken = job.model_copy(update={"tiles": tiles / "nowhere"}) if "2 of 2" in job.name else job
        run(self, broken, **heard)

    monkeypatch.setattr(WorkerPool, "run", break_second)
    with pytest.raises((CrashError, TrainingError), match="trial 2 of 2"):
        rate(SPEC, SCHEDULE, tiles, "cpu", 2)
