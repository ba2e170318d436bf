"""Pictures in Prefect's UI."""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from prefect.artifacts import create_markdown_artifact

from landslide.evaluation.results import METRICS

PICTURE_SIDE = 1000  # pixels
FIGURES = ("curve", "performance", "reliability", "sizes")  # of an evaluation


def show_answer(key: str, title: str, picture: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A picture and its table as an artifact. Within a flow."""
    lines = [f"## {title}", "", embedded(picture, title), "", *table([list(rows[0]), *(row.values() for row in rows)])]
    create_markdown_artifact(key=key, markdown="\n".join(lines), description=title)


def show_scores(key: str, name: str, folder: Path) -> None:
    """Scores, ways of choosing and figures of an ensemble as an artifact. Within a flow."""
    metrics = json.loads((folder / METRICS).read_text())
    cases = {"pooled": metrics["pooled"], **metrics["cases"]}
    scores = [[case, row["f1"], row["precision"], row["recall"]] for case, row in cases.items()]
    drawn = [folder / f"{figure}.png" for figure in FIGURES]
    lines = [
        f"## {name}: {metrics['way']}, {metrics['size']} members, on {', '.join(metrics['cases'])}", "",
        *table([["case", "F1", "precision", "recall"], *scores]), "",
        f"Median member: F1 {metrics['median_member_f1']:.3f}.",
        *(_ways(metrics["ways"]) if len(metrics["ways"]) > 1 else []),
        *(f"\n{embedded(picture, picture.stem)}" for picture in drawn if picture.exists()),
        "", f"Files: `{folder}`",
    ]  # fmt: skip
    f1 = metrics["pooled"]["f1"]
    said = "F1 undefined" if f1 is None else f"F1 {f1:.3f}"
    create_markdown_artifact(
        key=key, markdown="\n".join(lines), description=f"{said} on {len(metrics['cases'])} case(s)"
    )


def _ways(ways: Sequence[Mapping[str, Any]]) -> list[str]:
    """Ways of choosing members beside each other."""
    header = ["way", "members", "validation F1, held out", "test F1", "gain over the published way", "ECE"]
    rows = [
        [way["way"], way["members"], way["held_out_f1"], way["pooled"]["f1"], way["gain"], way["ece"]] for way in ways
    ]
    return ["", "### Ways of choosing", "", *table([header, *rows])]


def table(rows: Sequence[Iterable[object]]) -> list[str]:
    """Lines of Markdown, of which the first is the header."""
    header, *rest = ([_cell(value) for value in row] for row in rows)
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rest)]


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def embedded(picture: Path, says: str) -> str:
    """Markdown of a picture, made small, as a data URI of about 100 kB: Prefect's database keeps every artifact."""
    buffer = BytesIO()
    with Image.open(picture) as image:
        small = image.convert("RGB")
    small.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    small.save(buffer, "JPEG", quality=80)
    return f"![{says}](data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()})"
