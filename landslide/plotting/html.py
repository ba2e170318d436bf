"""The environment of the reports' templates."""

from __future__ import annotations

import base64
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from landslide import __version__
from landslide.plotting import style, text


def environment(folder: Path, autoescape: bool = True) -> Environment:
    """Templates of a folder and of this one, with the formats of `plotting.text` as filters.

    Pages extend `base.html`, which draws its colours from `plotting.style`.
    """
    made = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"style": style, "version": __version__}
    made.filters |= {
        "area": text.area,
        "about_area": text.about_area,
        "hectares": text.hectares,
        "percent": text.percent,
        "rounded_percent": text.rounded_percent,
        "number": text.number,
        "signed": lambda value, digits=2: text.number(value, digits, "+"),
        "span": text.span,
        "counted": text.counted,
        "css_percent": lambda share: f"{100 * min(max(share, 0), 1):.2f}%",
    }
    return made


def data_uri(png: bytes) -> str:
    """A PNG as the source of an image in a page that is one file."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
