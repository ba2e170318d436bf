"""What comes with an extra is asked for by name."""

import subprocess
import sys

import pytest

from landslide.errors import InputError
from landslide.extras import require


def test_an_installed_module_is_no_matter() -> None:
    require("numpy", "none", "arrays")
    require("os.path", "none", "paths")


@pytest.mark.parametrize("module", ["not_there", "not_there.at_all"])
def test_a_missing_module_is_named_with_its_extra(module: str) -> None:
    with pytest.raises(InputError, match=rf'things need {module}, .* pip install "landslide\[cloud\]"'):
        require(module, "cloud", "things")


@pytest.mark.slow
def test_modules_load_without_the_packages_of_any_extra() -> None:
    program = """
import pkgutil, sys
for name in ("dask", "distributed", "prefect_dask", "h5py", "s3fs", "gcsfs", "google.cloud.storage", "geemap"):
    sys.modules[name] = None  # importing it is then an ImportError
import flows, landslide, tasks
for package in (landslide, tasks, flows):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            __import__(module.name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
