"""Numbers, areas, shares, dates and places as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from odc.geo.geobox import GeoBox

    from landslide.cases.case import Case
    from landslide.cases.fields import When

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip


def area(square_metres: float) -> str:
    """An area with three figures: m² below a hectare, ha below a square kilometre, km² above."""
    for least, unit in ((1e6, "km²"), (1e4, "ha")):
        if square_metres >= least:
            value = square_metres / least
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{square_metres:.0f} m²"


def percent(share: float | None) -> str:
    """A share in percent; never rounded to 0 or 100 when it is neither."""
    if share is None:
        return "not known"
    value = 100 * share
    if 0 < value < 0.1:
        return "under 0.1 %"
    if 99.9 < value < 100:
        return "over 99.9 %"
    return f"{value:.1f} %" if value % 1 else f"{value:.0f} %"


def day(when: date) -> str:
    """`6 September 2018`, whatever the locale."""
    return f"{when.day} {MONTHS[when.month - 1]} {when.year}"


def window(case: Case, when: When) -> str:
    """A window of a case, each span from its first day to its last: `1 May 2017 to 9 June 2017 and 1 May 2018 to …`."""
    *others, last = [f"{day(first)} to {day(last)}" for first, last in case.spans(when)] or ["dates not recorded"]
    return f"{', '.join(others)} and {last}" if others else last


def place(grid: GeoBox) -> str:
    """The centre of a grid in degrees: `42.7500° N, 142.0100° E`."""
    x, y = grid.footprint("EPSG:4326").centroid.coords[0]
    return f"{abs(y):.4f}° {'N' if y >= 0 else 'S'}, {abs(x):.4f}° {'E' if x >= 0 else 'W'}"


def counted(count: int, noun: str) -> str:
    """`1 event`, `1,204 events`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def landslides(count: int) -> str:
    """`1 landslide`, `1,204 landslides`, `no landslides`."""
    return counted(count, "landslide") if count else "no landslides"


def number(value: float | None, digits: int = 2, sign: str = "") -> str:
    """A number with a true minus sign; a dash for None and NaN."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:{sign}z.{digits}f}".replace("-", "−")


def span(bounds: Sequence[float] | None, digits: int = 2, sign: str = "") -> str:
    """`0.61 to 0.82`, or a dash."""
    return "–" if bounds is None else " to ".join(number(bound, digits, sign) for bound in bounds)


def rounded_percent(share: float | None) -> str:
    """A share in whole percent, with more digits near 0 and 1; a dash where it is not known."""
    if share is None:
        return "–"
    return f"{100 * share:.0f} %" if 0.01 <= share <= 0.99 else percent(share)


def about_area(square_metres: float) -> str:
    """An estimate of an area, with two figures."""
    return area(float(f"{square_metres:.2g}"))


def hectares(square_metres: float) -> str:
    """An area in hectares, for areas that are compared."""
    value = square_metres / 1e4
    if value < 0.01:
        return "under 0.01 ha" if value else "0 ha"
    return f"{value:.1f} ha" if value >= 10 else f"{value:.2f} ha"
