import json
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from landslide.datasets.normalisation import Normalisation
from landslide.datasets.stack import Stack
from landslide.datasets.training_store import Tiles, tile
from landslide.ensembles.confidence import ConfidenceThresholds
from landslide.ensembles.ensemble import Ensemble, EnsembleInfo, assemble, ensemble_members, rank
from landslide.ensembles.predictions import Library, predict, write_truth
from landslide.ensembles.select import Choice
from landslide.errors import BandError, InputError, TrainingError
from landslide.evaluation.evaluate import evaluate
from landslide.evaluation.report.files import write_results
from landslide.evaluation.results import EvaluationReport
from landslide.models.member import MemberSpec, TrainedMember, load_member
from landslide.training.checkpoint import CHECKPOINT_FILE as CHECKPOINT
from landslide.training.checkpoint import Checkpoints
from landslide.training.devices import choose_device
from landslide.training.records import MEMBER_FILE, WEIGHTS, Epoch, Member, Schedule, trained_member
from landslide.training.trainer import one_cycle, train
from landslide.training.validation import all_landslide_f1, scenes
from tests.helpers.stacks import BANDS, toy_stack

pytestmark = pytest.mark.slow
SCHEDULE = Schedule(
    epochs=6,
    min_epochs=1,
    patience=6,
    lr_patience=2,
    samples_per_epoch=32,
    crop=32,
    batch=8,
    background_fraction=0.1,
    threshold=0.5,
)


def spec(**changes: object) -> MemberSpec:
    return MemberSpec(architecture="Unet", loss="dice", learning_rate=3e-3, bands=BANDS, encoder="resnet18").model_copy(
        update=changes
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiles, Stack]:
    folder = tmp_path_factory.mktemp("world")
    stacks = {
        "train": [toy_stack(folder / "a", "a", seed=1)],
        "validation": [toy_stack(folder / "b", "b", seed=2)],
    }
    (folder / "tiles").mkdir()
    tile(BANDS, stacks, folder / "tiles")
    return Tiles(folder / "tiles"), toy_stack(folder / "c", "c", size=128, seed=3)


@pytest.fixture(scope="module")
def members(world: tuple[Tiles, Stack], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = []
    for loss in ("dice", "bce"):
        folder = tmp_path_factory.mktemp(loss)
        train(spec(loss=loss), SCHEDULE, world[0], "cpu", folder)
        folders.append(folder)
    return folders


def test_a_member_learns_what_is_plain_to_see(members: list[Path]) -> None:
    member = Member.model_validate_json((members[0] / MEMBER_FILE).read_text())
    assert member.status == "trained"
    assert member.validation_f1 is not None
    assert member.validation_f1 > 0.7
    assert member.best_epoch == max(member.epochs, key=lambda epoch: epoch.validation_f1).epoch


def test_the_same_seed_gives_the_same_weights(world: tuple[Tiles, Stack], members: list[Path], tmp_path: Path) -> None:
    torch.rand(7)  # what happened before in the process does not matter
    train(spec(), SCHEDULE, world[0], "cpu", tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == (members[0] / WEIGHTS).read_bytes()


class Killed(BaseException):
    """As a signal would end the process."""


@pytest.mark.parametrize("changes", [{}, {"lr_schedule": "one-cycle", "ema_decay": 0.9, "validate_every": 2}])
def test_a_killed_member_ends_as_if_it_had_not_been_killed(
    world: tuple[Tiles, Stack], tmp_path: Path, changes: dict[str, object]
) -> None:
    schedule = SCHEDULE.model_copy(update={"epochs": 5, "samples_per_epoch": 16, "lr_patience": 0, **changes})
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    one = spec(architecture="PSPNet")  # it has dropout
    whole = train(one, schedule, world[0], "cpu", tmp_path / "whole")
    for attempt in (2, 4):

        def kill(epoch: Epoch, at: int = attempt) -> None:
            if epoch.epoch == at:
                raise Killed

        with pytest.raises(Killed):
            train(one, schedule, world[0], "cpu", tmp_path / "cut", tmp_path / "work", kill)
    heard: list[int] = []
    cut = train(one, schedule, world[0], "cpu", tmp_path / "cut", tmp_path / "work", lambda e: heard.append(e.epoch))
    assert heard == [1, 2, 3, 4, 5]
    assert (tmp_path / "cut" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
    plain = [[epoch.model_copy(update={"seconds": 0}) for epoch in member.epochs] for member in (whole, cut)]
    assert plain[0] == plain[1]
    assert cut.epochs[0].seconds > 0


def test_a_member_that_stopped_at_a_rung_goes_on(world: tuple[Tiles, Stack], tmp_path: Path) -> None:
    schedule = SCHEDULE.model_copy(update={"epochs": 3, "samples_per_epoch": 16, "lr_schedule": "one-cycle"})
    one, heard = spec(architecture="PSPNet"), []
    folders = [tmp_path / name for name in ("whole", "rung", "on")]
    for folder in folders:
        folder.mkdir()
    whole = train(one, schedule, world[0], "cpu", folders[0])
    rung = train(one, schedule, world[0], "cpu", folders[1], tmp_path / "work", until=2)
    assert [epoch.train_loss for epoch in rung.epochs] == [epoch.train_loss for epoch in whole.epochs[:2]]
    assert rung.status == "trained"
    on = train(one, schedule, world[0], "cpu", folders[2], tmp_path / "work", lambda epoch: heard.append(epoch.seconds))
    assert heard[:2] == [epoch.seconds for epoch in rung.epochs], "nothing is trained twice"
    assert len(on.epochs) == 3
    assert (folders[2] / WEIGHTS).read_bytes() == (folders[0] / WEIGHTS).read_bytes()


def test_a_collapsed_member_ends_early(world: tuple[Tiles, Stack], tmp_path: Path) -> None:
    """It maps everything, or nothing: no better than no model at all."""
    schedule = SCHEDULE.model_copy(update={"samples_per_epoch": 8, "min_epochs": 6, "stop_collapsed_after": 2})
    hopeless = train(spec(architecture="PSPNet", learning_rate=1e-9), schedule, world[0], "cpu", tmp_path)
    assert [epoch.epoch for epoch in hopeless.epochs] == [1, 2]
    truth = world[0].split("validation").truth(list(range(len(BANDS))))
    share = (truth == 1).sum() / (truth != 255).sum()
    assert all_landslide_f1(scenes(world[0], BANDS, "cpu")) == pytest.approx(2 * share / (1 + share))
    assert hopeless.validation_f1 <= 2 * share / (1 + share)


def test_a_damaged_checkpoint_costs_time_and_no_more(
    world: tuple[Tiles, Stack], members: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"half of it")
    train(spec(), SCHEDULE, world[0], "cpu", tmp_path, tmp_path)
    assert "training starts again from epoch 1" in caplog.text
    assert (tmp_path / WEIGHTS).read_bytes() == (members[0] / WEIGHTS).read_bytes()


def test_a_full_disk_costs_a_checkpoint_and_not_the_member(
    world: tuple[Tiles, Stack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"as much as went on")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("landslide.training.checkpoint.save_file", full)
    schedule = SCHEDULE.model_copy(update={"epochs": 2, "samples_per_epoch": 8})
    assert train(spec(), schedule, world[0], "cpu", tmp_path, tmp_path / "work").status == "trained"
    assert "no checkpoint written: [Errno 28] No space left on device" in caplog.text
    assert list((tmp_path / "work").iterdir()) == []


def test_checkpoints_keep_to_their_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 1.0, 3.0, 202.0, 204.0])  # made, due, saving begins and ends, due?, due?
    monkeypatch.setattr("landslide.training.checkpoint.time.monotonic", lambda: next(now))
    kept = Checkpoints(tmp_path)
    assert kept.due()
    kept.save({"a": torch.zeros(2)}, {})
    assert not kept.due(), "two seconds of saving are paid for by two hundred"
    assert kept.due()


def test_one_cycle_rises_and_falls_to_nothing(world: tuple[Tiles, Stack], tmp_path: Path) -> None:
    schedule = SCHEDULE.model_copy(update={"epochs": 10, "samples_per_epoch": 8, "lr_schedule": "one-cycle"})
    rates = [one_cycle(done) for done in (0, 0.05, 0.1, 0.55, 1)]
    assert rates == pytest.approx([0.1, 0.55, 1, 0.5, 0])
    member = train(spec(), schedule, world[0], "cpu", tmp_path)
    told = [epoch.learning_rate for epoch in member.epochs]
    assert told[2] > told[-1] > 0


def test_a_rate_too_small_to_change_anything_ends_a_member(world: tuple[Tiles, Stack], tmp_path: Path) -> None:
    schedule = SCHEDULE.model_copy(
        update={"epochs": 40, "patience": 40, "lr_patience": 0, "samples_per_epoch": 8, "min_lr_ratio": 0.05}
    )
    member = train(spec(learning_rate=0.3), schedule, world[0], "cpu", tmp_path)
    assert len(member.epochs) < 40


def test_bfloat16_learns_the_same_thing(world: tuple[Tiles, Stack], tmp_path: Path) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        schedule = SCHEDULE.model_copy(update={"precision": precision, "epochs": 2, "samples_per_epoch": 16})
        member = train(spec(architecture="PSPNet"), schedule, world[0], "cpu", tmp_path)
        losses.append([epoch.train_loss for epoch in member.epochs])
    assert losses[0] != losses[1]
    assert np.allclose(losses[0], losses[1], rtol=0.02)


def test_a_compiled_member_learns_the_same_thing(
    world: tuple[Tiles, Stack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "torch.compile", partial(torch.compile, backend="aot_eager")
    )  # kernels themselves take a minute
    schedule = SCHEDULE.model_copy(update={"epochs": 2, "samples_per_epoch": 16})
    plain, compiled = (
        train(spec(), schedule.model_copy(update={"compiled": compiled}), world[0], "cpu", tmp_path)
        for compiled in (False, True)
    )
    for one, other in zip(plain.epochs, compiled.epochs, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-3)


def test_a_diverged_member_is_a_result_without_weights(world: tuple[Tiles, Stack], tmp_path: Path) -> None:
    member = train(spec(learning_rate=1e18, loss="bce"), SCHEDULE, world[0], "cpu", tmp_path)
    assert (member.status, member.validation_f1, member.best_epoch) == ("diverged", None, None)
    assert not (tmp_path / WEIGHTS).exists()
    with pytest.raises(TrainingError, match="every member diverged"):
        rank([trained_member("k", tmp_path)])


def test_patience_ends_a_member_early(world: tuple[Tiles, Stack], tmp_path: Path) -> None:
    schedule = SCHEDULE.model_copy(update={"epochs": 50, "patience": 1, "samples_per_epoch": 8})
    member = train(spec(learning_rate=1e-12), schedule, world[0], "cpu", tmp_path)
    assert len(member.epochs) < 10


def test_the_learning_rate_falls_when_the_loss_stalls(world: tuple[Tiles, Stack], tmp_path: Path) -> None:
    schedule = SCHEDULE.model_copy(update={"epochs": 6, "patience": 9, "lr_patience": 0, "samples_per_epoch": 8})
    member = train(spec(learning_rate=0.3), schedule, world[0], "cpu", tmp_path)
    rates = [epoch.learning_rate for epoch in member.epochs]
    assert any(np.isclose(later, earlier / 10) for earlier, later in pairwise(rates))


def ensemble_of(tiles: Tiles, members: list[Path], folder: Path) -> Ensemble:
    ranked = rank([trained_member(str(i), member) for i, member in enumerate(members)])
    info = EnsembleInfo(
        name="toy",
        band_set="toy",
        bands=BANDS,
        normalisation=tiles.normalisation(BANDS),
        threshold=0.5,
        crop=32,
        members=ensemble_members(ranked),
        cases={"train": ["a"]},
    )
    assemble(info, ranked, folder)
    return Ensemble.open(folder)


def test_an_ensemble_is_ranked_whole_and_readable(
    world: tuple[Tiles, Stack], members: list[Path], tmp_path: Path
) -> None:
    ensemble = ensemble_of(world[0], members, tmp_path)
    scores = [voter.validation_f1 for voter in ensemble.info.members]
    assert scores == sorted(scores, reverse=True)
    before = ensemble.fingerprint()
    (tmp_path / "scores.json").write_text(json.dumps({"f1": 1}))
    assert ensemble.fingerprint() != before
    stack = world[1]
    without = Stack(stack.folder, stack.info.model_copy(update={"bands": BANDS[:-1]}))
    with pytest.raises(BandError, match=r"case c lacks the bands \['eastness'\] of ensemble toy"):
        ensemble.check_bands(without)


def test_a_folder_without_an_ensemble_or_with_missing_weights_is_refused(
    world: tuple[Tiles, Stack], members: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="holds no ensemble"):
        Ensemble.open(tmp_path)
    ensemble = ensemble_of(world[0], members, tmp_path)
    (tmp_path / ensemble.info.members[0].file).unlink()
    with pytest.raises(InputError, match="lacks the weights"):
        Ensemble.open(tmp_path)


def test_damaged_weights_are_refused(members: list[Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes((members[0] / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(InputError, match="holds no weights of a Unet"):
        load_member(spec(), damaged)
    with pytest.raises(InputError, match="holds no weights of a FPN"):
        load_member(spec(architecture="FPN"), members[0] / WEIGHTS)


def test_every_size_is_scored_as_the_mean_of_its_members(
    world: tuple[Tiles, Stack], members: list[Path], tmp_path: Path
) -> None:
    tiles, stack = world
    normalisation = tiles.normalisation(BANDS)
    ranked = [
        TrainedMember(key=str(i), spec=spec(loss=str(i)), validation_f1=0.5, weights=member / WEIGHTS)
        for i, member in enumerate(members)
    ]
    library = predicted(ranked, stack, normalisation, tmp_path)
    paper = Choice(
        selector="paper", scale="probability", weights={"0": 0.5, "1": 0.5}, calibration=None, threshold=0.5,
        confidence=ConfidenceThresholds(medium=0.6, high=0.7), effective=2,
    )  # fmt: skip
    evaluation = evaluate(library, {"c": stack}, [paper])
    with stack.reader("scene") as reader:
        values = reader.read(BANDS)
    label = stack.label("scene")
    assert label is not None
    batch = torch.from_numpy(normalisation.apply(values))[None]
    with torch.inference_mode():
        networks = [load_member(member.spec, member.weights) for member in ranked]
        probabilities = [torch.sigmoid(network(batch))[0, 0].half().float().numpy() for network in networks]
    mean = np.mean(probabilities, axis=0) > 0.5
    pooled = evaluation.curve[1].pooled
    assert pooled.tp == int((mean & (label == 1)).sum())
    assert pooled.tp + pooled.fp + pooled.fn + pooled.tn == int((label != 255).sum())
    assert evaluation.members[0] == evaluation.curve[0]
    assert evaluation.observed["c"] == pytest.approx((label != 255).mean())
    assert evaluation.baseline is not None
    assert evaluation.baseline.pooled.f1 == pytest.approx(best_threshold(values[1], label), abs=2e-3)
    write_results(EvaluationReport.of(evaluation, ranked), evaluation.scenes, "toy", tmp_path)
    report = EvaluationReport.read(tmp_path)
    assert report.size == 2
    assert report.pooled == report.curve[1].pooled == report.selectors[0].pooled
    assert report.selectors[0].gain == 0
    lines = (tmp_path / "curve.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 2 * 2  # header; ensemble and member; two sizes; pooled and one case
    assert all((tmp_path / name).stat().st_size > 10_000 for name in ("curve.png", "performance.png", "sizes.png"))
    low, high = report.intervals.f1.landslides
    assert low <= report.pooled.f1 <= high
    assert report.intervals.f1.events is None, "one event says nothing about others"
    assert [one.share for one in report.objects] == [0.2, 0.5]
    assert report.objects[0].landslides == number_of_patches(label == 1)
    assert 0 < report.average_precision <= 1
    assert sum(part.tp for part in report.slices["slope"].values()) == pooled.tp, "slices part the scene"
    assert list(report.slices["looks of s2_post"]) == ["3–4 looks"]


def predicted(ranked: list[TrainedMember], stack: Stack, normalisation: Normalisation, folder: Path) -> Library:
    """The library of a case, as the predict stage writes it."""
    truth, *folders = (folder / name for name in ("truth", *(member.key for member in ranked)))
    for one in (truth, *folders):
        one.mkdir()
    write_truth(stack, BANDS, truth)
    for one, member in zip(folders, ranked, strict=True):
        predict(load_member(member.spec, member.weights), stack, truth, normalisation, 512, 128, one)
    return Library.open([member.key for member in ranked], {"c": truth}, {"c": folders})


def number_of_patches(truth: np.ndarray) -> int:
    return int(ndimage.label(truth, np.ones((3, 3)))[1])


def best_threshold(dndvi: np.ndarray, label: np.ndarray) -> float:
    valid = label != 255
    best = 0.0
    for threshold in np.linspace(-1, 1, 401):
        predicted = (dndvi < threshold) & valid
        tp = (predicted & (label == 1)).sum()
        best = max(best, 2 * tp / (predicted.sum() + (label == 1).sum()))
    return float(best)


def test_a_gpu_that_is_not_there_is_named() -> None:
    assert choose_device("cpu") == "cpu"
    with pytest.raises(InputError, match="cuda:97"):
        choose_device("cuda:97")
