"""Progress without a dependency on who shows it.

The library says what it walks over; a caller (the command line, a flow) may install a reporter for its own context.
Without one nothing is shown.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
Reporter = Callable[[Sequence[object], str], Iterable[object]]

_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Yield the items in order, telling the installed reporter how far the walk is."""
    reporter = _reporter.get()
    yield from items if reporter is None else reporter(items, description)  # type: ignore[misc]


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Show the progress of everything inside the block through `reporter(items, description)`."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)
