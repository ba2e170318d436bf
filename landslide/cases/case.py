"""Cases: one event to map, as a person writes it in YAML.

Unknown keys are refused, relative paths are relative to the file, and every error names the file and the key.
"""

from calendar import monthrange
from collections.abc import Iterable
from datetime import date, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    model_validator,
)

from landslide.cases.fields import (
    WHENS,
    Area,
    Day,
    Identifier,
    Role,
    Span,
    Strict,
    When,
    load,
    resolve_local,
)
from landslide.cases.sources import SourceConfig, as_source


class Window(Strict):
    """Days counted from the event's day, which belongs to no window; or a start and an end, both included.

    Or `years`, of `pre` alone: the calendar days of the post window, in that many earlier years.
    """

    days: Annotated[int, Field(gt=0, le=730)] | None = None
    start: Day | None = None
    end: Day | None = None
    years: Annotated[int, Field(ge=1, le=5)] | None = None

    @model_validator(mode="after")
    def _one_definition(self) -> Self:
        explicit = self.start is not None or self.end is not None
        given = [explicit, self.days is not None, self.years is not None]
        if sum(given) != 1 or (self.start is None) != (self.end is None):
            raise ValueError("give days, or start and end, or years")
        if self.start and self.end and self.start > self.end:
            raise ValueError(f"start {self.start} is after end {self.end}")
        return self


def _without_years(post: Window) -> Window:
    if post.years is not None:
        raise ValueError("years is for pre alone, which then has the days of this window; give days, or start and end")
    return post


class Inventory(Strict):
    """Mapped landslides: polygons of any CRS. `ring` is a band in metres around each outline to ignore."""

    path: Annotated[str, AfterValidator(resolve_local)]
    layer: str | None = None
    date_field: str | None = None
    ring: Annotated[float, Field(ge=0, le=1000)] = 0.0


def _as_inventory(value: object) -> object:
    return {"path": value} if isinstance(value, str) else value


def _not_blank(name: str) -> str:
    if not name.strip():
        raise ValueError("a class of land cover needs a name")
    return name


CoverValue = Annotated[int, Field(ge=0, le=254)]  # 255 is unknown
CoverNames = Annotated[
    dict[CoverValue, Annotated[str, AfterValidator(_not_blank)]],
    Field(min_length=1, json_schema_extra={"propertyNames": {"pattern": "^[0-9]{1,3}$"}}),
]


class Cover(Strict):
    """Land cover before the event: band 1 of a raster of any CRS and resolution, and what its numbers are called.

    Numbers with the same name are one class. It is not used in training; scores are reported by class.
    """

    path: Annotated[str, AfterValidator(resolve_local)]
    names: CoverNames


class Case(Strict):
    """One event to map. Archives bring their own grids, so only for them area and date may be missing."""

    id: Identifier
    title: str = ""
    event_date: Day | None = None
    aoi: Area | None = None
    pre: Window = Window(days=60)
    post: Annotated[Window, AfterValidator(_without_years)] = Window(days=60)
    source: Annotated[SourceConfig, BeforeValidator(as_source)]
    inventory: Annotated[Inventory, BeforeValidator(_as_inventory)] | None = None
    cover: Cover | None = None
    role: Role = "map"

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.source.kind != "archive":
            missing = [name for name in ("event_date", "aoi") if getattr(self, name) is None]
            if missing:
                raise ValueError(f"a case from {self.source.kind} needs {' and '.join(missing)}")
        elif self.cover is not None:
            raise ValueError("cover needs a case with a place, and an archive brings its own grids; leave cover out")
        if self.event_date is not None:
            self._refuse_windows_over_the_event(self.event_date)
        return self

    def _refuse_windows_over_the_event(self, event: date) -> None:
        if self.pre.end and self.pre.end >= event:
            raise ValueError(f"pre ends {self.pre.end}, not before the event of {event}")
        if self.post.start and self.post.start <= event:
            raise ValueError(f"post starts {self.post.start}, not after the event of {event}")
        ((first, last),) = self.spans("post")
        if self.pre.years and (last - first).days >= 365:
            raise ValueError(f"pre by years needs a post window of at most 365 days, not {first}..{last}")

    def spans(self, when: When) -> tuple[Span, ...]:
        """The days of a window in time order, first and last of each span included; none where the case has no date.

        With `years` there are several, which never overlap; otherwise one. Days between spans do not belong to the
        window.
        """
        window: Window = getattr(self, when)
        if window.start and window.end:
            return ((window.start, window.end),)
        if self.event_date is None:
            return ()
        if window.years is not None:
            return _earlier(self.spans("post")[0], window.years, self.event_date)
        event, near, far = self.event_date, timedelta(days=1), timedelta(days=window.days or 0)
        return ((event - far, event - near),) if when == "pre" else ((event + near, event + far),)

    def window(self, when: When) -> Span | None:
        """First and last day of a window, gaps between its spans included; None where the case has no date.

        For the period that a map covers; to choose scenes use `spans` or `side`.
        """
        spans = self.spans(when)
        return (spans[0][0], spans[-1][1]) if spans else None

    @property
    def windows(self) -> str:
        """Both windows for a message: `pre 2021-05-15..2021-07-13, post …`."""
        return ", ".join(f"{when} {format_spans(self.spans(when))}" for when in WHENS)

    def side(self, day: date) -> When | None:
        """The window that a day falls into, if any."""
        for when in WHENS:
            if any(first <= day <= last for first, last in self.spans(when)):
                return when
        return None


def format_spans(spans: Iterable[Span]) -> str:
    """A window's spans for a message: `2019-07-15..2019-09-12 and 2020-07-15..2020-09-12`."""
    return " and ".join(f"{first}..{last}" for first, last in spans) or "undated"


def _earlier(span: Span, years: int, event: date) -> tuple[Span, ...]:
    """The span's calendar days in the last so many earlier years in which they end before the event, oldest first."""
    shifted = ((_years_before(span[0], back), _years_before(span[1], back)) for back in count(1))
    return tuple(islice((span for span in shifted if span[1] < event), years))[::-1]


def _years_before(day: date, years: int) -> date:
    """The same day of an earlier year; 28 February for a 29th that the year lacks."""
    year = day.year - years
    return day.replace(year=year, day=min(day.day, monthrange(year, day.month)[1]))


def load_case(path: Path) -> Case:
    """Read a case; InputError names the file and the key that is wrong."""
    return load(Case, path)
