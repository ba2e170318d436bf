"""How many members a GPU is found to carry, with processes that are as fast as a test wants them."""

from pathlib import Path

import pytest

from landslide.errors import CrashError
from landslide.models import MemberSpec
from landslide.training.packing import FILE, measure, read
from landslide.training.process import Job, Trainers
from landslide.training.records import FILE as MEMBER
from landslide.training.records import Epoch, Member, Schedule

SPEC = MemberSpec(architecture="Unet", loss="dice", learning_rate=1e-3, bands=("slope",))
SCHEDULE = Schedule(epochs=99, min_epochs=9, patience=9, plateau=9, samples=9, crop=64, batch=4, background=0.0)


def fake(monkeypatch: pytest.MonkeyPatch, rates: dict[int, float]) -> list[int]:
    """Members that together do so many samples a second by their number; a number that is not there does not fit."""
    tried: list[int] = []

    def run(self: Trainers, job: Job, say: object = None) -> None:
        number = int(job.name.rsplit(" ", 1)[1])
        tried.append(number)
        if number not in rates:
            raise CrashError("out of memory")
        seconds = [50.0, job.schedule.samples * number / rates[number], 70.0]
        epochs = [
            Epoch(epoch=i, learning_rate=1, train_loss=1, validation_loss=1, validation_f1=0.5, seconds=one)
            for i, one in enumerate(seconds, 1)
        ]
        member = Member(spec=job.spec, status="trained", best_epoch=3, validation_f1=0.5, epochs=epochs, seconds=1)
        (job.folder / MEMBER).write_text(member.model_dump_json())

    monkeypatch.setattr(Trainers, "run", run)
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
    seen = fake(monkeypatch, rates)
    measure(SPEC, SCHEDULE, tmp_path, "cuda:0", tmp_path)
    assert sorted(set(seen)) == tried
    found = read(tmp_path)
    assert found.choice == choice
    assert found.samples_per_second == pytest.approx({number: rates[number] for number in tried if number in rates})


def test_one_that_does_not_fit_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, {})
    with pytest.raises(CrashError, match="out of memory"):
        measure(SPEC, SCHEDULE, tmp_path, "cuda:0", tmp_path)
    assert not (tmp_path / FILE).exists()
