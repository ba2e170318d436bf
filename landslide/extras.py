"""Packages that come with an extra of this package, for parts that not everybody needs."""

from importlib.util import find_spec

from landslide.errors import InputError


def require(module: str, extra: str, purpose: str) -> None:
    """InputError where a module is not installed; it names what the module is for and the extra that brings it."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:  # its parent package is missing, too
        found = None
    if found is None:
        raise InputError(f'{purpose} need {module}, which is not installed: pip install "landslide[{extra}]"')
