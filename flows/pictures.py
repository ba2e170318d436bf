"""Pictures in Prefect's UI."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from prefect.artifacts import create_markdown_artifact

SIDE = 1000  # pixels


def show_answer(key: str, title: str, picture: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A picture and its table as an artifact. Within a flow."""
    lines = [f"## {title}", "", embedded(picture, title), "", *table([list(rows[0]), *(row.values() for row in rows)])]
    create_markdown_artifact(key=key, markdown="\n".join(lines), description=title)


def table(rows: Sequence[Iterable[object]]) -> list[str]:
    """Lines of Markdown, of which the first is the header."""
    header, *rest = ([_cell(value) for value in row] for row in rows)
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rest)]


def _cell(value: object) -> str:
    if value is None:
        return "undefined"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def embedded(picture: Path, says: str) -> str:
    """Markdown of a picture, made small, as a data URI of about 100 kB: Prefect's database keeps every artifact."""
    buffer = BytesIO()
    with Image.open(picture) as image:
        small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    small.save(buffer, "JPEG", quality=80)
    return f"![{says}](data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()})"
