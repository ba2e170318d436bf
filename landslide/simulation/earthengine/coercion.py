"""Values as the types that functions ask for, promoted where Google promotes them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .geometry import Geometry
from .grids import Projection, authority
from .replies import ApiError
from .values import Collection, Date, DateRange, Element, Feature, Filter, Image, Join, Reducer, number_image


def coerced(value: Any, kind: str) -> Any:
    """The value as a type of Google's list; ApiError if it cannot be one. Types not listed here take anything."""
    convert = CONVERSIONS.get(kind.split("<")[0])
    return value if convert is None else convert(value)


def as_image(value: Any) -> Image:
    """An image: a number is a constant one."""
    if isinstance(value, Image):
        return value
    if isinstance(value, int | float):
        return number_image(value)
    raise _wrong(value, "Image")


def as_collection(value: Any) -> Collection:
    """A collection: one element is one as well."""
    if isinstance(value, Collection):
        return value
    if isinstance(value, Element):
        return Collection((value,), isinstance(value, Image))
    raise _wrong(value, "FeatureCollection")


def as_images(value: Any) -> Collection:
    """A collection of images."""
    collection = as_collection(value)
    if not collection.images:
        raise _wrong(value, "ImageCollection")
    return collection


def as_element(value: Any) -> Element:
    """An image or a feature: a number is an image, a collection one without properties of its own."""
    if isinstance(value, Collection):
        return Feature()
    return value if isinstance(value, Element) else as_image(value)


def as_geometry(value: Any) -> Geometry:
    """A geometry: a feature or an image with a footprint has one."""
    if isinstance(value, Geometry):
        return value
    if isinstance(value, Element) and value.footprint is not None:
        return value.footprint
    raise _wrong(value, "Geometry")


def as_projection(value: Any) -> Projection:
    """A projection: the code or WKT of a CRS is one."""
    if isinstance(value, Projection):
        return value
    if isinstance(value, str):
        try:
            return Projection(authority(value))
        except ValueError as error:
            raise ApiError(f"Projection: The CRS of a map projection could not be parsed: '{value}'.") from error
    raise _wrong(value, "Projection")


def as_date(value: Any) -> Date:
    """A date: milliseconds since 1970, or ISO 8601 in UTC."""
    if isinstance(value, Date):
        return value
    if isinstance(value, int | float):
        return Date(int(value))
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise ApiError(f"Date: Bad date/time '{value}'.") from error
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return Date(round(moment.timestamp() * 1000))
    raise _wrong(value, "Date")


def as_range(value: Any) -> DateRange:
    """A range of dates: a single date is the millisecond from it on."""
    if isinstance(value, DateRange):
        return value
    start = as_date(value).millis
    return DateRange(start, start + 1)


def as_number(value: Any) -> float:
    """A number; true and false are 1 and 0."""
    if isinstance(value, bool | int | float):
        return value
    raise _wrong(value, "Number")


def as_integer(value: Any) -> int:
    """A number without a fraction."""
    number = as_number(value)
    if float(number).is_integer():
        return int(number)
    raise _wrong(value, "Integer")


def as_list(value: Any) -> list[Any]:
    """A list; a single name or number is a list of one."""
    if isinstance(value, list):
        return value
    if isinstance(value, str | int | float):
        return [value]
    raise _wrong(value, "List")


def _only(kind: type, name: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        raise _wrong(value, name)

    return convert


CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "Image": as_image, "ImageCollection": as_images, "FeatureCollection": as_collection, "Element": as_element,
    "Geometry": as_geometry, "Projection": as_projection, "Date": as_date, "Number": as_number, "Float": as_number,
    "Integer": as_integer, "Long": as_integer, "List": as_list, "Boolean": lambda value: bool(as_number(value)),
    "String": _only(str, "String"), "Dictionary": _only(Mapping, "Dictionary"), "Filter": _only(Filter, "Filter"),
    "Join": _only(Join, "Join"), "Reducer": _only(Reducer, "Reducer"),
}  # fmt: skip


def type_name(value: Any) -> str:
    """What Google calls the type of a value."""
    if isinstance(value, Collection):
        return "ImageCollection" if value.images else "FeatureCollection"
    names = {bool: "Boolean", int: "Integer", float: "Float", str: "String", list: "List", dict: "Dictionary"}
    return names.get(type(value), type(value).__name__)


def _wrong(value: Any, wanted: str) -> ApiError:
    shown = f" ({value!r:.60})" if isinstance(value, str | int | float | list) else ""
    return ApiError(f"Invalid type. Expected type: {wanted}. Actual type: {type_name(value)}{shown}.")
