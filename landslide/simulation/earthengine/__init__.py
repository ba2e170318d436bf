"""A loopback Earth Engine: the REST service on 127.0.0.1, computing on a simulated world.

The unmodified client runs against it: `ee.Initialize(AnonymousCredentials(), url=loopback.url, project="loopback")`.

Imitated: discovery, algorithms, `value:compute`, `image:computePixels` (NPY, GeoTIFF, PNG), downloads, maps with their
tiles, `image:export` of GeoTIFFs to a Cloud Storage on the same address with its operations, OAuth tokens; Google's
limits (48 MiB and 32,768 pixels a side, 40 requests at once, 10 MiB of body) and its errors; faults on purpose.
Expressions are graphs of Google's functions, checked against the list in the client's package. Pixels are computed
lazily on the requested grid: the nearest pixel by default, on the default projection where an algorithm needs it
(terrain, resampling, reprojection), with masks for each band.

Only what the project, its tests, xee and geedim use is there: any other function, argument, option or file format is
refused with a 400 that says so. Not imitated besides: pyramids (a coarse grid sees single pixels, not means), geodesic
edges, fractional masks, `maxError`, real limits of memory and time, and exact integer ranges of results. Where Google's
behaviour is not documented, it is a guess and said so: a composite's footprint is that of its images, counts are 0
where images lie masked and masked where none lies, focal operations fill what their neighbours know, paint unmasks.
What passes here may fail there: a check against the real service stays necessary.

Assets, by the world's STAC items: `COPERNICUS/S1_GRD_FLOAT`, `OPERA/RTC/L2_V1/S1` (means over 3 × 3 pixels on multiples
of 30 m), `COPERNICUS/S2_SR_HARMONIZED`, `GOOGLE/CLOUD_SCORE_PLUS/V1/S2_HARMONIZED`, `COPERNICUS/DEM/GLO30_2024_1`,
`NASA/NASADEM_HGT/001`, `JRC/GSW1_4/GlobalSurfaceWater`, and `LOOPBACK/RAMP`, a closed form (`ramp`) for benchmarks. A
project called `forbidden` is refused, a bucket called `missing` does not exist.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .app import App, Settings
from .faults import Faults
from .record import Record
from .server import Server

__all__ = ["Faults", "Loopback", "Record", "serve"]

DEEP = 20_000


@dataclass(frozen=True)
class Loopback:
    """A running server: its address, what was asked of it, and the folder of its buckets."""

    url: str
    record: Record
    buckets: Path


@contextmanager
def serve(
    world: Path, *, faults: Faults = Faults(), delay: float = 0.0, port: int = 0, token: str | None = None
) -> Iterator[Loopback]:
    """Serve the simulated world in a folder while the context lasts.

    `delay` is what a computed reply takes at least, in seconds; `port` 0 takes any that is free; with a `token` every
    request but those for pixels by URL needs it as a bearer's, and `POST /token` gives it out.
    """
    # Expressions nest as deep as their authors' chains of calls, several frames of ours a level.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), DEEP))
    with tempfile.TemporaryDirectory(prefix="loopback-", ignore_cleanup_errors=True) as folder:
        app = App(Path(world), Path(folder), Settings(faults, delay, token))
        with Server(app, port) as server:
            server.thread.start()
            try:
                yield Loopback(app.url, app.record, Path(folder))
            finally:
                app.service.exports.stop()
                server.shutdown()
