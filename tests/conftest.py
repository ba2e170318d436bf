"""Fixtures shared by all tests."""

import os
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning threads stall each other on busy machines
hypothesis.settings.register_profile("untimed", deadline=None)  # what an example takes says how busy the machine is
hypothesis.settings.load_profile("untimed")
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scenes, beside the checkout; the test skips where it is missing."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}")
    return folder
