"""A run in a terminal: progress bars, tables, errors in one line, exit codes."""

import json
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer
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
    "OMP_WAIT_POLICY": "passive",  # threads that spin while they wait stall each other on a busy machine
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}

console = Console(stderr=True)


@contextmanager
def session(verbose: bool) -> Iterator[None]:
    """Show progress while a flow runs; a LandslideError becomes one line and an exit code."""
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
    """Ctrl-C ends the process at once: Prefect would wait for members in training. Writes are atomic."""

    def stop(*_: object) -> None:
        console.show_cursor(True)
        console.print("\nStopped. What was finished is kept: the same command goes on from there.")
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def fail(error: Exception, code: int) -> None:
    """Print an error and exit with a code."""
    console.print(f"[bold red]{type(error).__name__}[/]: ", end="")
    console.print(str(error), markup=False, highlight=False)
    raise typer.Exit(code)


class _Remaining(TimeRemainingColumn):
    """Time left by the pace so far; empty where the note already says it."""

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
        finally:  # also after an error, and because a grid has more members than a screen has lines
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
    """Print rows with the same keys as a table."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in rows[0]:
        table.add_column(name)
    for row in rows:
        table.add_row(*(cell(value) for value in row.values()))
    Console().print(table)


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return " to ".join(cell(one) for one in value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)
