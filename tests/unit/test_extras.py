"""What comes with an extra is asked for by name."""

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
