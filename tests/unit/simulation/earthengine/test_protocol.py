"""The loopback's protocol: signing in, values, pixels, maps, limits, errors, tokens, counts."""

import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import ee
import numpy as np
import pytest
import rasterio
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account
from PIL import Image as Pictures

from landslide.simulation.earthengine import Loopback, registry, serve
from landslide.simulation.world import World
from tests.helpers.loopback import CRS, UTM, grid, pixels, sign_in


@pytest.fixture
def client(service: Loopback) -> Loopback:
    sign_in(service.url)
    return service


@pytest.fixture(scope="module")
def guarded(world: World) -> Iterator[Loopback]:
    with serve(world.folder, token="secret") as loopback:
        yield loopback


def refused(image: object, requested: dict | None = None, **more: object) -> str:
    with pytest.raises(ee.EEException) as caught:
        pixels(image, requested, **more)
    return str(caught.value)


def post(url: str, body: object) -> tuple[int, dict]:
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with urlopen(request, timeout=10) as reply:
            return reply.status, json.load(reply)
    except HTTPError as error:
        return error.code, json.load(error)


def test_client_signs_in_and_values_come_back(client: Loopback):
    assert ee.Number(5).subtract(2).getInfo() == 3
    assert ee.List([1, 2]).map(lambda value: ee.Number(value).subtract(2)).getInfo() == [-1, 0]
    assert ee.Date("2020-01-31").advance(1, "month").getInfo() == {"type": "Date", "value": 1_582_934_400_000}
    assert ee.Dictionary({"a": 1, "b": ee.Number(2).subtract(0)}).get("b").getInfo() == 2
    assert ee.data.getAlgorithms(), "the client requests the list once per process, so another test may have done it"
    assert client.record.routes["algorithms"] >= 1


def test_every_function_is_on_googles_list_with_its_arguments():
    known = registry.algorithms()
    assert set(registry.IMPLEMENTED) <= set(known)
    for name, (_, accepted) in registry.IMPLEMENTED.items():
        assert accepted <= {argument.python for argument in known[name].arguments.values()}, name


def test_image_describes_itself(client: Loopback):
    info = ee.ImageCollection("COPERNICUS/S2_SR_HARMONIZED").first().getInfo()
    assert info["type"] == "Image"
    assert info["id"].startswith("COPERNICUS/S2_SR_HARMONIZED/")
    assert [band["id"] for band in info["bands"]] == ["B2", "B3", "B4", "B8", "SCL"]
    assert info["bands"][0]["data_type"] == {"type": "PixelType", "precision": "int", "min": 0, "max": 65535}
    assert info["bands"][0]["crs"].startswith("EPSG:32")
    assert info["bands"][4]["crs_transform"][0] == 20
    assert ee.Image(5).getInfo()["bands"] == [
        {"id": "constant", "data_type": {"type": "PixelType", "precision": "int", "min": 5, "max": 5},
         "crs": "EPSG:4326", "crs_transform": [1, 0, 0, 0, 1, 0]}
    ]  # fmt: skip
    with pytest.raises(ee.EEException, match="of a value of type ImageCollection is not imitated"):
        ee.ImageCollection([ee.Image(1)]).getInfo()


def test_formats_of_pixels_agree(client: Loopback):
    image = ee.Image.pixelCoordinates(ee.Projection(CRS, UTM)).toFloat()
    array = pixels(image, grid(5, 4))
    assert array.shape == (4, 5)
    assert array["x"][0].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    tiff = ee.data.computePixels({"expression": image, "fileFormat": "GEO_TIFF", "grid": grid(5, 4)})
    with rasterio.open(io.BytesIO(tiff)) as raster:
        np.testing.assert_array_equal(raster.read(2), array["y"])
        assert raster.descriptions == ("x", "y")
        assert tuple(raster.transform)[:6] == UTM
        assert raster.crs.to_string() == CRS


@pytest.mark.parametrize(("cast", "missing"), [("toFloat", -np.inf), ("toInt16", -32768), ("toByte", 0)])
def test_masked_pixels_of_a_geotiff(client: Loopback, cast: str, missing: float):
    image = getattr(ee.Image(7), cast)().updateMask(
        ee.Image.pixelCoordinates(ee.Projection(CRS, UTM)).select("x").gt(1)
    )
    tiff = ee.data.computePixels({"expression": image, "fileFormat": "GEO_TIFF", "grid": grid(3, 1)})
    with rasterio.open(io.BytesIO(tiff)) as raster:
        assert raster.read(1)[0].tolist() == [missing, 7, 7]
    assert pixels(image, grid(3, 1))["constant"][0].tolist() == [0, 7, 7]


def test_types_of_an_array_follow_the_bands(client: Loopback):
    image = ee.Image([1, 300, -5]).addBands(ee.Image(1.5)).addBands(ee.Image(1).toFloat()).addBands(ee.Image(2).gt(1))
    assert [str(kind) for kind, _ in pixels(image).dtype.fields.values()] == [
        "uint8", "uint16", "int8", "float64", "float32", "uint8"
    ]  # fmt: skip


def test_bands_on_request_and_pictures(client: Loopback):
    image = ee.Image([1, 2, 3]).rename("a", "b", "c")
    assert pixels(image, bandIds=["c", "a"]).dtype.names == ("c", "a")
    shown = image.select("a").visualize(min=0, max=2, palette=["000000", "ff0000"])
    png = ee.data.computePixels({"expression": shown, "fileFormat": "PNG", "grid": grid()})
    assert np.asarray(Pictures.open(io.BytesIO(png)))[0, 0].tolist() == [128, 0, 0, 255]
    assert "3 bands of bytes" in refused(image.toFloat(), fileFormat="PNG")
    assert "The file format JPEG is not imitated" in refused(shown, fileFormat="JPEG")


def test_limits_of_a_request(client: Loopback):
    wide = ee.Image([1.5] * 7)
    assert refused(wide, grid(1024, 1024)) == (
        "Total request size (58720256 bytes) must be less than or equal to 50331648 bytes."
    )
    assert "32768" in refused(ee.Image(1), grid(32_769, 1))
    assert pixels(ee.Image(1), grid(32_768, 1)).shape == (1, 32_768)
    assert "positive" in refused(ee.Image(1), grid(0, 5))
    assert "could not be parsed" in refused(ee.Image(1), grid(crs="EPSG:99999999"))
    assert "without a grid" in refused(ee.Image(1), {"x": 1}) or "positive" in refused(ee.Image(1), {"x": 1})


def test_unknown_names_are_refused_with_earth_engines_messages(client: Loopback):
    assert "ImageCollection asset 'NO/SUCH' not found (does not exist or caller does not have access)." in refused(
        ee.ImageCollection("NO/SUCH").mosaic()
    )
    assert "Image asset 'NO/SUCH' not found" in refused(ee.Image("NO/SUCH"))
    collection = ee.ImageCollection("COPERNICUS/S1_GRD_FLOAT")
    assert refused(collection.first().select("B99")) == (
        "Image.select: Band pattern 'B99' did not match any bands. Available bands: [VV, VH, angle]"
    )
    assert refused(collection.map(lambda image: image.select("B99")).mosaic()).startswith("Error in map(ID=S1A_")
    assert "Expected type: Image. Actual type: ImageCollection" in refused(collection)
    assert "not imitated" in refused(ee.Image(1).hypot(2).entropy(ee.Kernel.square(1)))


def test_calls_are_checked_against_googles_list(client: Loopback):
    url = f"{client.url}/v1/projects/loopback/value:compute"

    def call(name: str, arguments: dict) -> tuple[int, str]:
        node = {"functionInvocationValue": {"functionName": name, "arguments": arguments}}
        status, reply = post(url, {"expression": {"result": "0", "values": {"0": node}}})
        return status, reply["error"]["message"]

    one = {"constantValue": 1}
    assert call("Image.nothing", {}) == (400, "Unrecognized function name 'Image.nothing'.")
    assert "Unrecognized argument 'band'" in call("Image.log10", {"value": one, "band": one})[1]
    assert "Parameter 'image2' is required" in call("Image.add", {"image1": one})[1]
    assert "Expected type: Image" in call("Image.add", {"image1": {"constantValue": "a"}, "image2": one})[1]
    assert post(url, {"expression": {"result": "9", "values": {}}})[0] == 400
    assert post(url, [1])[0] == 400
    assert post(f"{client.url}/v1/elsewhere", {})[0] == 404


def test_large_bodies_are_refused_and_the_connection_stays_open(client: Loopback):
    status, reply = post(f"{client.url}/v1/projects/loopback/value:compute", {"x": "y" * (10 * 2**20)})
    assert (status, reply["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert "10485760" in reply["error"]["message"]
    assert ee.Number(1).subtract(1).getInfo() == 0


def test_a_forbidden_project(client: Loopback):
    ee.Reset()
    with pytest.raises(ee.EEException, match="Caller does not have required permission"):
        sign_in(client.url, "forbidden")
    sign_in(client.url)


def test_maps_draw_tiles_in_web_mercator(client: Loopback):
    longitude = ee.Image.pixelCoordinates(ee.Projection("EPSG:4326")).select("x")
    tile = longitude.getMapId({"min": -180, "max": 180, "palette": "black,white"})
    with urlopen(tile["tile_fetcher"].format_tile_url(1, 0, 1), timeout=10) as reply:
        assert reply.headers["Content-Type"] == "image/png"
        picture = np.asarray(Pictures.open(io.BytesIO(reply.read())))
    assert picture.shape == (256, 256, 4)
    assert picture[0, 0, 0] == 128
    assert picture[0, -1, 0] == 255
    assert Pictures.open(io.BytesIO(tile["tile_fetcher"].fetch_tile(0, 0, 1))).size == (256, 256)


def test_downloads_have_the_grid_in_their_expression(client: Loopback):
    image = ee.Image.pixelCoordinates(ee.Projection(CRS, UTM)).toFloat()
    url = image.getDownloadURL({"crs": CRS, "crs_transform": UTM, "dimensions": "6x3", "format": "GEO_TIFF"})
    with urlopen(url, timeout=10) as reply, rasterio.open(io.BytesIO(reply.read())) as raster:
        assert raster.shape == (3, 6)
        assert tuple(raster.transform)[:6] == UTM
        assert raster.read(1)[0].tolist() == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]


def test_without_the_token_only_the_discovery_is_served(guarded: Loopback):
    status, reply = post(f"{guarded.url}/v1/projects/loopback/value:compute", {})
    assert (status, reply["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert "invalid authentication credentials" in reply["error"]["message"]
    with urlopen(f"{guarded.url}/$discovery/rest?version=v1", timeout=10) as reply:
        assert json.load(reply)["rootUrl"] == f"{guarded.url}/"


def test_a_service_account_gets_a_token(guarded: Loopback, tmp_path: Path):
    key = tmp_path / "key.json"
    key.write_text(json.dumps(service_key(f"{guarded.url}/token")))
    scopes = ["https://www.googleapis.com/auth/earthengine"]
    sign_in(guarded.url, credentials=service_account.Credentials.from_service_account_file(str(key), scopes=scopes))
    assert ee.Number(3).subtract(1).getInfo() == 2
    assert guarded.record.routes["token"] >= 1


def test_a_refresh_token_gets_one_too(guarded: Loopback):
    granted = user_credentials.Credentials(None, "refresh", None, f"{guarded.url}/token", "id", "secret")
    sign_in(guarded.url, credentials=granted)
    assert ee.Number(4).subtract(1).getInfo() == 3
    status, reply = post(f"{guarded.url}/token", {"grant_type": "password"})
    assert (status, reply["error"]) == (400, "invalid_grant")


def service_key(token_uri: str) -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account", "project_id": "loopback", "private_key_id": "1", "private_key": private.decode(),
        "client_email": "robot@loopback.iam.gserviceaccount.com", "client_id": "1", "token_uri": token_uri,
    }  # fmt: skip


@pytest.mark.slow
def test_concurrency_is_counted_and_limited(world: World):
    with serve(world.folder, delay=1.0) as loopback:
        sign_in(loopback.url)
        pixels(ee.Image(1))
        errors: list[str] = []

        def ask(column: int) -> None:
            try:
                pixels(ee.Image(1), grid(x=8 * column), workloadTag="crowd")
            except ee.EEException as error:
                errors.append(str(error))

        crowd = [threading.Thread(target=ask, args=(column,)) for column in range(45)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        requested = loopback.record.tiles()
    assert errors
    assert set(errors) == {"Too many concurrent aggregations."}
    assert 40 < loopback.record.max_concurrent <= 45
    assert [tile.tag for tile in requested] == [None] + ["crowd"] * 45
    assert {tile.dimensions for tile in requested} == {(8, 8)}
    assert len({tile.translate for tile in requested}) == 45
    assert {tile.status for tile in requested} == {200, 429}


def test_a_delay_is_the_least_duration_of_a_reply(world: World):
    with serve(world.folder, delay=0.2) as loopback:
        sign_in(loopback.url)
        start = time.monotonic()
        ee.Number(1).getInfo()
        assert 0.2 <= time.monotonic() - start < 0.6


@pytest.mark.slow
def test_the_command_serves_until_it_is_terminated(world: World):
    import signal
    import subprocess
    import sys

    command = [sys.executable, "-m", "landslide.simulation.earthengine", str(world.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip().rpartition(" ")[2]
        sign_in(url)
        assert ee.Number(44).subtract(2).getInfo() == 42
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
