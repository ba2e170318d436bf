"""Values as the types that functions ask for, promoted where Google promotes them."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from .errors import ApiError
from .geometry import Geometry, from_geojson, union
from .grids import WGS84, Projection, authority
from .values import Collection, Date, DateRange, Element, Feature, Filter, Image, Kernel, number_image

DAY = 86_400_000


def coerced(value: Any, kind: str) -> Any:
    """The value as a type of Google's list; ApiError if it cannot be one. Types not listed here take anything."""
    kind = kind.split("<")[0]
    convert = CONVERSIONS.get(kind)
    return value if convert is None else convert(value)


def as_image(value: Any) -> Image:
    """An image: a number is a constant one."""
    if isinstance(value, Image):
        return value
    if isinstance(value, bool | int | float) or (isinstance(value, list) and value):
        return number_image(int(value) if isinstance(value, bool) else value)
    raise _wrong(value, "Image")


def as_collection(value: Any) -> Collection:
    """A collection: one element or a list of elements is one as well."""
    if isinstance(value, Collection):
        return value
    if isinstance(value, Geometry):
        return Collection((Feature({}, value),), False)
    if isinstance(value, Element):
        return Collection((value,), isinstance(value, Image))
    if isinstance(value, list) and all(isinstance(part, Element) for part in value):
        return Collection(tuple(value), bool(value) and all(isinstance(part, Image) for part in value))
    raise _wrong(value, "FeatureCollection")


def as_images(value: Any) -> Collection:
    """A collection of images."""
    collection = as_collection(value)
    if any(not isinstance(element, Image) for element in collection.elements):
        raise _wrong(value, "ImageCollection")
    return Collection(collection.elements, True, collection.id, collection.version, collection.properties)


def as_geometry(value: Any) -> Geometry:
    """A geometry: elements have one, collections have all of theirs together."""
    if isinstance(value, Geometry):
        return value
    if isinstance(value, Element):
        if value.footprint is None:
            raise ApiError("Geometry must be bounded: this element has no footprint.")
        return value.footprint
    if isinstance(value, Collection):
        return union([as_geometry(element) for element in value.elements])
    if isinstance(value, Mapping):
        return from_geojson(value)
    raise _wrong(value, "Geometry")


def as_projection(value: Any) -> Projection:
    """A projection: the code or WKT of a CRS is one."""
    if isinstance(value, Projection):
        return value
    if isinstance(value, Mapping) and "crs" in value:
        a, b, c, d, e, f = map(float, value.get("transform") or WGS84.transform)
        return Projection(str(value["crs"]), (a, b, c, d, e, f))
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


def as_string(value: Any) -> str:
    """A string; nothing is turned into one."""
    if isinstance(value, str):
        return value
    raise _wrong(value, "String")


def as_boolean(value: Any) -> bool:
    """True unless zero."""
    if isinstance(value, bool | int | float):
        return bool(value)
    raise _wrong(value, "Boolean")


def as_list(value: Any) -> list[Any]:
    """A list; a single name is a list of one."""
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str | int | float):
        return [value]
    if isinstance(value, Collection):
        return list(value.elements)
    raise _wrong(value, "List")


def as_dictionary(value: Any) -> dict[str, Any]:
    """A dictionary; an element is that of its properties."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Element):
        return dict(value.properties)
    raise _wrong(value, "Dictionary")


def as_element(value: Any) -> Element:
    """An element: a geometry is a feature, a collection that of its properties, a number an image."""
    if isinstance(value, Element):
        return value
    if isinstance(value, Geometry):
        return Feature({}, value)
    if isinstance(value, Collection):
        return Feature(value.properties)
    if isinstance(value, int | float):
        return number_image(value)
    raise _wrong(value, "Element")


def as_filter(value: Any) -> Filter:
    """A filter."""
    if isinstance(value, Filter):
        return value
    raise _wrong(value, "Filter")


def as_kernel(value: Any) -> Kernel:
    """A kernel."""
    if isinstance(value, Kernel):
        return value
    raise _wrong(value, "Kernel")


CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "Image": as_image, "ImageCollection": as_images, "FeatureCollection": as_collection, "Element": as_element,
    "Feature": as_element, "Geometry": as_geometry, "Projection": as_projection, "Date": as_date,
    "DateRange": as_range, "Number": as_number, "Float": as_number, "Integer": as_integer, "Long": as_integer,
    "String": as_string, "Boolean": as_boolean, "List": as_list, "Dictionary": as_dictionary, "Filter": as_filter,
    "Kernel": as_kernel,
}  # fmt: skip


def type_name(value: Any) -> str:
    """What Google calls the type of a value."""
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, Collection):
        return "ImageCollection" if value.images else "FeatureCollection"
    names = {int: "Integer", float: "Float", str: "String", list: "List", dict: "Dictionary"}
    return names.get(type(value), type(value).__name__)


def _wrong(value: Any, wanted: str) -> ApiError:
    shown = f" ({value!r:.60})" if isinstance(value, str | int | float | list) else ""
    return ApiError(f"Invalid type. Expected type: {wanted}. Actual type: {type_name(value)}{shown}.")
