"""What a route answers with."""

import json
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json; charset=UTF-8"


@dataclass(frozen=True)
class Reply:
    """A body with its MIME type, HTTP status and further headers."""

    body: bytes | bytearray
    mime: str = JSON
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """A value as JSON."""
    return Reply(json.dumps(value).encode(), JSON, status, headers or {})
