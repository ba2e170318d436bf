"""`landslide doctor`: checks what is installed, reachable and writable, and how to install what is missing."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from landslide.artifacts.atomic import writable
from landslide.errors import ServiceError, SourceError, StoreError

EXTRAS = {
    "archives": "the archive of Landslide4Sense as a source",
    "cloud": "shared storage in a bucket, and Earth Engine exports through one",
    "dask": "`landslide train --dask`",
    "preview": "`landslide preview`",
    "bench": "the benchmarks against other packages",
    "dev": "the tests and the linters",
}
CATALOGUES = {
    "Planetary Computer": "https://planetarycomputer.microsoft.com/api/stac/v1",
    "Earth Search": "https://earth-search.aws.element84.com/v1",
}
SPACE_GB = 5
Finding = dict[str, Any]


def examine(store: Path) -> list[Finding]:
    """Run all checks. `state` is `ok`, `missing`, or `optional` if only some commands need what is missing."""
    return [
        _python(),
        *(_package(name) for name in requirements()),
        *(_extra(name, purpose) for name, purpose in EXTRAS.items()),
        _processor(),
        _drivers(),
        *_storage(store),
        _prefect(),
        _signer(),
        *(_answers(name, url, "needed only for cases with this catalogue", False) for name, url in CATALOGUES.items()),
        *_earth_engine(),
    ]


def _finding(what: str, ok: bool, detail: str, needed: bool = True) -> Finding:
    return {"what": what, "state": "ok" if ok else "missing" if needed else "optional", "detail": detail}


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return _finding("Python", (3, 11) <= sys.version_info < (3, 13), f"{version} (3.11 or 3.12 wanted)")


def requirements(extra: str | None = None) -> list[str]:
    """The packages that the installed metadata requires, or those of an extra."""
    found = []
    for requirement in importlib.metadata.requires("landslide") or []:
        name, marker = re.match(r"[\w.-]+", requirement), re.search(r'extra == "(\w+)"', requirement)
        if name and name[0] != "landslide" and (marker and marker[1]) == extra:
            found.append(name[0])
    return found


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Finding:
    version = _version(name)
    return _finding(name, version is not None, version or "not installed: pip install -e .")


def _extra(name: str, purpose: str) -> Finding:
    missing = [package for package in requirements(name) if _version(package) is None]
    detail = f"for {purpose}"
    if missing:
        detail += f": pip install -e '.[{name}]' ({', '.join(missing)} not installed)"
    return _finding(f"extra {name}", not missing, detail, needed=False)


def _processor() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return _finding("GPU", False, "torch is missing", needed=False)
    from landslide.training.devices import choose_device, device_name, is_gpu

    if is_gpu(device := choose_device("auto")):
        return _finding("GPU", True, device_name(device))
    return _finding("GPU", False, f"none; members train on {os.cpu_count()} cores", needed=False)


def _drivers() -> Finding:
    import pyogrio
    from rasterio.drivers import raster_driver_extensions

    missing = {"tif"} - set(raster_driver_extensions()) | ({"GPKG"} - set(pyogrio.list_drivers()))
    return _finding(
        "GeoTIFF and GeoPackage", not missing, f"no driver for {missing}" if missing else "readable, writable"
    )


def _storage(store: Path) -> list[Finding]:
    existing = next(folder for folder in (store, *store.resolve().parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 1e9
    disk = _finding("disk", free > SPACE_GB, f"{free:.0f} GB free ({SPACE_GB} GB wanted)")
    try:
        writable(existing)
    except StoreError as error:
        return [_finding("store", False, str(error)), disk]
    return [_finding("store", True, f"{store.resolve()} is writable"), disk]


def _prefect() -> Finding:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return _finding("Prefect API", True, "none set: a temporary one is started with each run")
    return _answers("Prefect API", f"{url}/health", "start it: prefect server start")


def _signer() -> Finding:
    found = importlib.util.find_spec("planetary_computer") is not None
    detail = "installed" if found else "for `sign: planetary-computer`: pip install planetary-computer"
    return _finding("planetary-computer", found, detail, needed=False)


def _earth_engine() -> list[Finding]:
    """Check credentials, project and a request for one pixel. Stops at the first failure."""
    from landslide.sources.earthengine import session
    from landslide.sources.earthengine.export.pixels import one_pixel
    from landslide.sources.earthengine.query import with_retries

    try:
        found = session.find_credentials()
    except SourceError as error:
        return [_finding("Earth Engine sign-in", False, f"{error}; only for `source: earthengine`", needed=False)]
    findings = [_finding("Earth Engine sign-in", True, f"{found.kind}, {found.place}")]
    try:
        connected = session.connect()
        findings.append(_finding("Earth Engine project", True, f"{connected.project} at {connected.url}"))
        started = monotonic()
        with_retries(lambda: one_pixel(connected))
        findings.append(_finding("Earth Engine pixel", True, f"one came back in {monotonic() - started:.1f} s"))
    except (SourceError, ServiceError) as error:
        name = "Earth Engine project" if len(findings) == 1 else "Earth Engine pixel"
        findings.append(_finding(name, False, str(error), needed=False))
    return findings


def _answers(what: str, url: str, otherwise: str, needed: bool = True) -> Finding:
    try:
        with urlopen(url, timeout=5):
            return _finding(what, True, f"{url} answers")
    except (URLError, OSError, ValueError) as error:
        return _finding(what, False, f"{url}: {getattr(error, 'reason', error)}; {otherwise}", needed)
