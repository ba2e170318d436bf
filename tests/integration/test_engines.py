"""Members beyond this process: on a Dask cluster, and in shards that a worker takes up, with a bucket between them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.training.jobs import TrainingJob
from flows.training.shards import NO_WORKER, split_into_shards, train_shard
from flows.training.train_ensemble import train_ensemble
from landslide.artifacts.remote import RemoteStore
from landslide.artifacts.store import MANIFEST, SHARED, verify
from landslide.errors import InputError
from landslide.evaluation.results import EvaluationReport
from landslide.progress import reporting
from tests.conftest import ROOT
from tests.helpers.archives import toy_experiment
from tests.helpers.object_store import s3
from tests.helpers.progress import ProgressRecorder

pytestmark = pytest.mark.slow
POOL = "gpu"


def deploy(store: Path) -> None:
    """The deployment as prefect.yaml has it, with a store of the worker's own."""
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process"), overwrite=True)
    train_shard.from_source(str(ROOT), "flows/training/shards.py:train_shard").deploy(
        "new", work_pool_name=POOL, parameters={"store": str(store)}, print_next_steps=False, ignore_warnings=True
    )


@contextmanager
def worker(name: str) -> Iterator[subprocess.Popen[bytes]]:
    """`prefect worker start`, one run at a time."""
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--limit", "1", "--name", name]
    environment = {**os.environ, "PREFECT_API_URL": PREFECT_API_URL.value(), "PREFECT_WORKER_QUERY_SECONDS": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:  # asked to end, a worker may wait for ever
            process.kill()


def trained(store: Path) -> set[str]:
    return {path.parent.name for path in store.glob(f"train/[!.]*/{MANIFEST}")}


def test_shards_are_trained_by_a_worker_and_come_back_through_a_bucket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, afar, heard = tmp_path / "head", tmp_path / "afar", ProgressRecorder()
    path = toy_experiment(tmp_path, device="cpu", losses=["dice", "bce", "jaccard"])
    monkeypatch.setattr("flows.training.shards.POLL_SECONDS", 0.5)
    with s3(monkeypatch) as bucket:
        monkeypatch.setenv(SHARED, f"{bucket}/landslide")
        deploy(afar)
        with worker("one"), reporting(heard):
            results = train_ensemble(path, head, shards=2)
        there = RemoteStore(f"{bucket}/landslide").keys("train")
    assert trained(head) == trained(afar) == there
    assert len(there) == 3
    assert all(verify(manifest.parent) for manifest in head.glob(f"*/[!.]*/{MANIFEST}"))
    assert EvaluationReport.read(results["pair"]).size == 3
    assert not (afar / "stack").exists(), "tiles are all that a shard takes"
    assert heard.notes["Members"][0] == NO_WORKER
    assert heard.notes["Members"][-1].startswith("best F1 ")


def test_a_dask_cluster_trains_the_same_members(tmp_path: Path) -> None:
    import distributed

    path = toy_experiment(tmp_path, device="cpu", members_per_gpu=1)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        train_ensemble(path, tmp_path / "cluster", dask=cluster.scheduler_address)
    train_ensemble(path, tmp_path / "here")
    assert trained(tmp_path / "cluster") == trained(tmp_path / "here")
    weights = [
        {file.parent.name: file.read_bytes() for file in (tmp_path / name).glob("train/[!.]*/weights.safetensors")}
        for name in ("cluster", "here")
    ]
    assert weights[0] == weights[1]


def test_every_shard_gets_long_and_short_members() -> None:
    jobs = [TrainingJob(number, None) for number in range(5)]  # type: ignore[arg-type]
    assert [[job.member for job in shard] for shard in split_into_shards(jobs, 2)] == [[0, 2, 4], [1, 3]]
    assert len(split_into_shards(jobs, 9)) == 5


@pytest.mark.parametrize(
    ("changes", "engine", "words"),
    [
        ({}, {"shards": 2}, "`device: auto` is for one machine"),
        ({"device": "cpu", "precision": "auto"}, {"shards": 2}, "`precision: auto` is for one machine"),
        (
            {"device": "cpu", "members_per_gpu": "auto"},
            {"dask": "tcp://127.0.0.1:1"},
            "`members_per_gpu: auto` is for one machine",
        ),
        (
            {"device": "cpu"},
            {"dask": "distributed.NoCluster"},
            "Dask cluster 'distributed.NoCluster'.*dask_jobqueue.SLURMCluster",
        ),
        ({"device": "cpu"}, {"dask": "dask_jobqeue.SLURMCluster"}, "No module named 'dask_jobqeue'"),
    ],
)
def test_what_cannot_be_run_afar_is_said(
    tmp_path: Path, changes: dict[str, object], engine: dict[str, object], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        train_ensemble(toy_experiment(tmp_path, **changes), tmp_path / "store", **engine)


@pytest.mark.parametrize("engine", [{"shards": 1}, {"dask": "tcp://127.0.0.1:1"}])
def test_a_server_of_ones_own_is_asked_for(
    tmp_path: Path, engine: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.training.jobs import check_server

    with (
        temporary_settings(restore_defaults={PREFECT_API_URL}),
        pytest.raises(InputError, match="prefect server start"),
    ):
        check_server("a Dask cluster")


def test_halving_and_shared_storage_exclude_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED, f"file://{tmp_path}/shared")
    path = toy_experiment(tmp_path, epochs=2, halving_epochs=[1])
    with pytest.raises(InputError, match=r"halving_epochs \[1\] needs checkpoints"):
        train_ensemble(path, tmp_path / "store")
