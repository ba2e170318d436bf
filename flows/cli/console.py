"""Terminal output: progress bars, tables, one-line errors, exit codes."""

import json
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from landslide.errors import InputError, LandslideError
from landslide.progress import Reporter, Update, reporting

FAILURE, UNUSABLE, INTERRUPTED = 1, 2, 130
ENVIRONMENT = {
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "OMP_WAIT_POLICY": "passive",  # spinning threads slow each other down on a busy machine
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}

console = Console(stderr=True)


@contextmanager
def session(verbose: bool) -> Iterator[None]:
    """Show progress while a flow runs, and turn a LandslideError into one line and an exit code."""
    for name, value in ENVIRONMENT.items():
        if not (verbose and "LOGGING" in name):
            os.environ.setdefault(name, value)
    if not verbose:
        warnings.simplefilter("ignore")
    try:
        with _interruptible(), _progress() as progress, reporting(_reporter(progress)):
            yield
    except InputError as error:
        fail(error, UNUSABLE)
    except LandslideError as error:
        fail(error, FAILURE)


@contextmanager
def _interruptible() -> Iterator[None]:
    """End the process at once on Ctrl-C. Prefect would wait for members in training; writes are atomic."""

    def stop(*_: object) -> None:
        console.show_cursor(True)
        console.print("\nStopped. Finished results are kept: run the same command again to continue.")
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def fail(error: Exception, code: int) -> None:
    """Print an error and exit."""
    console.print(f"[bold red]{type(error).__name__}[/]: ", end="")
    console.print(str(error), markup=False, highlight=False)
    raise typer.Exit(code)


class _Remaining(TimeRemainingColumn):
    """Estimated time left; empty if the note already has an estimate."""

    def render(self, task: Task) -> Text:
        return Text("") if task.fields["note"].endswith("left") else super().render(task)


def _progress() -> Progress:
    columns = (TextColumn("{task.description:34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(
        *columns, _Remaining(), TextColumn("{task.fields[note]}"),
        console=console, transient=not sys.stderr.isatty(),
    )  # fmt: skip


def _reporter(progress: Progress) -> Reporter:
    @contextmanager
    def report(description: str, total: float) -> Iterator[Update]:
        bar = progress.add_task(description, total=total, note="")
        try:
            yield lambda done, note: progress.update(bar, completed=done, note=note)
        finally:  # a grid has more members than a screen has lines
            progress.remove_task(bar)

    return report


def show(result: Mapping[str, Any], as_json: bool, title: str) -> None:
    """Print a result on standard output: a table, or one JSON object."""
    if as_json:
        print(json.dumps(result, default=str))
        return
    table = Table(title=title, title_justify="left", show_header=False, title_style="bold")
    for name, value in result.items():
        table.add_row(name.replace("_", " "), cell(value))
    Console().print(table)


def show_rows(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print rows with the same keys as a table, without the columns that are None in every row."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    names = [name for name in rows[0] if any(row[name] is not None for row in rows)]
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(cell(row[name]) for name in names))
    Console().print(table)


def cell(value: Any) -> str:
    """A value as text for a table."""
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return " to ".join(cell(one) for one in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
