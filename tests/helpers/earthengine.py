"""A small simulated world behind a loopback Earth Engine, for the whole session."""

from collections.abc import Iterator

import ee
import pytest

from landslide.simulation.earthengine import Loopback, serve
from landslide.simulation.world import World, simulate_world
from landslide.sources.earthengine import session

ee.deprecation._FetchDataCatalogStac = lambda: {}  # it would ask the network at every sign-in


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return simulate_world(tmp_path_factory.mktemp("ee") / "world", events=3, size=96, seed=5)


@pytest.fixture(scope="session")
def service(world: World) -> Iterator[Loopback]:
    """A server without faults or delays."""
    with serve(world.folder) as loopback:
        yield loopback


@pytest.fixture(scope="module", autouse=True)
def nobody_signed_in() -> None:
    """The client is global: another module's tests may have left it with a server that has ended."""
    session._current = None


@pytest.fixture
def connected(service: Loopback, monkeypatch: pytest.MonkeyPatch) -> session.Session:
    """The client, initialised against the server."""
    return connect(service, monkeypatch)


def connect(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> session.Session:
    """The client, initialised against a server of the test's own."""
    monkeypatch.setenv(session.URL, loopback.url)
    monkeypatch.delenv(session.KEY_FILE, raising=False)
    return session.connect("loopback")
