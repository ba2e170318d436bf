"""Pictures in Prefect's UI."""

import base64
from io import BytesIO
from pathlib import Path

from PIL import Image

SIDE = 1000  # pixels


def embedded(picture: Path, says: str) -> str:
    """Markdown of a picture, made small, as a data URI of about 100 kB: Prefect's database keeps every artifact."""
    buffer = BytesIO()
    with Image.open(picture) as image:
        small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    small.save(buffer, "JPEG", quality=80)
    return f"![{says}](data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()})"
