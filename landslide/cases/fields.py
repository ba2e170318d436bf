"""Fields that cases and experiments share, and how a YAML file becomes a model."""

import json
import logging
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

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

from landslide.errors import InputError

Role = Literal["train", "validation", "test", "map"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")
When = Literal["pre", "post"]
WHENS: tuple[When, When] = ("pre", "post")
Direction = Literal["ascending", "descending"]
Span = tuple[date, date]
Model = TypeVar("Model", bound=BaseModel)
log = logging.getLogger(__name__)

# A pattern, because Prefect checks a run's parameters against the JSON schema, whose date format is not checked.
Day = Annotated[date, Field(json_schema_extra={"pattern": r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"})]


def _resolve(path: Path, info: ValidationInfo) -> Path:
    return (Path((info.context or {}).get("folder", ".")) / path.expanduser()).resolve()


def _resolve_unless_url(text: str, info: ValidationInfo) -> str:
    return text if "://" in text else str(_resolve(Path(text), info))


def resolve_local(text: str, info: ValidationInfo) -> str:
    """A local path, relative to the folder of the file that names it; ValueError for an address."""
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
    """A model that refuses keys it does not know.

    `RENAMED` maps keys of earlier releases to today's; they are read for one release more, with a warning.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    RENAMED: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _with_todays_keys(cls, data: object) -> object:
        return with_todays_keys(data, cls.RENAMED)


def with_todays_keys(data: object, renamed: Mapping[str, str]) -> object:
    """A mapping with its old keys replaced, each with a warning; ValueError where both names of one key are given."""
    if not isinstance(data, Mapping) or not (old := [key for key in data if key in renamed]):
        return data
    for key in old:
        if renamed[key] in data:
            raise ValueError(f"`{key}` is the old name of `{renamed[key]}`; give the new one alone")
        log.warning(
            "`%s` is now called `%s`; the old name is read in this release for the last time", key, renamed[key]
        )
    return {renamed.get(key, key): value for key, value in data.items()}


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
    """A validation error in one line: of each mistake the key, what is wrong, and the value given."""
    lines = []
    for item in error.errors(include_url=False, include_context=False):
        given = "" if isinstance(item["input"], dict) else f" (given: {item['input']!r})"
        message = item["msg"].removeprefix("Value error, ").replace("Extra inputs are not permitted", "unknown key")
        lines.append(f"{'.'.join(str(place) for place in item['loc']) or 'the file'}: {message}{given}")
    return "; ".join(lines) + ". Correct the file and run again"
