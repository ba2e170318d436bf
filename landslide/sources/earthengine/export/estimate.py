"""What an export will ask of Earth Engine, reckoned before anything is asked.

Tiles, bytes and requests are exact, but for tiles that must be halved. The compute units are an estimate: Google
publishes no rates, and what a request costs varies with its caches. It counts how many pixel values are read and
multiplies by one assumed rate; take it for an order of magnitude, and hold it against what batch exports report.
"""

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from landslide.cases.case import Case
from landslide.cases.sources import AUTO_BUCKET_TILES, ExportSettings
from landslide.errors import InputError
from landslide.sources.earthengine.export.tiles import tile_side
from landslide.sources.earthengine.image import Recipe

EECU_SECONDS_PER_MILLION_READS = 0.2  # assumed
ALLOWANCES = {"Community": 150, "Contributor": 1_000, "Partner": 100_000}  # EECU-hours a month, non-commercial
RADAR_READS, OPTICAL_READS, SCORE_READS, TERRAIN_READS, FLATTENING_READS = 2, 5, 1, 4, 4


@dataclass(frozen=True)
class Estimate:
    """An export's size. `way` is `tiles` or `bucket`; `side` in pixels; `bytes` as they arrive, uncompressed."""

    method: str
    width: int
    height: int
    bands: int
    side: int
    tiles: int
    bytes: int
    scenes: int
    eecu_hours: float

    def as_json(self) -> dict[str, Any]:
        """For `export.json`."""
        return asdict(self)

    @property
    def share_of_allowance(self) -> float:
        """The estimate as a share of the smallest tier's month."""
        return self.eecu_hours / ALLOWANCES["Community"]


def estimate(recipe: Recipe, export: ExportSettings) -> Estimate:
    """The plan of a recipe's export."""
    height, width = recipe.geobox.shape
    bands = len(recipe.bands) + len(recipe.counted)
    side = tile_side(bands)
    tiles = ceil(height / side) * ceil(width / side)
    by_size = "bucket" if export.bucket and tiles > AUTO_BUCKET_TILES else "tiles"
    return Estimate(
        method=by_size if export.method == "auto" else export.method,
        width=width,
        height=height,
        bands=bands,
        side=side,
        tiles=tiles,
        bytes=height * width * bands * 4,
        scenes=len(recipe.scenes),
        eecu_hours=height * width * reads_per_pixel(recipe) / 1e6 * EECU_SECONDS_PER_MILLION_READS / 3600,
    )


def reads_per_pixel(recipe: Recipe) -> int:
    """How many values of the archive one pixel of the case is made of."""
    flattening = recipe.config.sentinel1 is not None and recipe.config.sentinel1.slope_correction is not None
    radar = len(recipe.radar.scenes) * (RADAR_READS + FLATTENING_READS * flattening) if recipe.radar else 0
    optical = 0
    if recipe.optical:
        optical = len(recipe.optical.scenes) * OPTICAL_READS + len(recipe.optical.scored) * SCORE_READS
    return radar + optical + TERRAIN_READS * (recipe.config.dem is not None)


def refuse_over_cap(case: Case, plan: Estimate, export: ExportSettings) -> None:
    """InputError where the estimate passes the case's cap."""
    if export.eecu_hours is not None and plan.eecu_hours > export.eecu_hours:
        raise InputError(
            f"case {case.id}: the export is estimated at {plan.eecu_hours:.2f} EECU-hours, over the case's cap of "
            f"{export.eecu_hours:g} (export.eecu_hours). Shorten the windows, shrink the area, or raise the cap"
        )
