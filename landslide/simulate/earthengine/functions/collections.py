"""Collections: building, filtering, mapping, ordering, and what their properties add up to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..coercion import as_collection, as_element, as_images
from ..errors import ApiError
from ..geometry import Geometry, union
from ..registry import algorithm
from ..values import Collection, Element, Feature, Function, Image
from .bands import cast_bands
from .filters import comparable
from .reducers import STATS, Reducer, histogram, simple

AGGREGATES = {"sum": "sum", "mean": "mean", "product": "product", "total_sd": "stdDev", "total_var": "variance",
              "sample_sd": "sampleStdDev", "sample_var": "sampleVariance"}  # fmt: skip


@algorithm("Collection")
def collection(features: list[Any]) -> Collection:
    """Elements as a collection, each under its place as `system:index` if it has none."""
    elements = [_indexed(as_element(feature), str(place)) for place, feature in enumerate(features)]
    return Collection(tuple(elements), bool(elements) and all(isinstance(part, Image) for part in elements))


@algorithm("ImageCollection.fromImages")
def from_images(images: list[Any]) -> Collection:
    """Images as a collection."""
    return as_images(collection(images)) if images else Collection((), True)


def _indexed(element: Element, index: str) -> Element:
    if element.properties.get("system:index") is not None:
        return element
    return replace(element, properties={**element.properties, "system:index": index})


algorithm("Collection.filter")(
    lambda collection, filter: collection.of([element for element in collection.elements if filter.test(element, None)])
)


@algorithm("Collection.map")
def mapped(collection: Collection, base_algorithm: Function, drop_nulls: bool) -> Collection:
    """A function of each element; an error names the element."""
    out: list[Element] = []
    for place, element in enumerate(collection.elements):
        index = str(element.properties.get("system:index", place))
        try:
            made = base_algorithm.call(element)
            if made is None and drop_nulls:
                continue
            if made is None:
                raise ApiError("A mapped algorithm returned null.")
            made = as_element(made)
        except ApiError as error:
            raise ApiError(f"Error in map(ID={index}):\n{error.message}", error.code) from error
        out.append(_indexed(made, index))
    images = bool(out) and all(isinstance(element, Image) for element in out)
    return replace(collection.of(out), images=images or (collection.images and not out))


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


@algorithm("Collection.merge", "ImageCollection.merge")
def merge(collection1: Collection, collection2: Collection) -> Collection:
    """Both, with indices prefixed by 1_ and 2_ so that they stay distinct."""
    elements = [
        replace(element, properties={**element.properties, "system:index": f"{side}_{element.get('system:index')}"})
        for side, part in ((1, collection1), (2, collection2))
        for element in part.elements
    ]
    return replace(collection1.of(elements), images=collection1.images or collection2.images)


@algorithm("Collection.distinct")
def distinct(collection: Collection, properties: Any) -> Collection:
    """The first element of each set of values of the properties."""
    names = properties if isinstance(properties, list) else [properties]
    found: dict[str, Element] = {}
    for element in collection.elements:
        found.setdefault(repr([comparable(element.get(name)) for name in names]), element)
    return collection.of(list(found.values()))


@algorithm("Collection.flatten")
def flatten(collection: Collection) -> Collection:
    """The elements of the collections in a collection."""
    nested = [as_collection(element) for element in collection.elements]
    return collection.of([element for part in nested for element in part.elements])


@algorithm("Collection.geometry", "Collection.union")
def geometry(collection: Collection) -> Geometry:
    """All elements' places together."""
    return union([element.footprint for element in collection.elements if element.footprint is not None])


@algorithm("Collection.bounds")
def bounds(collection: Collection) -> Geometry:
    """The rectangle around all elements."""
    whole = geometry(collection)
    return Geometry(whole.shape.envelope, whole.crs)


@algorithm("Collection.reduceColumns")
def reduce_columns(collection: Collection, reducer: Reducer, selectors: list[str]) -> dict[str, Any]:
    """A reducer over properties of the elements: one, tuples of several, or each on its own (`repeat`)."""
    rows = [[comparable(element.get(name)) for name in selectors] for element in collection.elements]
    if reducer.repeated:
        single = replace(reducer, repeated=False, width=1)
        columns = [single.of_list([row[place] for row in rows]) for place in range(len(selectors))]
        return {output: [column[output] for column in columns] for output in reducer.outputs}
    if reducer.width > 1:
        return reducer.of_list(rows)
    if len(selectors) != 1:
        raise ApiError(f"Collection.reduceColumns: Needs {reducer.width} selectors, got {len(selectors)}.")
    return reducer.of_list([row[0] for row in rows])


def column(collection: Collection, name: str) -> list[Any]:
    """A property's values, nulls left out."""
    values = [element.get(name) for element in collection.elements]
    return [value for value in values if value is not None]


algorithm("AggregateFeatureCollection.array")(lambda collection, property: column(collection, property))


algorithm("AggregateFeatureCollection.histogram")(
    lambda collection, property: histogram([_hashable(value) for value in column(collection, property)])
)


algorithm("AggregateFeatureCollection.count")(lambda collection, property: len(column(collection, property)))


algorithm("AggregateFeatureCollection.count_distinct")(
    lambda collection, property: len({_hashable(value) for value in column(collection, property)})
)


algorithm("AggregateFeatureCollection.first")(
    lambda collection, property: next(iter(column(collection, property)), None)
)


algorithm("AggregateFeatureCollection.min")(
    lambda collection, property: min(column(collection, property), default=None)
)


algorithm("AggregateFeatureCollection.max")(
    lambda collection, property: max(column(collection, property), default=None)
)


def _register(name: str, reducer: str) -> None:
    output = STATS[reducer][0]

    def aggregate(collection: Collection, property: str) -> Any:
        return simple(reducer).of_list(column(collection, property))[output]

    algorithm(f"AggregateFeatureCollection.{name}")(aggregate)


for _name, _reducer in AGGREGATES.items():
    _register(_name, _reducer)


def _hashable(value: Any) -> Any:
    return str(value) if isinstance(value, list | Mapping) else value


@algorithm("Feature")
def feature(geometry: Geometry | None, metadata: Mapping[str, Any] | None) -> Feature:
    """A place with properties."""
    return Feature(dict(metadata or {}), geometry)


@algorithm("ImageCollection.cast")
def cast_images(collection: Collection, band_types: Mapping[str, Any], band_order: Sequence[str]) -> Collection:
    """Every image's bands in the types given by name."""
    images = [cast_bands(image, band_types, list(band_order)) for image in collection.elements
              if isinstance(image, Image)]  # fmt: skip
    return collection.of(images)
