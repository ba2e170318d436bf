"""What people are told of a grid on its way."""

from pathlib import Path
from typing import Any

import pytest

from flows.training.jobs import Entry, Named
from flows.training.progress import GridProgress
from landslide.artifacts.store import Request, Store
from landslide.models.member import MemberSpec


class Found:
    def __init__(self, score: float | None) -> None:
        self.validation_f1 = score


def entry(band_set: str, architecture: str, loss: str) -> Entry:
    spec = MemberSpec(architecture=architecture, loss=loss, learning_rate=1e-3, bands=("slope",))
    request = Request(stage="train", version=1, parameters={"of": f"{band_set}/{spec.name}"})
    return Entry(f"{band_set}/{spec.name}", Named(band_set, spec), None, request)  # type: ignore[arg-type]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr("flows.training.progress.monotonic", lambda: now[0])
    return now


def test_a_tally_tells_what_is_done_and_what_is_left(
    tmp_path: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [entry("s1", "DeepLabV3", "bce"), entry("s1", "Unet", "bce"), entry("s2", "Unet", "bce")]
    entries.append(entry("s2", "Unet", "dice"))
    scores: dict[str, Any] = {entries[0].request.key: 0.25, entries[2].request.key: 0.5, entries[3].request.key: None}
    monkeypatch.setattr("flows.training.progress.candidate", lambda key, folder: Found(scores[key]))
    Store(tmp_path).path(entries[3].request).mkdir(parents=True)
    tally = GridProgress(entries, tmp_path, lambda: 2)
    assert str(tally) == "2 running"
    tally.add(entries[3], finished=True)
    assert str(tally) == "2 running", "it was there, and had diverged"
    clock[0] = 166.0  # a second for each GFLOP of DeepLabV3
    tally.add(entries[0], finished=True)
    assert str(tally) == "2 running, best F1 0.250 s1/DeepLabV3-bce-0.001, about 0:01:38 left"
    tally.add(entries[1], finished=False)
    tally.add(entries[2], finished=True)
    assert str(tally) == "2 running, 1 failed, best F1 0.500 s2/Unet-bce-0.001"
    assert tally.markdown().splitlines() == [
        "**4 of 4 members**: 2 running, 1 failed, best F1 0.500 s2/Unet-bce-0.001",
        "",
        "| ended, best F1 | s1 | s2 |",
        "|---|---|---|",
        "| DeepLabV3 | 1/1, 0.250 | 0/0 |",
        "| Unet | 1/1 | 2/2, 0.500 |",
        "",
        "Failed: s1/Unet-bce-0.001",
    ]
