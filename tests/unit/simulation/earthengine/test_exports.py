"""Exports to the loopback's Cloud Storage, read with the real storage client."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ee
import numpy as np
import pytest
import rasterio
from google.auth.credentials import AnonymousCredentials

from landslide.simulation.earthengine import Faults, Loopback, serve
from landslide.simulation.world import World
from tests.helpers.loopback import CRS, LEFT, TOP, UTM, grid, pixels, sign_in

storage = pytest.importorskip("google.cloud.storage")


@pytest.fixture(scope="module")
def exporting(world: World) -> Iterator[Loopback]:
    with serve(world.folder) as loopback:
        yield loopback


@pytest.fixture
def bucket(exporting: Loopback, monkeypatch: pytest.MonkeyPatch) -> Any:
    sign_in(exporting.url)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", exporting.url)
    return storage.Client("loopback", AnonymousCredentials()).bucket("results")


def image() -> "ee.Image":
    """Columns, masked in the first row, and rows of the test lattice, as float."""
    both = ee.Image.pixelCoordinates(ee.Projection(CRS, UTM))
    return both.updateMask(both.select("y").gt(1)).toFloat()


def started(prefix: str, what: "ee.Image | None" = None, **more: Any) -> ee.batch.Task:
    options = {"crs": CRS, "crsTransform": list(UTM), "dimensions": "300x200", "bucket": "results"} | more
    task = ee.batch.Export.image.toCloudStorage(what or image(), description=prefix.replace("/", "-"),
                                                fileNamePrefix=prefix, **options)  # fmt: skip
    task.start()
    return task


def finished(task: ee.batch.Task) -> dict[str, Any]:
    for _ in range(300):
        operation = ee.data.getOperation(task.name)
        if operation["done"]:
            return operation
        time.sleep(0.02)
    raise AssertionError(operation)


def test_an_export_becomes_one_file(bucket: Any, tmp_path: Path):
    operation = finished(started("runs/one", formatOptions={"noData": -9999}))
    metadata = operation["metadata"]
    assert (metadata["state"], metadata["attempt"], metadata["progress"]) == ("SUCCEEDED", 1, 1)
    assert metadata["batchEecuUsageSeconds"] >= 0
    assert metadata["createTime"] <= metadata["startTime"] <= metadata["endTime"]
    assert metadata["destinationUris"] == ["https://console.developers.google.com/storage/browser/results/runs"]
    blobs = list(bucket.client.list_blobs("results", prefix="runs/one"))
    assert [blob.name for blob in blobs] == ["runs/one.tif"]
    blobs[0].download_to_filename(str(tmp_path / "one.tif"))
    assert blobs[0].size == (tmp_path / "one.tif").stat().st_size
    with rasterio.open(tmp_path / "one.tif") as raster:
        assert (raster.shape, raster.nodata, raster.dtypes[0]) == ((200, 300), -9999, "float32")
        assert tuple(raster.transform)[:6] == UTM
        expected = pixels(image().unmask(-9999, False), grid(300, 200))
        np.testing.assert_array_equal(raster.read(1), expected["x"])
        assert raster.descriptions == ("x", "y")


def test_large_exports_are_split_by_row_and_column(bucket: Any):
    operation = finished(started("runs/many", fileDimensions=[256, 128], shardSize=64))
    assert operation["metadata"]["state"] == "SUCCEEDED"
    blobs = {blob.name: blob for blob in bucket.list_blobs(prefix="runs/many")}
    corners = [(row, column) for row in (0, 128) for column in (0, 256)]
    assert list(blobs) == [f"runs/many{row:010d}-{column:010d}.tif" for row, column in corners]
    whole = pixels(image(), grid(300, 200))["y"]
    for (row, column), blob in zip(corners, blobs.values(), strict=True):
        with rasterio.MemoryFile(blob.download_as_bytes()) as memory, memory.open() as raster:
            assert (raster.transform.c, raster.transform.f) == (LEFT + 10 * column, TOP - 10 * row)
            found = raster.read(2, masked=False)
            part = whole[row : row + 128, column : column + 256]
            np.testing.assert_array_equal(np.where(np.isneginf(found), 0, found), part)


def test_failures_are_reported(bucket: Any):
    def fails(prefix: str, what: "ee.Image | None" = None, **more: Any) -> str:
        operation = finished(started(prefix, what, **more))
        assert operation["metadata"]["state"] == "FAILED"
        message: str = operation["error"]["message"]
        return message

    assert "did not match any bands" in fails("fails/band", ee.Image(1).select("b"))
    assert "Export too large" in fails("fails/size", maxPixels=100)
    assert "bucket does not exist" in fails("fails/bucket", bucket="missing")
    assert "multiple of shardSize" in fails("fails/shard", fileDimensions=[100, 100], shardSize=64)
    with pytest.raises(ee.EEException, match="The option cloudOptimized of an export is not imitated"):
        started("fails/option", formatOptions={"cloudOptimized": True})
    with pytest.raises(ee.EEException, match="not imitated"):
        ee.batch.Export.image.toDrive(ee.Image(1), region=ee.Geometry.Rectangle([0, 0, 1, 1])).start()


def test_the_same_request_is_the_same_operation(bucket: Any):
    task = started("same/request")
    first, again, other = (ee.data.exportImage(name, {**task.config, "expression": image()}) for name in "aab")
    assert first["name"] == again["name"] != other["name"]
    assert finished(task)["metadata"]["state"] == "SUCCEEDED"
    assert task.status()["state"] == "COMPLETED"
    with pytest.raises(ee.EEException, match="not found"):
        ee.data.getOperation("projects/loopback/operations/NONE")


def test_exports_wait_run_fail_and_are_cancelled(world: World):
    with serve(world.folder, faults=Faults(failed_exports=1), delay=0.5) as loopback:
        sign_in(loopback.url)
        tasks = [started(f"queue/{number}") for number in range(3)]
        assert {task.status()["state"] for task in tasks} == {"READY"}
        ee.data.cancelOperation(tasks[2].name)
        states = [finished(task)["metadata"]["state"] for task in tasks]
        assert states == ["FAILED", "SUCCEEDED", "CANCELLED"]
        assert list((loopback.buckets / "results" / "queue").iterdir()) == [loopback.buckets / "results/queue/1.tif"]


def test_the_charge_grows_while_an_export_runs_and_cancelling_ends_it(world: World):
    with serve(world.folder, delay=0.4) as loopback:
        sign_in(loopback.url)
        task = started("meter/out", fileDimensions=[256, 128], shardSize=64)
        charges = []
        for _ in range(300):
            metadata = ee.data.getOperation(task.name)["metadata"]
            if metadata["state"] == "RUNNING":
                charges.append(metadata["batchEecuUsageSeconds"])
            if len(set(charges)) >= 3:
                break
            time.sleep(0.02)
        assert charges == sorted(charges)
        assert charges[-1] > 0
        ee.data.cancelOperation(task.name)
        assert finished(task)["metadata"]["state"] == "CANCELLED"
        files = [path.name for path in (loopback.buckets / "results" / "meter").iterdir()]
    assert 0 < len(files) < 4
    assert not [name for name in files if name.startswith(".")]
