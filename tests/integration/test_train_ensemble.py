"""The training flow: nothing is computed twice, nothing damaged is used, nothing half-written is read."""

import json
from collections import Counter
from pathlib import Path

import pytest
from prefect import flow

from flows.evaluate_ensemble import evaluate_ensemble
from flows.training.jobs import grid_members
from flows.training.members import members_per_gpu
from flows.training.train_ensemble import train_ensemble
from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import MANIFEST, ArtifactStore, verify
from landslide.cases.case import load_case
from landslide.ensembles.ensemble import SCORES_FILE, Ensemble
from landslide.errors import InputError, TrainingError
from landslide.evaluation.results import EvaluationReport
from landslide.experiment import load_experiment
from landslide.models.member import MemberSpec, TrainedMember
from landslide.progress import reporting
from landslide.training.records import Member, Schedule, trained_member
from landslide.training.tuning.gpu_sharing import SHARING_FILE, Sharing
from landslide.training.tuning.precision import PROBE_FILE as PROBE
from landslide.training.tuning.precision import Probe, ProbeResult
from landslide.training.workers.pool import Job, WorkerPool
from tests.helpers.archives import toy_experiment
from tests.helpers.artifacts import built, rebuilt
from tests.helpers.progress import ProgressRecorder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained toy experiment and its store."""
    folder = tmp_path_factory.mktemp("trained")
    train_ensemble(toy_experiment(folder), folder / "store")
    return folder


def test_results_are_where_a_person_looks(trained: Path) -> None:
    folder = trained / "store" / "results" / "toy" / "pair"
    names = {path.name for path in folder.iterdir()}
    figures = {"curve.png", "performance.png", "sizes.png", "reliability.png", "gallery-c-c.png"}
    assert names == {"metrics.json", "curve.csv", "ensemble"} | figures
    assert {path.name for path in folder.parent.iterdir()} == {"pair", "report.html", "sizes.json", "sizes.png"}
    assert {path.suffix for path in (folder / "ensemble").glob("card.*")} == {".md", ".json"}
    report = EvaluationReport.read(folder)
    assert [row.k for row in report.curve] == [1, 2]
    assert 0.98 < report.observed["c"] < 1
    ensemble = Ensemble.open(folder / "ensemble")
    assert EvaluationReport.read(ensemble.folder, SCORES_FILE) == report
    assert ensemble.info.cases == {"train": ["a"], "validation": ["b"], "test": ["c"]}
    stages = Counter(name.split("/")[0] for name in built(trained / "store"))
    assert stages == {
        "scenes": 3, "export-sentinel2": 3, "export-terrain": 3, "export-mask": 3, "stack": 3, "audit": 1, "tile": 1,
        "train": 2, "truth": 2, "predict": 4, "select": 1, "assemble": 1, "evaluate": 1,
    }  # fmt: skip


def test_a_second_run_builds_nothing(trained: Path) -> None:
    before = built(trained / "store")
    train_ensemble(trained / "experiment.yaml", trained / "store")
    assert rebuilt(before, trained / "store") == []


@pytest.mark.parametrize(
    ("stage", "damage"),
    [
        ("export-sentinel2", "flip"),
        ("export-mask", "remove"),
        ("stack", "flip"),
        ("audit", "flip"),
        ("tile", "remove"),
        ("train", "flip"),
        ("predict", "remove"),
        ("select", "flip"),
        ("assemble", "remove"),
        ("evaluate", "flip"),
    ],
)
def test_damage_rebuilds_that_stage_and_nothing_else(trained: Path, stage: str, damage: str) -> None:
    store = trained / "store"
    before = built(store)
    files = [path for path in (store / stage).rglob("*") if path.is_file() and path.name != MANIFEST]
    victim = max(files, key=lambda path: path.stat().st_size)
    if damage == "remove":
        victim.unlink()
    else:
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(bytes(content))
    train_ensemble(trained / "experiment.yaml", store)
    assert rebuilt(before, store) == [stage]
    assert all(verify(path.parent) for path in store.glob(f"*/[!.]*/{MANIFEST}"))


def test_a_changed_learning_rate_trains_only_the_new_members(trained: Path) -> None:
    store = trained / "store"
    before = built(store)
    (trained / "sub").mkdir()
    path = toy_experiment(trained, learning_rates=[1e-3, 2e-3], losses=["dice"])
    train_ensemble(path, store)
    assert rebuilt(before, store) == ["assemble", "evaluate", "predict", "predict", "select", "train"]
    toy_experiment(trained)


def test_an_ensemble_is_scored_on_other_cases(trained: Path) -> None:
    ensemble = trained / "store" / "results" / "toy" / "pair" / "ensemble"
    folder = evaluate_ensemble(ensemble, [load_case(trained / "b.yaml")], trained / "store")
    report = EvaluationReport.read(folder)
    assert list(report.cases) == ["b"]
    best = max(row.validation_f1 for row in report.members)
    assert report.members[0].pooled.f1 == pytest.approx(best, abs=0.05), "validation case, validation score"


def test_a_grid_tells_how_far_it_is(tmp_path: Path) -> None:
    store, heard = tmp_path / "store", ProgressRecorder()
    train_ensemble(toy_experiment(tmp_path, losses=["dice"]), store)
    with reporting(heard):
        train_ensemble(toy_experiment(tmp_path, losses=["dice", "jaccard"]), store)
    scores = [trained_member("", path.parent).validation_f1 or 0 for path in store.glob("train/[!.]*/member.json")]
    best = max(scores)
    assert heard.totals["Members"] == 2
    assert heard.notes["Members"][-1].startswith(f"best F1 {best:.3f} pair/Linknet-")
    assert "pair/Linknet-jaccard-0.001" in heard.totals
    assert "pair/Linknet-dice-0.001" not in heard.totals, "it was there"


def test_a_member_that_fails_is_counted_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(self: WorkerPool, job: Job, on_log: object) -> None:
        if job.spec.loss == "bce":
            raise TrainingError("as it happens")
        run(self, job)

    run = WorkerPool.run
    monkeypatch.setattr(WorkerPool, "run", fail)
    heard = ProgressRecorder()
    with reporting(heard):
        train_ensemble(toy_experiment(tmp_path), tmp_path / "store")
    assert heard.notes["Members"][-1].startswith("1 failed, best F1")
    assert "1 of 2 members failed: pair/Linknet-bce-0.001" in caplog.text
    assert EvaluationReport.read(tmp_path / "store" / "results" / "toy" / "pair").size == 1


def test_the_worse_half_stops_at_a_rung(tmp_path: Path) -> None:
    store = tmp_path / "store"
    path = toy_experiment(tmp_path, losses=["dice", "bce", "jaccard"], epochs=2, halving_epochs=[1])
    train_ensemble(path, store)
    files = store.glob("train/[!.]*/member.json")
    members = [Member.model_validate_json(file.read_text()) for file in files]
    rung = {one.spec.name: one.validation_f1 for one in members if len(one.epochs) == 1}
    whole = {one.spec.name for one in members if len(one.epochs) == 2}
    assert len(rung) == 3
    assert whole == set(sorted(rung, key=lambda name: -(rung[name] or 0))[:2])
    report = EvaluationReport.read(store / "results" / "toy" / "pair")
    assert report.size == 3, "the third votes with what it had learnt"
    assert not list(store.glob(".work/*"))
    before = built(store)
    train_ensemble(path, store)
    assert rebuilt(before, store) == []


def test_the_arithmetic_is_probed_once_an_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probed = []

    def measure(probe: Probe, folder: Path) -> None:
        probed.append(probe.architecture)
        faster = probe.architecture == "Linknet"
        (folder / PROBE).write_text(ProbeResult(fp32=1.0, bf16=0.5 if faster else 2.0).model_dump_json())

    monkeypatch.setattr("landslide.training.tuning.precision.measure", measure)
    path = toy_experiment(tmp_path, precision="auto", architectures=["Linknet", "PSPNet"], losses=["dice"])
    for _ in range(2):
        train_ensemble(path, tmp_path / "store")
    assert sorted(probed) == ["Linknet", "PSPNet"], "a second run knows"
    manifests = [json.loads(file.read_text()) for file in (tmp_path / "store").glob(f"train/[!.]*/{MANIFEST}")]
    chosen = {
        one["parameters"]["spec"]["architecture"]: one["parameters"]["schedule"]["precision"] for one in manifests
    }
    assert chosen == {"Linknet": "bf16", "PSPNet": "fp32"}


def test_how_many_a_gpu_carries_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: a GPU by name, and what a trial on it finds."""
    tried: list[str] = []

    def measure(spec: MemberSpec, schedule: Schedule, tiles: Path, device: str, folder: Path) -> None:
        tried.append(f"{spec.architecture} on {device}")
        (folder / SHARING_FILE).write_text(Sharing(samples_per_second={1: 10.0, 2: 19.0, 4: 20.0}).model_dump_json())

    monkeypatch.setattr("landslide.training.tuning.gpu_sharing.measure", measure)
    monkeypatch.setattr("flows.training.members.device_name", lambda device: "a GPU")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("landslide.training.workers.slots._identity", lambda device: "gpu")
    path = toy_experiment(
        tmp_path, members_per_gpu="auto", architectures=["Linknet", "Unet", "DeepLabV3"], losses=["dice"]
    )
    settings, _ = load_experiment(path)
    names, tiles, store = (
        list(grid_members(settings)),
        Artifact(stage="tile", key="0" * 24),
        ArtifactStore(tmp_path / "store"),
    )

    @flow
    def ask(device: str) -> int:
        return members_per_gpu(settings, tiles, store, names, device)

    assert [ask("cuda"), ask("cuda"), ask("cpu")] == [2, 2, 1]
    assert tried == ["Unet on cuda:0"]


def test_a_band_that_the_cases_lack_is_named(tmp_path: Path) -> None:
    path = toy_experiment(tmp_path, band_sets={"wrong": ["vv_change"]})
    with pytest.raises(InputError, match=r"the band set wrong needs \['vv_change'\], which case a lacks"):
        train_ensemble(path, tmp_path / "store")


def test_when_every_member_diverges_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = toy_experiment(tmp_path, losses=["bce"])

    def diverged(key: str, folder: Path) -> TrainedMember:
        return trained_member(key, folder).model_copy(update={"validation_f1": None})

    monkeypatch.setattr("flows.training.train_ensemble.trained_member", diverged)
    with pytest.raises(TrainingError, match="every member diverged"):
        train_ensemble(path, tmp_path / "store")
    assert not (tmp_path / "store" / "results").exists()
