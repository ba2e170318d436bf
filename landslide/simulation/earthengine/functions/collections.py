"""Collections, elements and lists: building, filtering, mapping, ordering, and their properties."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..coercion import as_element
from ..geometry import Geometry
from ..registry import algorithm
from ..replies import ApiError, not_imitated
from ..values import Collection, Element, Feature, Filter, Function, Image, Reducer
from .filters import comparable


@algorithm("Feature")
def feature(geometry: Geometry | None, metadata: Mapping[str, Any] | None) -> Feature:
    """A place with properties."""
    return Feature(dict(metadata or {}), geometry)


@algorithm("Collection")
def collection(features: list[Any]) -> Collection:
    """Elements as a collection, each under its place as `system:index` if it has none."""
    elements = [_indexed(as_element(feature), str(place)) for place, feature in enumerate(features)]
    return Collection(tuple(elements), bool(elements) and all(isinstance(part, Image) for part in elements))


@algorithm("ImageCollection.fromImages")
def from_images(images: list[Any]) -> Collection:
    """Images as a collection, which may be empty."""
    return replace(collection(images), images=True)


def _indexed(element: Element, index: str) -> Element:
    if element.properties.get("system:index") is not None:
        return element
    return replace(element, properties={**element.properties, "system:index": index})


@algorithm("Collection.filter")
def filtered(collection: Collection, filter: Filter) -> Collection:
    """The elements that pass."""
    return collection.of([element for element in collection.elements if filter.test(element, None)])


@algorithm("Collection.map")
def mapped(collection: Collection, base_algorithm: Function) -> Collection:
    """A function of each element; an error names the element."""
    out: list[Element] = []
    for place, element in enumerate(collection.elements):
        index = str(element.properties.get("system:index", place))
        try:
            out.append(_indexed(as_element(base_algorithm.call(element)), index))
        except ApiError as error:
            raise ApiError(f"Error in map(ID={index}):\n{error.message}", error.code) from error
    images = all(isinstance(element, Image) for element in out) if out else collection.images
    return replace(collection.of(out), images=images)


@algorithm("Collection.iterate")
def iterate(collection: Collection, function: Function, first: Any) -> Any:
    """A function of each element and of what it returned before."""
    for element in collection.elements:
        first = function.call(element, first)
    return first


@algorithm("Collection.first")
def first(collection: Collection) -> Element | None:
    """The first element, null of an empty collection."""
    return next(iter(collection.elements), None)


algorithm("Collection.size")(lambda collection: len(collection.elements))


algorithm("Collection.toList")(lambda collection, count, offset: list(collection.elements[offset : offset + count]))


@algorithm("Collection.limit")
def limit(collection: Collection, limit: int | None, key: str | None, ascending: bool) -> Collection:
    """The first elements, in order of a property if named; those without it come last."""
    elements = list(collection.elements)
    if key is not None:
        known = [element for element in elements if element.get(key) is not None]
        known.sort(key=lambda element: comparable(element.get(key)), reverse=not ascending)
        elements = [*known, *(element for element in elements if element.get(key) is None)]
    return collection.of(elements[:limit])


@algorithm("ImageCollection.merge")
def merge(collection1: Collection, collection2: Collection) -> Collection:
    """Both, with indices prefixed by 1_ and 2_ so that they stay distinct."""
    elements = [
        replace(element, properties={**element.properties, "system:index": f"{side}_{element.get('system:index')}"})
        for side, part in ((1, collection1), (2, collection2))
        for element in part.elements
    ]
    return collection1.of(elements)


@algorithm("AggregateFeatureCollection.array")
def column(collection: Collection, property: str) -> list[Any]:
    """A property's values, nulls left out."""
    values = [element.get(property) for element in collection.elements]
    return [value for value in values if value is not None]


algorithm("Reducer.first")(lambda: Reducer("first"))


@algorithm("Reducer.toList")
def to_list() -> Reducer:
    """The values as a list, nulls left out."""
    return Reducer("list")


@algorithm("Reducer.repeat")
def repeat(reducer: Reducer, count: int) -> Reducer:
    """The reducer for each of so many inputs, its outputs as a list."""
    return replace(reducer, inputs=count)


@algorithm("Collection.reduceColumns")
def reduce_columns(collection: Collection, reducer: Reducer, selectors: list[str]) -> dict[str, Any]:
    """The values of one property as a list, or of several as a list of lists."""
    if reducer.output != "list":
        raise not_imitated(f"Collection.reduceColumns with a reducer to '{reducer.output}'")
    if len(selectors) != (reducer.inputs or 1):
        raise ApiError(f"Collection.reduceColumns: Needs {reducer.inputs or 1} selectors, got {len(selectors)}.")
    columns = [[comparable(value) for value in column(collection, name)] for name in selectors]
    return {"list": columns[0] if reducer.inputs is None else columns}


@algorithm("Element.get")
def get(object: Element, property: str) -> Any:
    """A property's value, null if there is none."""
    return object.get(property)


@algorithm("Element.set")
def set_property(object: Element, key: str, value: Any) -> Element:
    """The element with one more property; null takes it away."""
    merged = {**object.properties, key: value}
    return replace(object, properties={name: value for name, value in merged.items() if value is not None})


@algorithm("Element.toDictionary")
def to_dictionary(element: Element) -> dict[str, Any]:
    """The properties that are not the system's own."""
    return {name: value for name, value in element.properties.items() if not name.startswith("system:")}


@algorithm("Dictionary.get")
def dictionary_get(dictionary: Mapping[str, Any], key: str, default_value: Any) -> Any:
    """A key's value; ApiError if there is none and no default."""
    if key not in dictionary and default_value is None:
        raise ApiError(f"Dictionary.get: Dictionary does not contain key: '{key}'.")
    return dictionary.get(key, default_value)


@algorithm("List.map")
def listed(list_: list[Any], base_algorithm: Function) -> list[Any]:
    """A function of each element."""
    return [base_algorithm.call(value) for value in list_]


algorithm("List.slice")(lambda list_, start, end, step: list_[start:end:step])


algorithm("Number.subtract")(lambda left, right: left - right)
