"""The `earthengine` source: a case's bands computed by Google, on the case's grid."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from landslide.artifacts.store import digest
from landslide.cases.case import Case
from landslide.cases.sources import EarthEngineSource
from landslide.errors import SourceError
from landslide.geo.grid import Roi, grid
from landslide.progress import Update, meter, track
from landslide.sources.base import Block, SceneInfo
from landslide.sources.earthengine import limiter
from landslide.sources.earthengine.export import gcs, tiles
from landslide.sources.earthengine.export.estimate import Estimate, estimate, refuse_over_cap
from landslide.sources.earthengine.export.journal import Journal
from landslide.sources.earthengine.export.pixels import Pixels
from landslide.sources.earthengine.export.stats import ExportStats
from landslide.sources.earthengine.image import NODATA, VERSION, Recipe
from landslide.sources.earthengine.session import connect

PART = "scene"


class EarthEngine:
    """A `Source` whose pixels Google computes; see `landslide.sources.Source` and `Exporter`.

    Opening signs in and looks scenes up, no pixel is computed. Raises SourceError (no credentials, no project, an asset
    that is not there), EmptyWindowError or NoOverlapError, BandError, and ServiceError where Google does not answer.
    """

    def __init__(self, case: Case, config: EarthEngineSource) -> None:
        self._case, self._config = case, config
        self._session = connect(config.project)
        self._gate = limiter.shared(config.export.requests)
        self._geobox = grid(case)
        self.recipe = Recipe.of(case, config, self._geobox)
        self.parts: Mapping[str, GeoBox] = {PART: self._geobox}
        self.bands = self.recipe.bands
        self._figures = ExportStats()
        self._charged: dict[str, Any] = {}

    def fingerprint(self) -> str:
        """sha256 over the expression, which names every scene, and the scenes' versions in the archive."""
        versions = {scene.id: scene.version for scene in self.recipe.scenes}
        return digest({"version": VERSION, "image": self.recipe.image.serialize(), "scenes": versions,
                       "dem": list(self.recipe.dem_tiles)})  # fmt: skip

    def scenes(self) -> Sequence[SceneInfo]:
        """The acquisitions in use, in time order."""
        return [scene.info() for scene in self.recipe.scenes]

    def label(self, part: str) -> None:
        """No ready-made label: it comes from the case's inventory."""
        return

    def read(self, part: str, roi: Roi) -> Block:
        """The bands at row and column slices, in one request that is not repeated; for a look, not for an export."""
        return self._block(self._pixels.fetch(roi))

    @cached_property
    def plan(self) -> Estimate:
        """What an export will ask for, before anything is asked."""
        return estimate(self.recipe, self._config.export)

    def export(self, part: str, workspace: Path) -> Iterator[tuple[Roi, Block]]:
        """The whole case, tile by tile or from the files that Google writes into a bucket."""
        refuse_over_cap(self._case, self.plan, self._config.export)
        delivered = self._from_bucket(workspace) if self.plan.method == "bucket" else self._from_tiles(workspace)
        for roi, values in delivered:
            yield roi, self._block(values)

    def account(self) -> dict[str, Any]:
        """What the export took, beside what was planned."""
        return {
            "way": self.plan.method,
            "plan": self.plan.as_json(),
            "figures": self._figures.as_json(),
            "charged": self._charged,
            "workload_tag": self._tag,
            "project": self._session.project,
            "endpoint": self._session.url,
            "scenes": len(self.recipe.scenes),
            "scenes_with_cloud_score": self.recipe.optical.linked if self.recipe.optical else None,
        }

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self.bands, *self.recipe.counted)

    @property
    def _shape(self) -> tuple[int, int]:
        return self._geobox.shape.y, self._geobox.shape.x

    @property
    def _tag(self) -> str:
        """What Google's cost reports show the requests under."""
        return re.sub(r"[^a-z0-9_-]", "-", f"landslide-{self._case.id}")[:63].strip("-_")

    @cached_property
    def _pixels(self) -> Pixels:
        return Pixels(self.recipe.image, self._geobox, self._names, self._tag, self._session)

    def _from_tiles(self, workspace: Path) -> Iterator[tuple[Roi, NDArray[np.float32]]]:
        with (
            Journal(workspace, self.fingerprint(), self._shape, self._names) as journal,
            meter(f"Exporting {self._case.id}", self.plan.tiles) as update,
        ):
            yield from tiles.deliver(
                self._pixels.fetch,
                self._shape,
                len(self._names),
                journal,
                self._gate,
                side=self.plan.side,
                figures=self._figures,
                progress=lambda snapshot: update(snapshot.done, str(snapshot)),
            )

    def _from_bucket(self, workspace: Path) -> Iterator[tuple[Roi, NDArray[np.float32]]]:
        prefix = f"landslide/{self._case.id}/{self.fingerprint()[:16]}/{PART}"
        workspace.mkdir(parents=True, exist_ok=True)
        task = gcs.Task(self._pixels, self._session, str(self._config.export.bucket), prefix, workspace)
        with meter(f"Google computes {self._case.id}", 1) as update:
            self._charged = gcs.charged(task.finished(lambda metadata: self._watch(metadata, update)))
        files = task.files()
        for path in track(files, f"Reading {self._case.id}"):
            yield from gcs.read(path, self._geobox)
        self._figures.bytes = sum(path.stat().st_size for path in files)

    def _watch(self, metadata: Mapping[str, Any], update: Update) -> None:
        """Show how far Google is; SourceError where it has charged more than the case allows."""
        hours = gcs.hours(metadata)
        update(
            float(metadata.get("progress", 0)), f"{metadata.get('state', 'PENDING').lower()}, {hours:.2f} EECU-hours"
        )
        cap = self._config.export.eecu_hours
        if cap is not None and hours > cap:
            raise SourceError(
                f"case {self._case.id}: Google has charged {hours:.2f} EECU-hours, over the case's cap of {cap:g} "
                "(export.eecu_hours); the task is cancelled. Shorten the windows, shrink the area, or raise the cap"
            )

    def _block(self, values: NDArray[np.float32]) -> Block:
        """Bands with NaN where masked, counts as whole numbers."""
        bands = values[: len(self.bands)]
        np.copyto(bands, np.nan, where=bands == np.float32(NODATA))
        counts = values[len(self.bands) :].astype("uint16")
        return Block(dict(zip(self.bands, bands, strict=True)), dict(zip(self.recipe.counted, counts, strict=True)))
