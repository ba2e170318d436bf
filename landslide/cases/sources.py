"""What a case's source says: where its scenes come from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from landslide.bands import check_bands
from landslide.cases.fields import Day, Direction, LocalPath, PathOrUrl, Strict, When

AUTO_BUCKET_TILES = 200  # about the Sentinel-1 layer of a whole Sentinel-2 tile
CLOUD_DILATION = 6  # as `landslide.features.optical.EDGE`, which this package must not import
CloudDilation = Annotated[int, Field(ge=0, le=50)]


class Sentinel1Collection(Strict):
    """Where Sentinel-1 lies in a catalogue. `unit` is needed only where the items do not state it themselves;
    `direction` keeps the scenes of one orbit direction, both without it.
    """

    collection: str
    vv: str = "vv"
    vh: str = "vh"
    unit: Literal["linear", "dB"] | None = None
    direction: Direction | None = None


class Sentinel2Collection(Strict):
    """Where Sentinel-2 L2A lies in a catalogue: asset names per band.

    `cloud_dilation` is how far clouds and their shadows are grown, in pixels of 10 m.
    """

    collection: str
    blue: str = "blue"
    green: str = "green"
    red: str = "red"
    nir: str = "nir"
    scl: str = "scl"
    cloud_dilation: CloudDilation = CLOUD_DILATION


class DemCollection(Strict):
    """Where the terrain model lies in a catalogue."""

    collection: str
    elevation: str = "data"


class StacSource(Strict):
    """Scenes from a STAC catalogue on disk or a STAC API."""

    kind: Literal["stac"]
    catalog: PathOrUrl
    sentinel1: Sentinel1Collection | None = None
    sentinel2: Sentinel2Collection | None = None
    dem: DemCollection | None = None
    sign: Literal["planetary-computer"] | None = None


class Raster(Strict):
    """One band of a GeoTIFF, by number or by name: value = number in the file × scale + offset."""

    path: LocalPath
    band: int | str = 1
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0


def _as_raster(value: object) -> object:
    return {"path": value} if isinstance(value, (str, Path)) else value


RasterOrPath = Annotated[Raster, BeforeValidator(_as_raster)]


class DatedFiles(Strict):
    """A scene's time: its date, or only the side of the event where the date was not recorded."""

    date: Day | None = None
    when: When | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.date is None) == (self.when is None):
            raise ValueError("give either date, or when: pre or post")
        return self


class Sentinel1Files(DatedFiles):
    """One Sentinel-1 acquisition in files; `orbit` names its geometry (direction and relative orbit)."""

    vv: RasterOrPath
    vh: RasterOrPath | None = None
    orbit: str
    unit: Literal["linear", "dB"]


class Sentinel2Files(DatedFiles):
    """One Sentinel-2 acquisition in files."""

    blue: RasterOrPath | None = None
    green: RasterOrPath | None = None
    red: RasterOrPath | None = None
    nir: RasterOrPath | None = None
    scl: RasterOrPath | None = None


class FilesSource(Strict):
    """A person's own GeoTIFFs: scenes per sensor and date, or ready-made bands of a stack by name.

    Files of any CRS and resolution are resampled (bilinear; nearest for classes) onto the case's grid. `cloud_dilation`
    is how far clouds and their shadows are grown around those of a scene classification, in pixels of 10 m.
    """

    kind: Literal["files"]
    sentinel1: list[Sentinel1Files] = []
    sentinel2: list[Sentinel2Files] = []
    dem: RasterOrPath | None = None
    bands: dict[str, RasterOrPath] = {}
    cloud_dilation: CloudDilation = CLOUD_DILATION

    @model_validator(mode="after")
    def _known_bands(self) -> Self:
        check_bands(self.bands)
        return self


class ArchiveSource(Strict):
    """A published dataset as it lies in its archive; `parts` picks scenes or chips by name, all without it.

    `bands` names the channels in the archive's order; needed where the format does not fix it.
    """

    kind: Literal["archive"]
    format: Literal["paper", "landslide4sense"]
    folder: LocalPath
    bands: Annotated[tuple[str, ...], AfterValidator(check_bands)] | None = None
    parts: list[str] | None = None


class Sentinel1Archive(Strict):
    """Sentinel-1 in Earth Engine: `grd` (sigma naught, 10 m) or `opera` (gamma naught, terrain-flattened, 30 m).

    `slope_correction` flattens `grd` after Vollrath et al. (2020) and leaves out layover and shadow.
    """

    collection: Literal["grd", "opera"] = "grd"
    direction: Direction | None = None
    slope_correction: Literal["volume"] | None = None

    @model_validator(mode="after")
    def _flattened_once(self) -> Self:
        if self.collection == "opera" and self.slope_correction:
            raise ValueError("opera is terrain-flattened already; leave slope_correction out, or use grd")
        return self


class Sentinel2Archive(Strict):
    """Sentinel-2 in Earth Engine: how clouds are masked.

    With `cloud-score-plus` a pixel is clear where the score is at least `clear_above`; a scene without a score falls
    back to its scene classification. By the classification, clouds and their shadows are grown by `cloud_dilation`
    pixels of 10 m, as their edges are classified as ground.
    """

    cloud_mask: Literal["cloud-score-plus", "scl"] = "cloud-score-plus"
    clear_above: Annotated[float, Field(gt=0, lt=1)] = 0.60
    cloud_dilation: CloudDilation = CLOUD_DILATION


class ExportSettings(Strict):
    """How pixels leave Earth Engine; no pixel depends on it.

    `tiles` asks for them piece by piece, `bucket` has Google write files to Cloud Storage and reads them back; `auto`
    takes the bucket, where one is named, for a layer of more than `AUTO_BUCKET_TILES` tiles. `requests` bounds those in
    flight. `eecu_hours` bounds the export of each layer: one whose estimate passes it is refused, and a batch task that
    reports more is cancelled.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {"way": "method"}

    method: Literal["auto", "tiles", "bucket"] = "auto"
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$")] | None = None
    requests: Annotated[int, Field(ge=1, le=40)] = 20
    eecu_hours: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _a_bucket_to_write_to(self) -> Self:
        if self.method == "bucket" and self.bucket is None:
            raise ValueError("method: bucket needs `bucket`, the name of a Cloud Storage bucket you may write to")
        return self


class EarthEngineSource(Strict):
    """Bands computed by Google from its archive; a sensor that is null is left out. See docs/earth-engine.md.

    `bands` picks bands by name; without it the paper's of the sensors that are there, and `water` where that is set.
    """

    kind: Literal["earthengine"]
    sentinel1: Sentinel1Archive | None = Sentinel1Archive()
    sentinel2: Sentinel2Archive | None = Sentinel2Archive()
    dem: Literal["glo30", "nasadem"] | None = "glo30"
    water: Literal["glo30", "jrc"] | None = None
    bands: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(check_bands)] | None = None
    project: Annotated[str, Field(pattern=r"^[a-z][a-z0-9.:-]{4,62}[a-z0-9]$")] | None = None
    export: ExportSettings = ExportSettings()

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.sentinel1 or self.sentinel2 or self.dem or self.water):
            raise ValueError("every sensor is null; leave at least one of sentinel1, sentinel2, dem or water in")
        return self


def as_source(value: object) -> object:
    """`source: files` as the mapping that it is short for."""
    return {"kind": value} if isinstance(value, str) else value


SourceConfig = Annotated[StacSource | FilesSource | ArchiveSource | EarthEngineSource, Field(discriminator="kind")]
