"""Fault injection: each fault as the client sees it, repeatable by its seed."""

import http.client
import json
import time
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import ee
import numpy as np
import pytest

from landslide.simulation.earthengine import Faults, serve
from landslide.simulation.world import World
from tests.helpers.loopback import grid, pixels, sign_in

ONE = {"result": "0", "values": {"0": {"constantValue": 1}}}
IMAGE = {"functionInvocationValue": {"functionName": "Image.constant", "arguments": {"value": {"constantValue": 1}}}}


def ask(url: str, route: str = "value:compute") -> int:
    """The status of one plain request."""
    body = {"expression": ONE}
    if route != "value:compute":
        body = {"expression": {"result": "0", "values": {"0": IMAGE}}, "fileFormat": "NPY", "grid": grid()}
    request = Request(
        f"{url}/v1/projects/loopback/{route}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urlopen(request, timeout=10) as reply:
            reply.read()
            return int(reply.status)
    except HTTPError as error:
        return error.code


def test_no_faults_by_default():
    assert not any(any(Faults().decide(number).hits.values()) for number in range(1, 200))


def test_rates_are_met_and_repeat_with_the_seed():
    def hits(seed: int) -> list[bool]:
        faults = Faults(seed=seed, too_many=0.3)
        return [faults.decide(number).hits["too_many"] for number in range(1, 1001)]

    assert hits(1) == hits(1) != hits(2)
    assert 250 < sum(hits(1)) < 350


def test_too_many_requests_have_a_retry_after_header(world: World):
    with serve(world.folder, faults=Faults(too_many=1, retry_after=7)) as loopback:
        sign_in(loopback.url)
        with pytest.raises(ee.EEException, match="Too many concurrent aggregations"):
            ee.Number(1).getInfo()
        with pytest.raises(HTTPError) as caught:
            urlopen(
                Request(f"{loopback.url}/v1/projects/loopback/value:compute", json.dumps({"expression": ONE}).encode())
            )
        assert (caught.value.code, caught.value.headers["Retry-After"]) == (429, "7")


def test_faults_apply_only_to_the_named_routes(world: World):
    with serve(world.folder, faults=Faults(unavailable=1, routes={"computePixels"})) as loopback:
        sign_in(loopback.url)
        assert ask(loopback.url) == 200
        assert ask(loopback.url, "image:computePixels") == 503
        tiles = loopback.record.tiles()
        assert [(tile.status, tile.message) for tile in tiles] == [(503, "The service is currently unavailable.")]


def test_the_client_retries_transient_faults(world: World):
    with serve(world.folder, faults=Faults(seed=3, unavailable=0.2, cut=0.2, half=0.2)) as loopback:
        sign_in(loopback.url, retries=6)
        found = [int(pixels(ee.Image(n).toByte())["constant"][0, 0]) for n in range(4)]
        assert found == [0, 1, 2, 3]
        statuses = [tile.status for tile in loopback.record.tiles()]
        assert len(statuses) > 4
        assert statuses.count(200) == 4


@pytest.mark.parametrize("fault", ["cut", "half"])
def test_connections_are_cut(world: World, fault: str):
    with serve(world.folder, faults=Faults(**{fault: 1})) as loopback:
        host = loopback.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=5)
        body = json.dumps(
            {"expression": {"result": "0", "values": {"0": IMAGE}}, "fileFormat": "NPY", "grid": grid(64, 64)}
        )
        connection.request("POST", "/v1/projects/loopback/image:computePixels", body)
        if fault == "cut":
            with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
                connection.getresponse()
        else:
            reply = connection.getresponse()
            length = int(reply.headers["Content-Length"])
            with pytest.raises(http.client.IncompleteRead) as caught:
                reply.read()
            assert len(caught.value.partial) == length // 2
        assert [tile.status for tile in loopback.record.tiles()] == [0]


def test_slow_replies_are_delayed(world: World):
    with serve(world.folder, faults=Faults(slow=1, slow_by=0.3)) as loopback:
        start = time.monotonic()
        assert ask(loopback.url) == 200
        assert time.monotonic() - start >= 0.3


def test_large_tiles_exceed_the_memory(world: World):
    with serve(world.folder, faults=Faults(memory=1, memory_over=50)) as loopback:
        sign_in(loopback.url)
        with pytest.raises(ee.EEException, match="User memory limit exceeded"):
            pixels(ee.Image(1), grid(10, 6))
        assert np.all(pixels(ee.Image(1), grid(10, 5))["constant"] == 1)


def test_a_request_can_be_refused_permanently(world: World):
    with serve(world.folder, faults=Faults(permanent={2})) as loopback:
        assert [ask(loopback.url) for _ in range(3)] == [200, 400, 200]


def test_signing_in_has_no_faults(world: World):
    with serve(world.folder, faults=Faults(unavailable=1, cut=1, too_many=1)) as loopback:
        ee.Reset()
        sign_in(loopback.url)
        assert loopback.record.computations == 0
