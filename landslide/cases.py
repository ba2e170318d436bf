"""Cases: one event to map, as a person writes it in YAML.

Unknown keys are refused, relative paths are relative to the file, and every mistake is told with the file and the key.
"""

import json
from calendar import monthrange
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from landslide.bands import known
from landslide.errors import InputError

Role = Literal["train", "validation", "test", "map"]
When = Literal["pre", "post"]
WHENS: tuple[When, When] = ("pre", "post")
Direction = Literal["ascending", "descending"]
AUTO_BUCKET_TILES = 400  # about a whole Sentinel-2 tile with all bands
Span = tuple[date, date]
# A pattern, because Prefect checks a run's parameters against the JSON schema, and a schema's date format binds nobody.
Day = Annotated[date, Field(json_schema_extra={"pattern": r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"})]


def _resolve(path: Path, info: ValidationInfo) -> Path:
    return (Path((info.context or {}).get("folder", ".")) / path.expanduser()).resolve()


def _resolve_unless_url(text: str, info: ValidationInfo) -> str:
    return text if "://" in text else str(_resolve(Path(text), info))


def _resolve_local(text: str, info: ValidationInfo) -> str:
    if "://" in text:
        raise ValueError(f"{text} is no local path; fetch it first, so that the result can name what it was made of")
    return str(_resolve(Path(text), info))


def _read_geojson(value: object, info: ValidationInfo) -> object:
    """An area may be a path to a GeoJSON file; a Feature or a collection of one stands for its geometry."""
    if isinstance(value, str):
        path = _resolve(Path(value), info)
        try:
            value = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} is no readable GeoJSON file ({error})") from error
    if isinstance(value, Mapping) and value.get("type") == "FeatureCollection":
        features = value.get("features", [])
        if len(features) != 1:
            raise ValueError(f"the collection has {len(features)} features; give one")
        value = features[0]
    return value.get("geometry") if isinstance(value, Mapping) and value.get("type") == "Feature" else value


LocalPath = Annotated[Path, AfterValidator(_resolve)]
PathOrUrl = Annotated[str, AfterValidator(_resolve_unless_url)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
BBox = tuple[Longitude, Latitude, Longitude, Latitude]
Area = Annotated[BBox | dict[str, Any], BeforeValidator(_read_geojson)]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]


class Strict(BaseModel):
    """A model that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Window(Strict):
    """Days counted from the event's day, which belongs to no window; or a start and an end, both included.

    Or `years`, of `pre` alone: the calendar days of the post window, in that many earlier years.
    """

    days: Annotated[int, Field(gt=0, le=730)] | None = None
    start: Day | None = None
    end: Day | None = None
    years: Annotated[int, Field(ge=1, le=5)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        explicit = self.start is not None or self.end is not None
        ways = [explicit, self.days is not None, self.years is not None]
        if sum(ways) != 1 or (self.start is None) != (self.end is None):
            raise ValueError("give days, or start and end, or years")
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        return self


def _without_years(post: Window) -> Window:
    if post.years is not None:
        raise ValueError("years is for pre alone, which then has the days of this window; give days, or start and end")
    return post


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
    """Where Sentinel-2 L2A lies in a catalogue: asset names per band."""

    collection: str
    blue: str = "blue"
    green: str = "green"
    red: str = "red"
    nir: str = "nir"
    scl: str = "scl"


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


class Dated(Strict):
    """A scene's time: its date, or only the side of the event where the date was not recorded."""

    date: Day | None = None
    when: When | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.date is None) == (self.when is None):
            raise ValueError("give either date, or when: pre or post")
        return self


class Sentinel1Files(Dated):
    """One Sentinel-1 acquisition in files; `orbit` names its geometry (direction and relative orbit)."""

    vv: RasterOrPath
    vh: RasterOrPath | None = None
    orbit: str
    unit: Literal["linear", "dB"]


class Sentinel2Files(Dated):
    """One Sentinel-2 acquisition in files."""

    blue: RasterOrPath | None = None
    green: RasterOrPath | None = None
    red: RasterOrPath | None = None
    nir: RasterOrPath | None = None
    scl: RasterOrPath | None = None


class FilesSource(Strict):
    """A person's own GeoTIFFs: scenes per sensor and date, or ready-made bands of a stack by name.

    Files of any CRS and resolution are resampled (bilinear; nearest for classes) onto the case's grid.
    """

    kind: Literal["files"]
    sentinel1: list[Sentinel1Files] = []
    sentinel2: list[Sentinel2Files] = []
    dem: RasterOrPath | None = None
    bands: dict[str, RasterOrPath] = {}

    @model_validator(mode="after")
    def _known_bands(self) -> Self:
        known(self.bands)
        return self


class ArchiveSource(Strict):
    """A published dataset as it lies in its archive; `parts` picks scenes or chips by name, all without it.

    `bands` names the channels in the archive's order; needed where the format does not fix it.
    """

    kind: Literal["archive"]
    format: Literal["paper", "landslide4sense"]
    folder: LocalPath
    bands: Annotated[tuple[str, ...], AfterValidator(known)] | None = None
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
    """Sentinel-2 in Earth Engine: what a cloud mask is made of.

    With `cloud-score-plus` a pixel is clear where the score is at least `clear_above`; a scene without a score falls
    back to its scene classification.
    """

    cloud_mask: Literal["cloud-score-plus", "scl"] = "cloud-score-plus"
    clear_above: Annotated[float, Field(gt=0, lt=1)] = 0.60


class Export(Strict):
    """How pixels leave Earth Engine; no pixel depends on it.

    `tiles` asks for them piece by piece, `bucket` has Google write files to Cloud Storage and reads them back; `auto`
    takes the bucket, where one is named, for more than `AUTO_BUCKET_TILES` tiles. `requests` bounds those in flight,
    `eecu_hours` stops an export whose estimate, or whose report, passes it.
    """

    way: Literal["auto", "tiles", "bucket"] = "auto"
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$")] | None = None
    requests: Annotated[int, Field(ge=1, le=40)] = 20
    eecu_hours: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _a_bucket_to_write_to(self) -> Self:
        if self.way == "bucket" and self.bucket is None:
            raise ValueError("way: bucket needs `bucket`, the name of a Cloud Storage bucket you may write to")
        return self


class EarthEngineSource(Strict):
    """Bands by Google's archive; a sensor that is null is left out. See docs/earth-engine.md.

    `bands` picks bands by name; without it the paper's of the sensors that are there, and `water` where that is set.
    """

    kind: Literal["earthengine"]
    sentinel1: Sentinel1Archive | None = Sentinel1Archive()
    sentinel2: Sentinel2Archive | None = Sentinel2Archive()
    dem: Literal["glo30", "nasadem"] | None = "glo30"
    water: Literal["glo30", "jrc"] | None = None
    bands: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(known)] | None = None
    project: Annotated[str, Field(pattern=r"^[a-z][a-z0-9.:-]{4,62}[a-z0-9]$")] | None = None
    export: Export = Export()

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.sentinel1 or self.sentinel2 or self.dem or self.water):
            raise ValueError("every sensor is null; leave at least one of sentinel1, sentinel2, dem or water in")
        return self


def _as_source(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


SourceConfig = Annotated[StacSource | FilesSource | ArchiveSource | EarthEngineSource, Field(discriminator="kind")]


class Inventory(Strict):
    """Mapped landslides: polygons of any CRS. `ring` is a band in metres around each outline to ignore."""

    path: Annotated[str, AfterValidator(_resolve_local)]
    layer: str | None = None
    date_field: str | None = None
    ring: Annotated[float, Field(ge=0, le=1000)] = 0.0


def _as_inventory(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


def _told(name: str) -> str:
    if not name.strip():
        raise ValueError("a class of land cover needs a name")
    return name


CoverValue = Annotated[int, Field(ge=0, le=254)]  # 255 is unknown
CoverNames = Annotated[
    dict[CoverValue, Annotated[str, AfterValidator(_told)]],
    Field(min_length=1, json_schema_extra={"propertyNames": {"pattern": "^[0-9]{1,3}$"}}),
]


class Cover(Strict):
    """Land cover before the event: band 1 of a raster of any CRS and resolution, and what its numbers are called.

    Numbers of one name are one class. Nothing is learnt from it; scores are told by class.
    """

    path: Annotated[str, AfterValidator(_resolve_local)]
    names: CoverNames


class Case(Strict):
    """One event to map. Archives bring their own grids, so only for them area and date may be missing."""

    id: Identifier
    title: str = ""
    event_date: Day | None = None
    aoi: Area | None = None
    pre: Window = Window(days=60)
    post: Annotated[Window, AfterValidator(_without_years)] = Window(days=60)
    source: Annotated[SourceConfig, BeforeValidator(_as_source)]
    inventory: Annotated[Inventory, BeforeValidator(_as_inventory)] | None = None
    cover: Cover | None = None
    role: Role = "map"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.source.kind != "archive":
            missing = [name for name in ("event_date", "aoi") if getattr(self, name) is None]
            if missing:
                raise ValueError(f"a case from {self.source.kind} needs {' and '.join(missing)}")
        elif self.cover is not None:
            raise ValueError("cover needs a case with a place, and an archive brings its own grids; leave cover out")
        if self.event_date is not None:
            self._windows_beside_the_event(self.event_date)
        return self

    def _windows_beside_the_event(self, event: date) -> None:
        if self.pre.end and self.pre.end >= event:
            raise ValueError(f"pre ends {self.pre.end}, not before the event of {event}")
        if self.post.start and self.post.start <= event:
            raise ValueError(f"post starts {self.post.start}, not after the event of {event}")
        ((first, last),) = self.spans("post")
        if self.pre.years and (last - first).days >= 365:
            raise ValueError(f"pre by years needs a post window of at most 365 days, not {first}..{last}")

    def spans(self, when: When) -> tuple[Span, ...]:
        """The days of a window in time order, first and last of each span included; none where the case has no date.

        Several where `years` are given, which never overlap, and one otherwise. What lies between spans is no part of
        the window.
        """
        window: Window = getattr(self, when)
        if window.start and window.end:
            return ((window.start, window.end),)
        if self.event_date is None:
            return ()
        if window.years is not None:
            return _earlier(self.spans("post")[0], window.years, self.event_date)
        event, near, far = self.event_date, timedelta(days=1), timedelta(days=window.days or 0)
        return ((event - far, event - near),) if when == "pre" else ((event + near, event + far),)

    def window(self, when: When) -> Span | None:
        """First and last day of a window, gaps between its spans included; None where the case has no date.

        It tells the time that a map covers; to choose scenes ask `spans` or `side`.
        """
        spans = self.spans(when)
        return (spans[0][0], spans[-1][1]) if spans else None

    @property
    def windows(self) -> str:
        """Both windows for a message: `pre 2021-05-15..2021-07-13, post …`."""
        return ", ".join(f"{when} {spelled(self.spans(when))}" for when in WHENS)

    def side(self, day: date) -> When | None:
        """The window that a day falls into, if any."""
        for when in WHENS:
            if any(first <= day <= last for first, last in self.spans(when)):
                return when
        return None


def spelled(spans: Iterable[Span]) -> str:
    """A window's spans for a message: `2019-07-15..2019-09-12 and 2020-07-15..2020-09-12`."""
    return " and ".join(f"{first}..{last}" for first, last in spans) or "undated"


def _earlier(span: Span, years: int, event: date) -> tuple[Span, ...]:
    """The span's calendar days in the last so many earlier years in which they end before the event, oldest first."""
    shifted = ((_years_before(span[0], back), _years_before(span[1], back)) for back in count(1))
    return tuple(islice((one for one in shifted if one[1] < event), years))[::-1]


def _years_before(day: date, years: int) -> date:
    """The same day of an earlier year; 28 February for a 29th that the year lacks."""
    year = day.year - years
    return day.replace(year=year, day=min(day.day, monthrange(year, day.month)[1]))


Model = TypeVar("Model", bound=BaseModel)


def load(model: type[Model], path: Path) -> Model:
    """Read a YAML file into a model; InputError names the file, the key and the value that is wrong."""
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}. Check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no valid YAML: {error}. Correct the line it names") from error
    try:
        return model.model_validate(data, context={"folder": path.resolve().parent})
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error)}") from error


def explain(error: ValidationError) -> str:
    """A validation error as one line a mistake: the key, what is wrong, and what was given."""
    lines = []
    for item in error.errors(include_url=False, include_context=False):
        given = "" if isinstance(item["input"], dict) else f" (given: {item['input']!r})"
        message = item["msg"].removeprefix("Value error, ").replace("Extra inputs are not permitted", "unknown key")
        lines.append(f"{'.'.join(str(place) for place in item['loc']) or 'the file'}: {message}{given}")
    return "; ".join(lines) + ". Correct the file and run again"


def load_case(path: Path) -> Case:
    """Read a case; InputError names the file and the key that is wrong."""
    return load(Case, path)
