"""The export of one layer: tile by tile, or from the files that Google writes into a bucket."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from landslide.artifacts.stage import KEY_CONTEXT, digest
from landslide.cases.sources import ExportSettings
from landslide.errors import SourceError
from landslide.geo.grid import Roi
from landslide.progress import Update, meter, track
from landslide.sources.base import COUNTS, SCENE, Block, LayerRequest, PartGrid
from landslide.sources.earthengine import limiter
from landslide.sources.earthengine.export import gcs, tiles
from landslide.sources.earthengine.export.estimate import estimate, refuse_over_cap
from landslide.sources.earthengine.export.journal import Journal
from landslide.sources.earthengine.export.pixels import Pixels
from landslide.sources.earthengine.export.stats import ExportStats
from landslide.sources.earthengine.expressions.sentinel2 import scored_share
from landslide.sources.earthengine.image import NODATA, layer_image, names_of
from landslide.sources.earthengine.session import Session


class LayerExport:
    """One layer of a case. It works from the request and the grid, and looks nothing up.

    Args:
        case: The case's name, for messages, the bucket and the workload tag.
        request: The layer.
        geobox: The case's grid.
        settings: How pixels leave Earth Engine.
        session: Where it runs.
    """

    def __init__(
        self, case: str, request: LayerRequest, geobox: GeoBox, settings: ExportSettings, session: Session
    ) -> None:
        self._request, self._geobox = request, geobox
        self._settings, self._session = settings, session
        self._title, self._names = f"{case}, {request.layer}", names_of(request)
        self._shape = (int(geobox.shape.y), int(geobox.shape.x))
        self._estimate = estimate(request, self._shape, settings)
        self._tag = workload_tag(case, request)
        self._identity = identity(request, geobox)
        self._prefix = f"landslide/{case}/{request.layer}-{self._identity[:16]}/{SCENE}"
        self._pixels = Pixels(layer_image(request, geobox), geobox, self._names, self._tag, session)
        self._stats = ExportStats()
        self._charged: dict[str, Any] = {}

    def blocks(self, workspace: Path) -> Iterator[tuple[Roi, Block]]:
        """All pixels, block by block; InputError where the estimate passes the cap."""
        refuse_over_cap(self._title, self._estimate, self._settings)
        by_bucket = self._estimate.method == "bucket"
        for roi, values in self._from_bucket(workspace) if by_bucket else self._from_tiles(workspace):
            yield roi, to_block(values, self._request)

    def account(self) -> dict[str, Any]:
        """What the export has taken so far, and its estimate, as JSON."""
        optical = self._request.layer == "sentinel2"
        return {
            "method": self._estimate.method,
            "plan": self._estimate.as_json(),
            "figures": self._stats.as_json(),
            "charged": self._charged,
            "workload_tag": self._tag,
            "project": self._session.project,
            "endpoint": self._session.url,
            "scenes": len(self._request.scenes),
            "scenes_with_cloud_score": scored_share(self._request.scenes) if optical else None,
        }

    def _from_tiles(self, workspace: Path) -> Iterator[tuple[Roi, NDArray[np.float32]]]:
        with (
            Journal(workspace, self._identity, self._shape, self._names) as journal,
            meter(f"Exporting {self._title}", self._estimate.tiles) as update,
        ):
            yield from tiles.deliver(
                self._pixels.fetch,
                self._shape,
                len(self._names),
                journal,
                limiter.shared(self._settings.requests),
                side=self._estimate.side,
                stats=self._stats,
                progress=lambda snapshot: update(snapshot.done, str(snapshot)),
            )

    def _from_bucket(self, workspace: Path) -> Iterator[tuple[Roi, NDArray[np.float32]]]:
        workspace.mkdir(parents=True, exist_ok=True)
        task = gcs.BatchTask(self._pixels, self._session, str(self._settings.bucket), self._prefix, workspace)
        with meter(f"Google computes {self._title}", 1) as update:
            self._charged = gcs.charged(task.finished(lambda metadata: self._watch(metadata, update)))
        files = task.files()
        for path in track(files, f"Reading {self._title}"):
            yield from gcs.read(path, self._geobox)
        self._stats.bytes = sum(path.stat().st_size for path in files)

    def _watch(self, metadata: Mapping[str, Any], update: Update) -> None:
        """Show how far Google is; SourceError where it has charged more than the case allows."""
        hours = gcs.hours(metadata)
        update(
            float(metadata.get("progress", 0)), f"{metadata.get('state', 'PENDING').lower()}, {hours:.2f} EECU-hours"
        )
        cap = self._settings.eecu_hours
        if cap is not None and hours > cap:
            raise SourceError(
                f"case {self._title}: Google has charged {hours:.2f} EECU-hours, over the case's cap of {cap:g} "
                "(export.eecu_hours) for each layer; the task is cancelled. Shorten the windows, shrink the area, or "
                "raise the cap"
            )


def workload_tag(case: str, request: LayerRequest) -> str:
    """What Google's cost reports list the requests under; 63 characters at most, so the layer comes first."""
    return re.sub(r"[^a-z0-9_-]", "-", f"landslide-{request.layer}-{case}")[:63].strip("-_")


def identity(request: LayerRequest, geobox: GeoBox) -> str:
    """sha256 of all that the pixels depend on: the request and the grid."""
    keyed = request.model_dump(mode="json", context=KEY_CONTEXT)
    return digest({"request": keyed, "grid": PartGrid.of(geobox).model_dump(mode="json")})


def to_block(values: NDArray[np.float32], request: LayerRequest) -> Block:
    """A layer's pixels (band, y, x), in the order of `names_of`: bands with NaN where masked, counts as whole numbers.

    The bands are views of `values`, which is changed.
    """
    counted = COUNTS[request.layer]
    bands = values[: len(request.bands)]
    np.copyto(bands, np.nan, where=bands == np.float32(NODATA))
    counts = values[len(request.bands) :].astype("uint16")
    return Block(dict(zip(request.bands, bands, strict=True)), dict(zip(counted, counts, strict=True)))
