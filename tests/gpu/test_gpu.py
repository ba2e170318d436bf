"""What only a GPU can show: tiles that lie there, steps replayed as a graph, members packed, memory that runs out."""

from pathlib import Path

import pytest
import torch

from landslide.datasets.sampler import Sampler
from landslide.datasets.training_store import Tiles, tile
from landslide.errors import CrashError
from landslide.models.architectures import ARCHITECTURES, build
from landslide.models.losses import LOSSES
from landslide.models.member import MemberSpec
from landslide.training.loader import BatchLoader
from landslide.training.records import WEIGHTS, Epoch, Schedule
from landslide.training.step import WARM_UP_STEPS, Graphed, Step, adam
from landslide.training.trainer import train
from landslide.training.tuning.gpu_sharing import rate
from landslide.training.validation import scenes
from landslide.training.workers.pool import Job, WorkerPool
from tests.helpers.stacks import BANDS, toy_stack

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU on this machine"),
]
SCHEDULE = Schedule(
    epochs=6, min_epochs=6, patience=6, lr_patience=6, samples_per_epoch=64, crop=128, batch=4, background_fraction=0.1
)


def spec(**changes: object) -> MemberSpec:
    return MemberSpec(architecture="Unet", loss="dice", learning_rate=1e-3, bands=BANDS, encoder="resnet18").model_copy(
        update=changes
    )


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Tiles:
    folder = tmp_path_factory.mktemp("stacks")
    train = [toy_stack(folder / name, name, 200 - 80 * i, i) for i, name in enumerate("ab")]
    (folder / "tiles").mkdir()
    tile(BANDS, {"train": train, "validation": [toy_stack(folder / "c", "c", 200, 9)]}, folder / "tiles")
    return Tiles(folder / "tiles")


def stepping(
    tiles: Tiles, graphed: bool, kind: str = "fp32", rate: float = 1e-3, **changes: object
) -> tuple[Step, object]:
    """A step whose network starts alike each time, and how it is called."""
    torch.manual_seed(1)
    one = spec(**changes)
    network = build(one.architecture, one.encoder, len(BANDS)).cuda().to(memory_format=torch.channels_last).train()
    for layer in network.modules():
        if isinstance(layer, torch.nn.modules.dropout._DropoutNd):
            layer.p = 0.0
    optimiser = adam(network, rate, "cuda")
    step = Step(network, BatchLoader(tiles, BANDS, 128, "cuda"), LOSSES[one.loss], optimiser, "cuda", kind)
    return step, Graphed(step) if graphed else step


def losses(tiles: Tiles, graphed: bool, count: int = WARM_UP_STEPS + 3, **given: object) -> list[float]:
    """What each step lost."""
    step, call = stepping(tiles, graphed, **given)
    draws = torch.from_numpy(Sampler(tiles.split("train"), 128).draw(4 * count, (1,))).cuda().split(4)
    found = []
    for batch in draws:
        step.total.zero_()
        call(batch)
        found.append(step.total.item())
    return found


def test_batches_are_the_same_wherever_the_pixels_lie(tiles: Tiles) -> None:
    draws = torch.from_numpy(Sampler(tiles.split("train"), 128, 0.3).draw(32, (5,)))
    there, here = BatchLoader(tiles, BANDS, 128, "cuda"), BatchLoader(tiles, BANDS, 128, "cpu")
    assert there.place.type == "cuda"
    for one, other in zip(vars(there(draws.cuda())).values(), vars(here(draws)).values(), strict=True):
        assert torch.equal(one.cpu(), other)
    assert there(draws.cuda()).values.is_contiguous(memory_format=torch.channels_last)


def test_pixels_without_room_on_the_gpu_are_sent_over(
    tiles: Tiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in ("loader", "validation"):
        monkeypatch.setattr(f"landslide.training.{module}.has_room", lambda device, size: False)
    assert BatchLoader(tiles, BANDS, 128, "cuda").place.type == "cpu"
    assert scenes(tiles, BANDS, "cuda")[0].truth.device.type == "cpu"
    member = train(spec(), SCHEDULE, tiles, "cuda", tmp_path)
    assert member.validation_f1 > 0.5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_replayed_step_is_a_step(tiles: Tiles, architecture: str) -> None:
    eager, replayed = (losses(tiles, graphed, architecture=architecture) for graphed in (False, True))
    assert replayed == pytest.approx(eager, rel=0.05)  # sums come in any order
    assert len(set(replayed)) == len(replayed)


@pytest.mark.parametrize("kind", ["fp32", "bf16"])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_replayed(tiles: Tiles, loss: str, kind: str) -> None:
    eager, replayed = (losses(tiles, graphed, loss=loss, kind=kind) for graphed in (False, True))
    assert replayed == pytest.approx(eager, rel=0.03)


def test_a_replayed_step_goes_by_the_rate_of_the_moment(tiles: Tiles) -> None:
    step, call = stepping(tiles, graphed=True)
    draws = torch.from_numpy(Sampler(tiles.split("train"), 128).draw(4 * (WARM_UP_STEPS + 4), (1,))).cuda().split(4)
    weights = next(step.network.parameters())
    moved = []
    for index, batch in enumerate(draws):
        if index == WARM_UP_STEPS + 2:
            step.optimiser.param_groups[0]["lr"].fill_(0.0)
        before = weights.detach().clone()
        call(batch)
        moved.append(not torch.equal(before, weights))
    assert moved == [True] * (WARM_UP_STEPS + 2) + [False] * 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_three_runs_have_one_skill(tiles: Tiles, tmp_path: Path, architecture: str, precision: str) -> None:
    schedule = SCHEDULE.model_copy(update={"precision": precision, "epochs": 12})
    one, found = spec(architecture=architecture), []
    for run in range(3):
        (tmp_path / str(run)).mkdir()
        found.append(train(one, schedule, tiles, "cuda", tmp_path / str(run)).validation_f1)
    print(architecture, precision, found)
    assert min(found) > 0.8
    assert max(found) - min(found) <= 0.005


@pytest.mark.parametrize("changes", [{}, {"lr_schedule": "one-cycle", "ema_decay": 0.9, "validate_every": 2}])
def test_a_killed_member_goes_on(tiles: Tiles, tmp_path: Path, changes: dict[str, object]) -> None:
    class Killed(BaseException):
        pass

    def kill(epoch: Epoch) -> None:
        if epoch.epoch == 4:
            raise Killed

    schedule = SCHEDULE.model_copy(update=changes)
    whole = train(spec(), schedule, tiles, "cuda", tmp_path)
    with pytest.raises(Killed):
        train(spec(), schedule, tiles, "cuda", tmp_path, tmp_path / "work", kill)
    cut = train(spec(), schedule, tiles, "cuda", tmp_path, tmp_path / "work")
    assert len(cut.epochs) == len(whole.epochs) == 6
    for one, other in zip(whole.epochs, cut.epochs, strict=True):
        assert one.learning_rate == other.learning_rate
        assert one.train_loss == pytest.approx(other.train_loss, rel=0.05)


def test_a_gpu_without_memory_is_a_crash_and_the_next_attempt_goes_on(tiles: Tiles, tmp_path: Path) -> None:
    free = torch.cuda.mem_get_info()[0]
    occupied = [torch.empty(free - 1200 * 2**20, dtype=torch.uint8, device="cuda")]
    worker_pool = WorkerPool()
    job = Job(name="greedy", spec=spec(), schedule=SCHEDULE, tiles=tiles.folder, device="cuda:0", folder=tmp_path)
    large = job.model_copy(update={"schedule": SCHEDULE.model_copy(update={"batch": 64, "crop": 256})})
    try:
        with pytest.raises(CrashError, match="out of memory"):
            worker_pool.run(large)
        assert not (tmp_path / WEIGHTS).exists()
        occupied.clear()
        torch.cuda.empty_cache()
        worker_pool.run(large)
        assert (tmp_path / WEIGHTS).exists()
    finally:
        worker_pool.close()


def test_a_compiled_member_learns_the_same_thing(tiles: Tiles, tmp_path: Path) -> None:
    schedule = SCHEDULE.model_copy(update={"precision": "bf16"})
    plain = train(spec(), schedule, tiles, "cuda", tmp_path)
    compiled = train(spec(), schedule.model_copy(update={"compiled": True}), tiles, "cuda", tmp_path)
    for one, other in zip(plain.epochs, compiled.epochs, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=0.1)


def test_members_share_a_gpu(tiles: Tiles) -> None:
    assert rate(spec(), SCHEDULE, tiles.folder, "cuda:0", 2) > 20
