"""Results as artifacts in Prefect's UI. All `show_` functions need a flow run."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from prefect.artifacts import create_markdown_artifact

from landslide.evaluation.results import EvaluationReport, SelectorResult

PICTURE_SIDE = 1000  # pixels
FIGURES = ("curve", "performance", "reliability", "sizes")


def show_answer(key: str, title: str, picture: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Show a picture and a table.

    Args:
        key: The key of the artifact.
        title: The title.
        picture: The picture's file.
        rows: The rows of the table, with the same keys.
    """
    lines = [f"## {title}", "", embedded(picture, title), "", *table([list(rows[0]), *(row.values() for row in rows)])]
    create_markdown_artifact(key=key, markdown="\n".join(lines), description=title)


def show_scores(key: str, name: str, folder: Path) -> None:
    """Show the scores, selectors and figures of an evaluation."""
    report = EvaluationReport.read(folder)
    cases = {"pooled": report.pooled, **report.cases}
    rows = [[case, scores.f1, scores.precision, scores.recall] for case, scores in cases.items()]
    figures = [folder / f"{figure}.png" for figure in FIGURES]
    lines = [
        f"## {name}: {report.selector}, {report.size} members, on {', '.join(report.cases)}", "",
        *table([["case", "F1", "precision", "recall"], *rows]), "",
        f"Median member: F1 {report.median_member_f1:.3f}.",
        *(_selectors(report.selectors) if len(report.selectors) > 1 else []),
        *(f"\n{embedded(figure, figure.stem)}" for figure in figures if figure.exists()),
        "", f"Files: `{folder}`",
    ]  # fmt: skip
    f1 = report.pooled.f1
    description = f"{'F1 undefined' if f1 is None else f'F1 {f1:.3f}'} on {len(report.cases)} case(s)"
    create_markdown_artifact(key=key, markdown="\n".join(lines), description=description)


def _selectors(results: Sequence[SelectorResult]) -> list[str]:
    header = ["selector", "members", "validation F1, held out", "test F1", "gain over the published selector", "ECE"]
    rows = [[one.selector, one.members, one.held_out_f1, one.pooled.f1, one.gain, one.ece] for one in results]
    return ["", "### Selectors", "", *table([header, *rows])]


def table(rows: Sequence[Iterable[object]]) -> list[str]:
    """The lines of a Markdown table; the first row is the header."""
    header, *rest = ([_cell(value) for value in row] for row in rows)
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rest)]


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def embedded(picture: Path, description: str) -> str:
    """Markdown of a picture as a data URI of about 100 kB: Prefect's database stores every artifact."""
    buffer = BytesIO()
    with Image.open(picture) as image:
        small = image.convert("RGB")
    small.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    small.save(buffer, "JPEG", quality=80)
    return f"![{description}](data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()})"
