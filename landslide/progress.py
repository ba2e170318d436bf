"""Progress without a dependency on who shows it.

The library says how far a piece of work is; a caller (the command line, a flow) may install a reporter for its own
context. Without one nothing is shown.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
Update = Callable[[float, str], None]  # how much is done of the total, and a word on how it goes
Reporter = Callable[[str, float], AbstractContextManager[Update]]  # a description and the total

_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def meter(description: str, total: float) -> AbstractContextManager[Update]:
    """Work that tells how far it is by calling what the block is given."""
    reporter = _reporter.get()
    return nullcontext(_silent) if reporter is None else reporter(description, total)


def track(items: Sequence[Item], description: str) -> Iterator[Item]:
    """Yield the items in order, telling the installed reporter how far the walk is."""
    with meter(description, len(items)) as update:
        for done, item in enumerate(items, 1):
            yield item
            update(done, "")


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Show the progress of everything inside the block through `reporter(description, total)`."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


@contextmanager
def also_reporting(reporter: Reporter) -> Iterator[None]:
    """As `reporting`, beside whoever is shown progress already."""
    outer = _reporter.get()

    @contextmanager
    def both(description: str, total: float) -> Iterator[Update]:
        with (
            outer(description, total) if outer else nullcontext(_silent) as first,
            reporter(description, total) as second,
        ):

            def update(done: float, note: str) -> None:
                first(done, note)
                second(done, note)

            yield update

    with reporting(both):
        yield


def _silent(_: float, __: str) -> None:
    """Nobody looks."""
