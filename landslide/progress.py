"""Progress reporting that does not depend on how progress is displayed.

The library reports how much of a task is done. A caller (the command line, a flow) may install a reporter in its own
context. Without a reporter, progress is discarded.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
Update = Callable[[float, str], None]  # the amount done so far, and a short note such as a score
Reporter = Callable[[str, float], AbstractContextManager[Update]]  # the task's description and total amount

_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def meter(description: str, total: float) -> AbstractContextManager[Update]:
    """A context manager that yields the function to call with the progress of one task."""
    reporter = _reporter.get()
    return nullcontext(_discard) if reporter is None else reporter(description, total)


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Yield the items in order and report the number done to the installed reporter."""
    with meter(description, len(items)) as update:
        for done, item in enumerate(items, 1):
            yield item
            update(done, "")


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Report the progress of every task inside the block to `reporter(description, total)`."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


@contextmanager
def also_reporting(reporter: Reporter) -> Iterator[None]:
    """Like `reporting`, in addition to the reporter that is already installed."""
    outer = _reporter.get()

    @contextmanager
    def both(description: str, total: float) -> Iterator[Update]:
        with (
            outer(description, total) if outer else nullcontext(_discard) as first,
            reporter(description, total) as second,
        ):

            def update(done: float, note: str) -> None:
                first(done, note)
                second(done, note)

            yield update

    with reporting(both):
        yield


def _discard(_: float, __: str) -> None:
    """The update function used when no reporter is installed."""
