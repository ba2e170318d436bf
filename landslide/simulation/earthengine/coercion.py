"""Conversion of values to the argument types of functions, with Earth Engine's implicit promotions."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .geometry import Geometry
from .grids import Projection, crs_code
from .replies import ApiError
from .values import Date, DateRange, Element, ElementCollection, Feature, Filter, Image, Join, Reducer, number_image


def coerce(value: Any, kind: str) -> Any:
    """Convert a value to a type of Earth Engine's list; ApiError if impossible. Other types accept any value."""
    convert = CONVERSIONS.get(kind.split("<")[0])
    return value if convert is None else convert(value)


def as_image(value: Any) -> Image:
    """An image; a number becomes a constant image."""
    if isinstance(value, Image):
        return value
    if isinstance(value, int | float):
        return number_image(value)
    raise _type_error(value, "Image")


def as_collection(value: Any) -> ElementCollection:
    """A collection; a single element becomes a collection of one."""
    if isinstance(value, ElementCollection):
        return value
    if isinstance(value, Element):
        return ElementCollection((value,), isinstance(value, Image))
    raise _type_error(value, "FeatureCollection")


def as_images(value: Any) -> ElementCollection:
    """An image collection."""
    collection = as_collection(value)
    if not collection.images:
        raise _type_error(value, "ImageCollection")
    return collection


def as_element(value: Any) -> Element:
    """An image or a feature; a number becomes an image, a collection a feature without properties."""
    if isinstance(value, ElementCollection):
        return Feature()
    return value if isinstance(value, Element) else as_image(value)


def as_geometry(value: Any) -> Geometry:
    """A geometry; a feature or image is converted to its footprint."""
    if isinstance(value, Geometry):
        return value
    if isinstance(value, Element) and value.footprint is not None:
        return value.footprint
    raise _type_error(value, "Geometry")


def as_projection(value: Any) -> Projection:
    """A projection; the code or WKT of a CRS is converted to one."""
    if isinstance(value, Projection):
        return value
    if isinstance(value, str):
        try:
            return Projection(crs_code(value))
        except ValueError as error:
            raise ApiError(f"Projection: The CRS of a map projection could not be parsed: '{value}'.") from error
    raise _type_error(value, "Projection")


def as_date(value: Any) -> Date:
    """A date, from milliseconds since 1970 or ISO 8601 in UTC."""
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
    raise _type_error(value, "Date")


def as_range(value: Any) -> DateRange:
    """A date range; a single date becomes the range of one millisecond from it."""
    if isinstance(value, DateRange):
        return value
    start = as_date(value).millis
    return DateRange(start, start + 1)


def as_number(value: Any) -> float:
    """A number; booleans count as 1 and 0."""
    if isinstance(value, bool | int | float):
        return value
    raise _type_error(value, "Number")


def as_integer(value: Any) -> int:
    """A number without a fractional part."""
    number = as_number(value)
    if float(number).is_integer():
        return int(number)
    raise _type_error(value, "Integer")


def as_list(value: Any) -> list[Any]:
    """A list; a single string or number becomes a list of one."""
    if isinstance(value, list):
        return value
    if isinstance(value, str | int | float):
        return [value]
    raise _type_error(value, "List")


def _instance_of(kind: type, name: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        raise _type_error(value, name)

    return convert


CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "Image": as_image, "ImageCollection": as_images, "FeatureCollection": as_collection, "Element": as_element,
    "Geometry": as_geometry, "Projection": as_projection, "Date": as_date, "Number": as_number, "Float": as_number,
    "Integer": as_integer, "Long": as_integer, "List": as_list, "Boolean": lambda value: bool(as_number(value)),
    "String": _instance_of(str, "String"), "Dictionary": _instance_of(Mapping, "Dictionary"),
    "Filter": _instance_of(Filter, "Filter"), "Join": _instance_of(Join, "Join"),
    "Reducer": _instance_of(Reducer, "Reducer"),
}  # fmt: skip


def type_name(value: Any) -> str:
    """Earth Engine's name for the type of a value."""
    if isinstance(value, ElementCollection):
        return "ImageCollection" if value.images else "FeatureCollection"
    names = {bool: "Boolean", int: "Integer", float: "Float", str: "String", list: "List", dict: "Dictionary"}
    return names.get(type(value), type(value).__name__)


def _type_error(value: Any, expected: str) -> ApiError:
    shown = f" ({value!r:.60})" if isinstance(value, str | int | float | list) else ""
    return ApiError(f"Invalid type. Expected type: {expected}. Actual type: {type_name(value)}{shown}.")
