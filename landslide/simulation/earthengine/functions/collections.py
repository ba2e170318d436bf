"""Functions on collections, elements, reducers, dictionaries, lists and numbers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..coercion import as_element
from ..geometry import Geometry
from ..registry import algorithm
from ..replies import ApiError, unsupported
from ..values import Element, ElementCollection, Feature, Filter, Function, Image, Reducer
from .filters import comparable


@algorithm("Feature")
def feature(geometry: Geometry | None, metadata: Mapping[str, Any] | None) -> Feature:
    """A feature of a geometry and properties."""
    return Feature(dict(metadata or {}), geometry)


@algorithm("Collection")
def collection(features: list[Any]) -> ElementCollection:
    """A collection of elements; an element without `system:index` gets its position as index."""
    elements = [_indexed(as_element(feature), str(position)) for position, feature in enumerate(features)]
    return ElementCollection(tuple(elements), bool(elements) and all(isinstance(part, Image) for part in elements))


@algorithm("ImageCollection.fromImages")
def from_images(images: list[Any]) -> ElementCollection:
    """An image collection, which may be empty."""
    return replace(collection(images), images=True)


def _indexed(element: Element, index: str) -> Element:
    if element.properties.get("system:index") is not None:
        return element
    return replace(element, properties={**element.properties, "system:index": index})


@algorithm("Collection.filter")
def filtered(collection: ElementCollection, filter: Filter) -> ElementCollection:
    """The elements that pass the filter."""
    return collection.with_elements([element for element in collection.elements if filter.test(element, None)])


@algorithm("Collection.map")
def mapped(collection: ElementCollection, base_algorithm: Function) -> ElementCollection:
    """Apply a function to each element; an error names the element."""
    out: list[Element] = []
    for position, element in enumerate(collection.elements):
        index = str(element.properties.get("system:index", position))
        try:
            out.append(_indexed(as_element(base_algorithm.call(element)), index))
        except ApiError as error:
            raise ApiError(f"Error in map(ID={index}):\n{error.message}", error.code) from error
    images = all(isinstance(element, Image) for element in out) if out else collection.images
    return replace(collection.with_elements(out), images=images)


@algorithm("Collection.iterate")
def iterate(collection: ElementCollection, function: Function, first: Any) -> Any:
    """Fold the elements: the function takes each element and its previous result."""
    for element in collection.elements:
        first = function.call(element, first)
    return first


@algorithm("Collection.first")
def first(collection: ElementCollection) -> Element | None:
    """The first element, None if the collection is empty."""
    return next(iter(collection.elements), None)


algorithm("Collection.size")(lambda collection: len(collection.elements))


algorithm("Collection.toList")(lambda collection, count, offset: list(collection.elements[offset : offset + count]))


@algorithm("Collection.limit")
def limit(collection: ElementCollection, limit: int | None, key: str | None, ascending: bool) -> ElementCollection:
    """The first elements of a collection.

    Args:
        collection: The collection.
        limit: Number of elements; None: all.
        key: Property to sort by; elements without it come last. None: the order is kept.
        ascending: Direction of the sort.
    """
    elements = list(collection.elements)
    if key is not None:
        known = [element for element in elements if element.get(key) is not None]
        known.sort(key=lambda element: comparable(element.get(key)), reverse=not ascending)
        elements = [*known, *(element for element in elements if element.get(key) is None)]
    return collection.with_elements(elements[:limit])


@algorithm("ImageCollection.merge")
def merge(collection1: ElementCollection, collection2: ElementCollection) -> ElementCollection:
    """The elements of both collections, with indices prefixed by 1_ and 2_ to keep them unique."""
    elements = [
        replace(element, properties={**element.properties, "system:index": f"{side}_{element.get('system:index')}"})
        for side, part in ((1, collection1), (2, collection2))
        for element in part.elements
    ]
    return collection1.with_elements(elements)


@algorithm("AggregateFeatureCollection.array")
def aggregate_array(collection: ElementCollection, property: str) -> list[Any]:
    """The values of a property without nulls."""
    values = [element.get(property) for element in collection.elements]
    return [value for value in values if value is not None]


algorithm("Reducer.first")(lambda: Reducer("first"))


@algorithm("Reducer.toList")
def to_list() -> Reducer:
    """A reducer to the list of values without nulls."""
    return Reducer("list")


@algorithm("Reducer.repeat")
def repeat(reducer: Reducer, count: int) -> Reducer:
    """The reducer repeated for `count` inputs, with a list of outputs."""
    return replace(reducer, inputs=count)


@algorithm("Collection.reduceColumns")
def reduce_columns(collection: ElementCollection, reducer: Reducer, selectors: list[str]) -> dict[str, Any]:
    """The values of one property as a list, or of several as a list of lists."""
    if reducer.output != "list":
        raise unsupported(f"Collection.reduceColumns with a reducer to '{reducer.output}'")
    if len(selectors) != (reducer.inputs or 1):
        raise ApiError(f"Collection.reduceColumns: Needs {reducer.inputs or 1} selectors, got {len(selectors)}.")
    columns = [[comparable(value) for value in aggregate_array(collection, name)] for name in selectors]
    return {"list": columns[0] if reducer.inputs is None else columns}


@algorithm("Element.get")
def get(object: Element, property: str) -> Any:
    """The value of a property, None if there is none."""
    return object.get(property)


@algorithm("Element.set")
def set_property(object: Element, key: str, value: Any) -> Element:
    """The element with a property set; None removes it."""
    merged = {**object.properties, key: value}
    return replace(object, properties={name: value for name, value in merged.items() if value is not None})


@algorithm("Element.toDictionary")
def to_dictionary(element: Element) -> dict[str, Any]:
    """The properties except those with the prefix `system:`."""
    return {name: value for name, value in element.properties.items() if not name.startswith("system:")}


@algorithm("Dictionary.get")
def dictionary_get(dictionary: Mapping[str, Any], key: str, default_value: Any) -> Any:
    """The value of a key; ApiError if there is neither a value nor a default."""
    if key not in dictionary and default_value is None:
        raise ApiError(f"Dictionary.get: Dictionary does not contain key: '{key}'.")
    return dictionary.get(key, default_value)


@algorithm("List.map")
def map_list(list_: list[Any], base_algorithm: Function) -> list[Any]:
    """Apply a function to each element of a list."""
    return [base_algorithm.call(value) for value in list_]


algorithm("List.slice")(lambda list_, start, end, step: list_[start:end:step])


algorithm("Number.subtract")(lambda left, right: left - right)
