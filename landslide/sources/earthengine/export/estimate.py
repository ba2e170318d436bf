"""What the export of a layer will ask of Earth Engine, computed before anything is asked.

Tiles, bytes and requests are exact, except for tiles that must be halved. The compute units are an estimate: Google
publishes no rates, and what a request costs varies with its caches. It is the number of pixel values that are read
times one assumed rate, right within an order of magnitude; batch exports report what they took.
"""

from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

from landslide.cases.sources import AUTO_BUCKET_TILES, ExportSettings
from landslide.errors import InputError
from landslide.sources.base import LayerRequest
from landslide.sources.earthengine.export.tiles import tile_side
from landslide.sources.earthengine.expressions.sentinel2 import SCORED
from landslide.sources.earthengine.image import names_of

EECU_SECONDS_PER_MILLION_READS = 0.2  # assumed
ALLOWANCES = {"Community": 150, "Contributor": 1_000, "Partner": 100_000}  # EECU-hours a month, non-commercial
RADAR_READS, SLOPE_READS, OPTICAL_READS, SCORE_READS, TERRAIN_READS, WATER_READS = 2, 4, 5, 1, 4, 1


@dataclass(frozen=True)
class Estimate:
    """An export's size: `method` is `tiles` or `bucket`, `side` of a tile in pixels, `bytes` uncompressed."""

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
        """For the layer's record of its export."""
        return asdict(self)

    @property
    def requests(self) -> int:
        """Requests for pixels, or one batch task."""
        return self.tiles if self.method == "tiles" else 1

    @property
    def share_of_allowance(self) -> float:
        """The EECU-hours as a share of the smallest tier's month."""
        return self.eecu_hours / ALLOWANCES["Community"]


def estimate(request: LayerRequest, shape: tuple[int, int], settings: ExportSettings) -> Estimate:
    """The estimate for a layer on a grid of (height, width) pixels."""
    height, width = shape
    bands = len(names_of(request))
    side = tile_side(bands)
    tiles = ceil(height / side) * ceil(width / side)
    by_size = "bucket" if settings.bucket and tiles > AUTO_BUCKET_TILES else "tiles"
    return Estimate(
        method=by_size if settings.method == "auto" else settings.method,
        width=width,
        height=height,
        bands=bands,
        side=side,
        tiles=tiles,
        bytes=height * width * bands * 4,
        scenes=len(request.scenes),
        eecu_hours=height * width * reads_per_pixel(request) / 1e6 * EECU_SECONDS_PER_MILLION_READS / 3600,
    )


def reads_per_pixel(request: LayerRequest) -> int:
    """How many values of the archive one pixel of the layer is made from."""
    scenes = len(request.scenes)
    match request.layer:
        case "sentinel1":
            return scenes * (RADAR_READS + (SLOPE_READS if request.settings["slope_correction"] else 0))
        case "sentinel2":
            return (
                scenes * OPTICAL_READS + sum(bool(scene.properties[SCORED]) for scene in request.scenes) * SCORE_READS
            )
        case "terrain":
            return TERRAIN_READS
        case "mask":
            return WATER_READS


def refuse_over_cap(title: str, found: Estimate, settings: ExportSettings) -> None:
    """InputError where the estimate passes the case's cap; `title` names the case and the layer."""
    if settings.eecu_hours is not None and found.eecu_hours > settings.eecu_hours:
        raise InputError(
            f"case {title}: the export is estimated at {found.eecu_hours:.2f} EECU-hours, over the case's cap of "
            f"{settings.eecu_hours:g} (export.eecu_hours) for each layer. Shorten the windows, shrink the area, or "
            "raise the cap"
        )
