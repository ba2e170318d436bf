"""One Prefect API for all flow tests, in a home of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.earthengine import connected, service, world

__all__ = ["connected", "service", "world"]


@pytest.fixture(scope="session", autouse=True)
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Prefect home in a temporary folder, and a server on it for the whole session."""
    home = tmp_path_factory.mktemp("prefect")
    os.environ.update(PREFECT_HOME=str(home), DO_NOT_TRACK="1", PREFECT_SERVER_ANALYTICS_ENABLED="false")
    from prefect.settings import PREFECT_HOME, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with temporary_settings({PREFECT_HOME: home}), prefect_test_harness(server_startup_timeout=120):
        yield home
