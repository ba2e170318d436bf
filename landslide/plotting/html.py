"""Templates of the reports."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from landslide.plotting import text as words
from landslide.plotting.text import about_area, figure, hectares, rounded_percent, span


def environment(folder: Path, autoescape: bool) -> Environment:
    """Templates of a folder, with figures, shares and areas in words."""
    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "area": words.area,
        "about": about_area,
        "hectares": hectares,
        "percent": rounded_percent,
        "figure": figure,
        "signed": lambda value, digits=2: figure(value, digits, "+"),
        "span": span,
        "place": lambda share: f"{100 * min(max(share, 0), 1):.2f}%",
    }
    return made


def inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
