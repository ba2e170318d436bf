"""Lists."""

from typing import Any

from ..errors import ApiError
from ..registry import algorithm
from ..values import Element, Filter, Function
from .filters import comparable
from .reducers import Reducer, plain


@algorithm("List.get", "List.getNumber", "List.getString")
def get(list_: list[Any], index: int) -> Any:
    """An element by its place, from the end if negative; ApiError beyond the list."""
    if not -len(list_) <= index < len(list_):
        raise ApiError(f"List.get: List index must be between {-len(list_)} and {len(list_) - 1}. Found: {index}.")
    return list_[index]


algorithm("List.size", "List.length")(lambda list_: len(list_))


algorithm("List.slice")(lambda list_, start, end, step: list_[start:end:step])


@algorithm("List.map")
def mapped(list_: list[Any], base_algorithm: Function, drop_nulls: bool) -> list[Any]:
    """A function of each element."""
    out = [base_algorithm.call(value) for value in list_]
    return [value for value in out if value is not None] if drop_nulls else out


@algorithm("List.iterate")
def iterate(list_: list[Any], function: Function, first: Any) -> Any:
    """A function of each element and of what it returned before."""
    for value in list_:
        first = function.call(value, first)
    return first


@algorithm("List.filter")
def filtered(list_: list[Any], filter: Filter) -> list[Any]:
    """Those that a filter on the field `item` accepts."""
    return [value for value in list_ if filter.test(Element({"item": value}), None)]


algorithm("List.contains")(lambda list_, element: element in list_)


algorithm("List.containsAll")(lambda list_, other: all(value in list_ for value in other))


algorithm("List.indexOf")(lambda list_, element: list_.index(element) if element in list_ else -1)


algorithm("List.add")(lambda list_, element: [*list_, element])


algorithm("List.cat")(lambda list_, other: [*list_, *other])


@algorithm("List.distinct")
def distinct(list_: list[Any]) -> list[Any]:
    """Each value once, in order of appearance."""
    out: list[Any] = []
    for value in list_:
        if value not in out:
            out.append(value)
    return out


@algorithm("List.flatten")
def flatten(list_: list[Any]) -> list[Any]:
    """Lists within the list dissolved, all the way down."""
    out: list[Any] = []
    for value in list_:
        out.extend(flatten(value) if isinstance(value, list) else [value])
    return out


@algorithm("List.sort")
def sort(list_: list[Any], keys: list[Any] | None) -> list[Any]:
    """In order of the values, or of keys beside them."""
    if keys is None:
        return sorted(list_, key=comparable)
    order = sorted(range(len(list_)), key=lambda place: comparable(keys[place]))
    return [list_[place] for place in order]


algorithm("List.reverse")(lambda list_: list_[::-1])


@algorithm("List.remove")
def remove(list_: list[Any], element: Any) -> list[Any]:
    """Without the first that is equal."""
    if element not in list_:
        return list_
    place = list_.index(element)
    return [*list_[:place], *list_[place + 1 :]]


algorithm("List.removeAll")(lambda list_, other: [value for value in list_ if value not in other])


algorithm("List.join")(lambda list_, separator: separator.join(str(value) for value in list_))


algorithm("List.zip")(lambda list_, other: [list(pair) for pair in zip(list_, other, strict=False)])


algorithm("List.repeat")(lambda value, count: [value] * count)


@algorithm("List.sequence")
def sequence(start: float, end: float | None, step: float, count: int | None) -> list[float]:
    """From start to end, both included, by steps, or so many of them."""
    if count is not None:
        if end is not None and count > 1:
            step = (end - start) / (count - 1)
        return [plain(start + step * place) for place in range(count)]
    if end is None or step == 0:
        raise ApiError("List.sequence: Needs an end or a count, and a step other than 0.")
    return [plain(start + step * place) for place in range(int((end - start) / step + 1e-9) + 1)]


algorithm("List.equals")(lambda list_, other: list_ == other)


algorithm("List.frequency")(lambda list_, element: list_.count(element))


@algorithm("List.reduce")
def reduce(list_: list[Any], reducer: Reducer) -> Any:
    """A reducer's single output, or its outputs by name."""
    found = reducer.of_list(list_)
    return next(iter(found.values())) if len(found) == 1 else found
