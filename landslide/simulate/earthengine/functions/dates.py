"""Dates and ranges of dates, all in UTC."""

import calendar as months
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from ..coercion import DAY, as_date, as_range
from ..errors import ApiError
from ..registry import algorithm
from ..values import Date, DateRange

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNITS = {"second": 1000, "minute": 60_000, "hour": 3_600_000, "day": DAY, "week": 7 * DAY}
JODA = {"YYYY": "%Y", "yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "DDD": "%j",
        "D": "%j", "MMM": "%b", "MMMM": "%B", "yy": "%y"}  # fmt: skip
FOREVER = float("inf")


def moment(millis: float) -> datetime:
    """Milliseconds since 1970 as a datetime in UTC."""
    return EPOCH + timedelta(milliseconds=millis)


def millis(when: datetime) -> int:
    """A datetime as milliseconds since 1970."""
    return round((when - EPOCH) / timedelta(milliseconds=1))


algorithm("Date")(lambda value: as_date(value))


algorithm("Date.millis")(lambda date: date.millis)


algorithm("Date.fromYMD")(lambda year, month, day: Date(millis(datetime(year, month, day, tzinfo=UTC))))


@algorithm("Date.advance")
def advance(date: Date, delta: float, unit: str) -> Date:
    """Later by so many units; months and years by the calendar."""
    unit = unit.removesuffix("s")
    if unit in UNITS:
        return Date(round(date.millis + delta * UNITS[unit]))
    if unit not in ("month", "year"):
        raise ApiError(f"Date.advance: Unknown unit '{unit}'.")
    when = moment(date.millis)
    total = when.year * 12 + when.month - 1 + round(delta * (12 if unit == "year" else 1))
    year, month = divmod(total, 12)
    day = min(when.day, months.monthrange(year, month + 1)[1])
    return Date(millis(when.replace(year=year, month=month + 1, day=day)))


@algorithm("Date.difference")
def difference(date: Date, start: Date, unit: str) -> float:
    """From start to date in units; a month is a twelfth of 365.25 days."""
    lengths = {**UNITS, "month": 365.25 * DAY / 12, "year": 365.25 * DAY}
    return (date.millis - start.millis) / lengths[unit.removesuffix("s")]


def calendar(millis: int, field: str) -> int:
    """A field of the calendar; ApiError for an unknown one."""
    when = moment(millis)
    fields = {
        "year": when.year, "month": when.month, "day": when.day, "day_of_month": when.day, "hour": when.hour,
        "minute": when.minute, "second": when.second, "day_of_year": when.timetuple().tm_yday,
        "week": when.isocalendar().week, "day_of_week": when.isoweekday(),
    }  # fmt: skip
    if field not in fields:
        raise ApiError(f"Date: Unknown field '{field}'.")
    return fields[field]


algorithm("Date.get")(lambda date, unit: calendar(date.millis, unit))


@algorithm("Date.getRelative")
def get_relative(date: Date, unit: str, in_unit: str) -> int:
    """A field counted from 0 within a larger one; days in the year and in the month, months in the year."""
    when = moment(date.millis)
    known = {("day", "year"): when.timetuple().tm_yday - 1, ("day", "month"): when.day - 1,
             ("month", "year"): when.month - 1}  # fmt: skip
    if (unit, in_unit) not in known:
        raise ApiError(f"Date.getRelative: '{unit}' in '{in_unit}' is not imitated by the loopback Earth Engine.")
    return known[unit, in_unit]


@algorithm("Date.format")
def format_date(date: Date, format: str | None) -> str:
    """By a Joda pattern; ISO 8601 without one."""
    when = moment(date.millis)
    if format is None:
        return when.strftime("%Y-%m-%dT%H:%M:%S")
    pieces = [match.group(0) for match in re.finditer(r"'[^']*'|([A-Za-z])\1*|[^A-Za-z']+", format)]
    return "".join(
        piece.strip("'") if piece.startswith("'") else when.strftime(JODA.get(piece, piece)) for piece in pieces
    )


@algorithm("DateRange")
def date_range(start: Any, end: Any) -> DateRange:
    """From start on and before end; without an end, one millisecond; ApiError if it ends before it starts."""
    if end is None:
        return as_range(start)
    first, last = as_date(start).millis, as_date(end).millis
    if last < first:
        raise ApiError("DateRange: The start of a date range must not come after its end.")
    return DateRange(first, last)


algorithm("DateRange.start")(lambda date_range: Date(int(date_range.start)))


algorithm("DateRange.end")(lambda date_range: Date(int(date_range.end)))


algorithm("DateRange.contains")(lambda date_range, other: date_range.start <= as_date(other).millis < date_range.end)


algorithm("DateRange.unbounded")(lambda: DateRange(-FOREVER, FOREVER))
