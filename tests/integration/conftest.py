"""One Prefect API for all flow tests; a simulated Earth Engine for those that ask for it."""

from pathlib import Path

import pytest

from tests.helpers.earthengine import connected, service, world

__all__ = ["connected", "service", "world"]


@pytest.fixture(scope="session", autouse=True)
def prefect_api(prefect_home: Path) -> None:
    """Every flow of these tests runs against the session's own server."""
