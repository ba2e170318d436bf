"""Filters and joins."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import shapely

from ..coercion import as_date, as_geometry, as_range
from ..registry import algorithm
from ..values import Collection, Date, DateRange, Element, Filter, Join
from .dates import calendar

Compare = Callable[[Any, Any], bool]


def comparable(value: Any) -> Any:
    """The value as it is compared: dates by their milliseconds."""
    return value.millis if isinstance(value, Date) else value


def _ordered(compare: Callable[[Any, Any], bool]) -> Compare:
    def test(left: Any, right: Any) -> bool:
        one, two = comparable(left), comparable(right)
        if isinstance(one, str) != isinstance(two, str):
            return False
        return bool(compare(one, two))

    return test


def _intersects(left: Any, right: Any) -> bool:
    return bool(shapely.intersects(as_geometry(left).lonlat, as_geometry(right).lonlat))


def _contains(left: Any, right: Any) -> bool:
    return bool(shapely.covers(as_geometry(left).lonlat, as_geometry(right).lonlat))


def _in_range(left: Any, right: Any) -> bool:
    span: DateRange = as_range(left)
    return span.start <= as_date(right).millis < span.end


def _in_list(left: Any, right: Any) -> bool:
    return isinstance(left, list) and comparable(right) in [comparable(value) for value in left]


COMPARISONS: dict[str, Compare] = {
    "equals": lambda left, right: comparable(left) == comparable(right),
    "notEquals": lambda left, right: comparable(left) != comparable(right),
    "lessThan": _ordered(operator.lt),
    "lessThanOrEquals": _ordered(operator.le),
    "greaterThan": _ordered(operator.gt),
    "greaterThanOrEquals": _ordered(operator.ge),
    "listContains": _in_list,
    "inList": lambda left, right: _in_list(right, left),
    "dateRangeContains": _in_range,
    "stringContains": lambda left, right: str(right) in str(left),
    "stringStartsWith": lambda left, right: str(left).startswith(str(right)),
    "stringEndsWith": lambda left, right: str(left).endswith(str(right)),
    "intersects": _intersects,
    "disjoint": lambda left, right: not _intersects(left, right),
    "contains": _contains,
    "isContained": lambda left, right: _contains(right, left),
}
SHORT = {"eq": "equals", "neq": "notEquals", "lt": "lessThan", "lte": "lessThanOrEquals", "gt": "greaterThan",
         "gte": "greaterThanOrEquals"}  # fmt: skip
SPATIAL = ("intersects", "disjoint", "contains", "isContained")


def _register(name: str, compare: Compare, *names: str) -> None:
    spatial = name in SPATIAL

    def filter_(left_field: str | None, right_value: Any, right_field: str | None, left_value: Any) -> Filter:
        def test(left: Element, right: Element | None) -> bool:
            one = left.get(left_field) if left_field is not None else left_value
            two = (right or left).get(right_field) if right_field is not None else right_value
            if spatial and ((one is None and left_field) or (two is None and right_field)):
                return True  # a boundless image meets everything
            return one is not None and two is not None and compare(one, two)

        return Filter(test)

    algorithm(f"Filter.{name}", *(f"Filter.{other}" for other in names))(filter_)


for _name, _compare in COMPARISONS.items():
    _register(_name, _compare, *(short for short, name in SHORT.items() if name == _name))


algorithm("Filter.and")(lambda filters: Filter(lambda left, right: all(part.test(left, right) for part in filters)))


algorithm("Filter.or")(lambda filters: Filter(lambda left, right: any(part.test(left, right) for part in filters)))


algorithm("Filter.not")(lambda filter: Filter(lambda left, right: not filter.test(left, right)))


algorithm("Filter.always")(lambda: Filter(lambda left, right: True))


algorithm("Filter.never")(lambda: Filter(lambda left, right: False))


algorithm("Filter.notNull")(
    lambda properties: Filter(lambda left, right: all(left.get(name) is not None for name in properties))
)


@algorithm("Filter.rangeContains")
def range_contains(field: str, min_value: Any, max_value: Any) -> Filter:
    """Between two values, both included."""

    def test(left: Element, right: Element | None) -> bool:
        value = left.get(field)
        return value is not None and comparable(min_value) <= comparable(value) <= comparable(max_value)

    return Filter(test)


@algorithm("Filter.calendarRange")
def calendar_range(start: int, end: int | None, field: str) -> Filter:
    """By a field of the calendar, both ends included; a range that ends before it starts goes round."""
    last = start if end is None else end

    def test(left: Element, right: Element | None) -> bool:
        moment = left.get("system:time_start")
        if moment is None:
            return False
        value = calendar(int(moment), field)
        return start <= value <= last if start <= last else value >= start or value <= last

    return Filter(test)


algorithm("Filter.dayOfYear")(lambda start, end: calendar_range(start, end, "day_of_year"))


@algorithm("Filter.maxDifference")
def max_difference(
    difference: float, left_field: str | None, right_value: Any, right_field: str | None, left_value: Any
) -> Filter:
    """Whether two values are no further apart than this."""

    def test(left: Element, right: Element | None) -> bool:
        one = left.get(left_field) if left_field is not None else left_value
        two = (right or left).get(right_field) if right_field is not None else right_value
        return one is not None and two is not None and abs(comparable(one) - comparable(two)) <= difference

    return Filter(test)


@algorithm("Join.saveFirst")
def save_first(match_key: str, ordering: str | None, ascending: bool, measure_key: str | None, outer: bool) -> Join:
    """The first match in a property."""
    return Join("saveFirst", match_key, ordering, ascending, measure_key, outer)


@algorithm("Join.saveAll")
def save_all(matches_key: str, ordering: str | None, ascending: bool, measure_key: str | None, outer: bool) -> Join:
    """All matches as a list in a property."""
    return Join("saveAll", matches_key, ordering, ascending, measure_key, outer)


@algorithm("Join.simple")
def simple_join() -> Join:
    """The elements that have a match."""
    return Join("simple")


@algorithm("Join.inverted")
def inverted_join() -> Join:
    """The elements that have none."""
    return Join("inverted")


@algorithm("Join.apply")
def apply_join(join: Join, primary: Collection, secondary: Collection, condition: Filter) -> Collection:
    """The elements of the first collection with, or without, their matches in the second."""
    out: list[Element] = []
    for element in primary.elements:
        matches = [other for other in secondary.elements if condition.test(element, other)]
        if join.kind in ("simple", "inverted"):
            if bool(matches) == (join.kind == "simple"):
                out.append(element)
        elif matches or join.outer:
            out.append(_with_matches(element, join, matches))
    return primary.of(out)


def _with_matches(element: Element, join: Join, matches: Sequence[Element]) -> Element:
    if join.ordering is not None:
        key = join.ordering
        matches = sorted(matches, key=lambda match: comparable(match.get(key)), reverse=not join.ascending)
    found: Any = list(matches) if join.kind == "saveAll" else (matches[0] if matches else None)
    properties: Mapping[str, Any] = {**element.properties, join.key: found}
    return replace(element, properties=properties)
