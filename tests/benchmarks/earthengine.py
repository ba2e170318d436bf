"""Exporting pixels from Earth Engine, compared with xee and geedim, from one simulated server on loopback.

It measures how busy the slots are while a reply takes 50 ms, how much memory the export of a whole Sentinel-2 tile
takes, and how long other clients take for the same export. The server runs in this process, every client in one of its
own, so that neither waits for the other's interpreter. The image is in closed form, so that the transfer is measured.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from landslide.geo.grid import blocks
from landslide.geo.raster import Reader

ASSET, CRS = "LOOPBACK/RAMP", "EPSG:32654"
REQUESTS = 20
LIMIT_GIB, BUSY = 1.5, 0.9
ROUNDS = 3


def box_of(size: int) -> GeoBox:
    """A square of so many pixels of 10 m."""
    return GeoBox.from_bbox((300_000, 4_600_000, 300_000 + 10 * size, 4_600_000 + 10 * size), CRS, resolution=10)


def names_of(bands: int) -> tuple[str, ...]:
    return tuple(f"b{index}" for index in range(bands))


def ours(url: str, size: int, bands: int, side: int | None, out: Path) -> None:
    """By the source's own session, pixels, tiles and raster writer."""
    import ee

    from landslide.geo.raster import cog
    from landslide.sources.earthengine import limiter, session
    from landslide.sources.earthengine.export import tiles
    from landslide.sources.earthengine.export.journal import Journal
    from landslide.sources.earthengine.export.pixels import Pixels
    from landslide.sources.earthengine.export.stats import ExportStats

    connected, box, names = session.connect("loopback"), box_of(size), names_of(bands)
    pixels = Pixels(ee.Image(ASSET).select(list(names)), box, names, "bench", connected)
    with Journal(out.with_suffix(".tiles"), "bench", (size, size), names) as journal:
        delivered = tiles.deliver(
            pixels.fetch, (size, size), bands, journal, limiter.shared(REQUESTS),
            side=side or tiles.tile_side(bands), stats=ExportStats(),
        )  # fmt: skip
        if side:  # to measure the slots alone
            for _ in delivered:
                pass
            return
        with cog(out, box, names, "float32", float("nan")) as writer:
            for roi, values in delivered:
                writer.write(values, roi)


def by_xee(url: str, size: int, bands: int, side: int | None, out: Path) -> None:
    """xee into memory, since it writes nothing itself, then one GeoTIFF."""
    import ee
    import rasterio
    import xarray

    image = _signed_in(url).Image(ASSET).select(list(names_of(bands)))
    box = box_of(size)
    dataset = xarray.open_dataset(
        ee.ImageCollection([image.set("system:time_start", 0)]), engine="ee", crs=CRS,
        crs_transform=tuple(box.affine)[:6], shape_2d=(size, size),
    ).load()  # fmt: skip
    profile = {"driver": "GTiff", "width": size, "height": size, "count": bands, "dtype": "float32", "crs": CRS}
    with rasterio.open(out, "w", **profile, transform=box.affine, compress="deflate", zlevel=1) as raster:
        for index, name in enumerate(names_of(bands), 1):
            raster.write(dataset[name].values[0], index)
            raster.set_band_description(index, name)


def by_geedim(url: str, size: int, bands: int, side: int | None, out: Path) -> None:
    """geedim, which writes a GeoTIFF itself."""
    import geedim  # noqa: F401  (the accessor `.gd`)

    image = _signed_in(url).Image(ASSET).select(list(names_of(bands)))
    affine = tuple(box_of(size).affine)[:6]
    ready = image.gd.prepareForExport(crs=CRS, crs_transform=affine, shape=(size, size), dtype="float32")
    ready.gd.toGeoTIFF(str(out), overwrite=True)


CLIENTS: dict[str, Callable[[str, int, int, int | None, Path], None]] = {
    "ours": ours, "xee": by_xee, "geedim": by_geedim,
}  # fmt: skip


def _signed_in(url: str) -> Any:
    import ee
    from google.auth.credentials import AnonymousCredentials

    ee.Initialize(AnonymousCredentials(), url=url, project="loopback")
    return ee


def child(client: str, url: str, size: int, bands: int, side: int | None, out: Path) -> None:
    """Run one client in this process and print its wall time and its peak resident set."""
    started = time.monotonic()
    CLIENTS[client](url, size, bands, side, out)
    seconds = time.monotonic() - started
    status = Path("/proc/self/status").read_text()  # rusage would count the parent's memory before exec, too
    peak = int(status.split("VmHWM:")[1].split()[0]) / 2**20
    print(json.dumps({"seconds": round(seconds, 2), "peak_gib": round(peak, 3)}))


def run(client: str, url: str, size: int, bands: int, out: Path, side: int = 0) -> dict[str, float]:
    """One client in a process of its own; what it printed."""
    import os

    command = [
        sys.executable, "-m", "tests.benchmarks.earthengine", "--client", client, "--url", url, "--size", str(size),
        "--bands", str(bands), "--side", str(side), "--out", str(out),
    ]  # fmt: skip
    environment = {**os.environ, "LANDSLIDE_EARTHENGINE_URL": url}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def slots(world: Path, folder: Path, side: int, bands: int) -> dict[str, Any]:
    """The share of the slots that had a request at the server, at 50 ms a reply, from the 2nd to the 98th per cent."""
    from landslide.simulation.earthengine import serve

    tiles = 1600
    with serve(world, delay=0.05) as service:
        run("ours", service.url, side * int(tiles**0.5), bands, folder / "slots.tif", side)
        asked = sorted(service.record.tiles(), key=lambda one: one.started)
        most = service.record.max_concurrent
    first, last = asked[tiles // 50].started, asked[-tiles // 50].started
    busy = sum(max(0.0, min(one.ended or last, last) - max(one.started, first)) for one in asked)
    return {
        "tiles": tiles, "side": side, "bands": bands, "busy": round(busy / (last - first) / REQUESTS, 3),
        "requests_per_second": round(len(asked) / (asked[-1].started - asked[0].started), 1), "most": most,
    }  # fmt: skip


def compare(world: Path, folder: Path, size: int, bands: int) -> dict[str, Any]:
    """The same export by each client in turn, `ROUNDS` times; medians and ratios to ours."""
    from landslide.simulation.earthengine import serve

    found: dict[str, list[dict[str, float]]] = {name: [] for name in CLIENTS}
    with serve(world) as service:
        for _ in range(ROUNDS):
            for name, results in found.items():
                results.append(run(name, service.url, size, bands, folder / f"{name}.tif"))
    _refuse_other_pixels(folder, size, bands)
    medians = {name: statistics.median(one["seconds"] for one in results) for name, results in found.items()}
    return {
        "size": size, "bands": bands, "rounds": ROUNDS, "seconds": medians,
        "ratio_to_ours": {name: round(seconds / medians["ours"], 2) for name, seconds in medians.items()},
        "peak_gib": {name: max(one["peak_gib"] for one in results) for name, results in found.items()},
    }  # fmt: skip


def _refuse_other_pixels(folder: Path, size: int, bands: int) -> None:
    """Exit where a client has written other pixels, as the times could not be compared."""
    first, *others = (Reader(folder / f"{name}.tif") for name in CLIENTS)
    for roi in blocks((size, size), 1024):
        expected = first.read(first.bands, roi)
        for other in others:
            if not np.array_equal(other.read(other.bands, roi)[:bands], expected):
                sys.exit(f"{other.path.stem} wrote other pixels than ours at {roi}")


def whole_tile(world: Path, folder: Path, size: int, bands: int) -> dict[str, Any]:
    """A whole Sentinel-2 tile with all bands and counts, to a finished COG."""
    from landslide.simulation.earthengine import serve

    with serve(world) as service:
        result = run("ours", service.url, size, bands, folder / "whole.tif")
        asked = service.record.tiles()
    fetched = max(one.ended or 0 for one in asked) - asked[0].started
    return {"size": size, "bands": bands, "tiles": len(asked), **result, "fetched_in": round(fetched, 1)}


def main() -> None:
    """Ask all three and print one JSON object; exit status 1 where a bound is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=10_980, help="side of the large export, pixels")
    parser.add_argument("--bands", type=int, default=19)
    parser.add_argument("--compare", type=int, default=2048, help="side of the export that all clients do")
    options = parser.parse_args()
    if options.client:
        child(options.client, options.url, options.size, options.bands, options.side or None, options.out)
        return
    from landslide.simulation.world import simulate_world

    with tempfile.TemporaryDirectory(prefix="bench-earthengine-") as name:
        folder = Path(name)
        world = simulate_world(folder / "world", events=3, size=64).folder
        figures = {
            "benchmark": "earthengine",
            "slots": slots(world, folder, side=64, bands=4),
            "comparison": compare(world, folder, options.compare, 7),
            "whole": whole_tile(world, folder, options.size, options.bands),
        }
    print(json.dumps(figures))
    if figures["slots"]["busy"] < BUSY or figures["whole"]["peak_gib"] > LIMIT_GIB:  # type: ignore[index]
        sys.exit(f"bounds: {BUSY:.0%} of the slots busy, {LIMIT_GIB} GiB resident")


if __name__ == "__main__":
    main()
