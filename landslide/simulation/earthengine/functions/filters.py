"""Dates in UTC, filters, and joins of two collections."""

import calendar
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import shapely

from ..coercion import as_date, as_geometry, as_range
from ..registry import algorithm
from ..replies import ApiError
from ..values import Date, DateRange, Element, ElementCollection, Filter, Join

Compare = Callable[[Any, Any], bool]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS = {name: timedelta(**{f"{name}s": 1}) for name in ("second", "minute", "hour", "day", "week")}


algorithm("Date")(lambda value: as_date(value))


@algorithm("Date.advance")
def advance(date: Date, delta: float, unit: str) -> Date:
    """The date advanced by `delta` units; months and years follow the calendar."""
    unit = unit.removesuffix("s")
    when = EPOCH + timedelta(milliseconds=date.millis)
    if unit in UNITS:
        when += delta * UNITS[unit]
    elif unit in ("month", "year"):
        year, month = divmod(when.year * 12 + when.month - 1 + round(delta * (12 if unit == "year" else 1)), 12)
        day = min(when.day, calendar.monthrange(year, month + 1)[1])
        when = when.replace(year=year, month=month + 1, day=day)
    else:
        raise ApiError(f"Date.advance: Unknown unit '{unit}'.")
    return Date(round((when - EPOCH) / timedelta(milliseconds=1)))


@algorithm("DateRange")
def date_range(start: Any, end: Any) -> DateRange:
    """The range from start to end, exclusive, or of one millisecond without an end; ApiError if end precedes start."""
    if end is None:
        return as_range(start)
    first, last = as_date(start).millis, as_date(end).millis
    if last < first:
        raise ApiError("DateRange: The start of a date range must not come after its end.")
    return DateRange(first, last)


def comparable(value: Any) -> Any:
    """The value for comparisons: a date's milliseconds, any other value itself."""
    return value.millis if isinstance(value, Date) else value


def _less(left: Any, right: Any) -> bool:
    one, two = comparable(left), comparable(right)
    return isinstance(one, str) == isinstance(two, str) and bool(one < two)


def _intersects(left: Any, right: Any) -> bool:
    return bool(shapely.intersects(as_geometry(left).lonlat, as_geometry(right).lonlat))


def _in_range(left: Any, right: Any) -> bool:
    span = as_range(left)
    return span.start <= as_date(right).millis < span.end


def _in_list(left: Any, right: Any) -> bool:
    return isinstance(left, list) and comparable(right) in [comparable(value) for value in left]


COMPARISONS: dict[str, Compare] = {
    "equals": lambda left, right: bool(comparable(left) == comparable(right)),
    "lessThan": _less,
    "listContains": _in_list,
    "dateRangeContains": _in_range,
    "intersects": _intersects,
}


def _register(name: str, compare: Compare) -> None:
    def filter_(left_field: str | None, right_value: Any, right_field: str | None, left_value: Any) -> Filter:
        def test(left: Element, right: Element | None) -> bool:
            one = left.get(left_field) if left_field is not None else left_value
            two = (right or left).get(right_field) if right_field is not None else right_value
            if name == "intersects" and ((one is None and left_field) or (two is None and right_field)):
                return True  # an unbounded image intersects everything
            return one is not None and two is not None and compare(one, two)

        return Filter(test)

    algorithm(f"Filter.{name}")(filter_)


for _name, _compare in COMPARISONS.items():
    _register(_name, _compare)


@algorithm("Join.saveFirst")
def save_first(match_key: str) -> Join:
    """A join that saves the first match in a property."""
    return Join(match_key)


@algorithm("Join.apply")
def apply_join(
    join: Join, primary: ElementCollection, secondary: ElementCollection, condition: Filter
) -> ElementCollection:
    """The elements of a collection that have a match in another, with the first match as a property.

    Args:
        join: Names the property of the match.
        primary: The collection whose elements are returned.
        secondary: The collection in which a match is searched.
        condition: The filter that compares an element of each.
    """
    out: list[Element] = []
    for element in primary.elements:
        match = next((other for other in secondary.elements if condition.test(element, other)), None)
        if match is not None:
            out.append(replace(element, properties={**element.properties, join.key: match}))
    return primary.with_elements(out)
