"""A loopback Earth Engine: the REST service on 127.0.0.1, computing on a simulated world.

The unmodified client runs against it: `ee.Initialize(AnonymousCredentials(), url=loopback.url, project="loopback")`.

Supported: discovery, algorithms, `value:compute`, `image:computePixels` (NPY, GeoTIFF, PNG), downloads, maps and their
tiles, `image:export` of GeoTIFFs to a Cloud Storage at the same address with its operations, OAuth tokens; the limits
of Earth Engine (48 MiB and 32,768 pixels a side, 40 concurrent requests, 10 MiB of body) and its error messages; fault
injection. Expressions are graphs of Earth Engine's functions, checked against the list in the client's package. Pixels
are computed lazily on the requested grid: by nearest neighbour as a default, on the default projection where an
algorithm needs it (terrain, resampling, reprojection), with a mask for each band.

Only the functions, arguments, options and file formats that the project, its tests, xee and geedim use are supported;
any other is refused with status 400 and a message that names it. Further differences from Earth Engine: no pyramids (a
coarse grid samples single pixels, not means), no geodesic edges, no fractional masks, no `maxError`, no real limits of
memory and time, no exact integer ranges of results. Where Earth Engine's behaviour is not documented, this is assumed:
the footprint of a composite is that of its images; a count is 0 where all images are masked, and masked outside of
their footprints; focal operations fill masked pixels from their neighbours; paint unmasks. What works here may fail on
the real service, so a check against it remains necessary.

Assets, made from the world's STAC items: `COPERNICUS/S1_GRD_FLOAT`, `OPERA/RTC/L2_V1/S1` (means over 3 × 3 pixels on
multiples of 30 m), `COPERNICUS/S2_SR_HARMONIZED`, `GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED`,
`COPERNICUS/DEM/GLO30_2024_1`, `NASA/NASADEM_HGT/001`, `JRC/GSW1_4/GlobalSurfaceWater`, and `LOOPBACK/RAMP`, an
analytical image (`ramp`) for benchmarks. Requests of a project called `forbidden` are refused; a bucket called
`missing` does not exist.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .app import App, ServerSettings
from .faults import Faults
from .record import Record
from .server import Server

__all__ = ["Faults", "Loopback", "Record", "serve"]

RECURSION_LIMIT = 20_000


@dataclass(frozen=True)
class Loopback:
    """A running server: its address, the record of its requests, and the folder with its buckets."""

    url: str
    record: Record
    buckets: Path


@contextmanager
def serve(
    world: Path, *, faults: Faults = Faults(), delay: float = 0.0, port: int = 0, token: str | None = None
) -> Iterator[Loopback]:
    """Serve the simulated world in a folder for the duration of the context.

    Args:
        world: Folder of a simulated world.
        faults: Faults to inject.
        delay: Least duration of a computed reply, in seconds.
        port: TCP port on 127.0.0.1; 0 takes a free one.
        token: Bearer token that every request must carry, except discovery, tokens, downloads and map tiles.
            `POST /token` issues it. None: no authentication.
    """
    # Chained calls are nested expressions; each level takes several Python frames.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), RECURSION_LIMIT))
    with tempfile.TemporaryDirectory(prefix="loopback-", ignore_cleanup_errors=True) as folder:
        app = App(Path(world), Path(folder), ServerSettings(faults, delay, token))
        with Server(app, port) as server:
            server.thread.start()
            try:
                yield Loopback(app.url, app.record, Path(folder))
            finally:
                app.service.exports.stop()
                server.shutdown()
