"""HTTP replies, and errors with the messages and codes of Earth Engine."""

import json
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json; charset=UTF-8"
STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


@dataclass(frozen=True)
class Reply:
    """A body with its MIME type, HTTP status and additional headers."""

    body: bytes | bytearray
    mime: str = JSON
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """A reply with a JSON body."""
    return Reply(json.dumps(value).encode(), JSON, status, headers or {})


class ApiError(Exception):
    """An error reply: message, HTTP status and additional headers."""

    def __init__(self, message: str, code: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message, self.code, self.headers = message, code, headers or {}

    def reply(self) -> Reply:
        """The JSON error reply, as the client library parses it."""
        error = {"code": self.code, "message": self.message, "status": STATUS.get(self.code, "UNKNOWN")}
        return json_reply({"error": error}, self.code, self.headers)


def unsupported(what: str) -> ApiError:
    """The error for a feature of Earth Engine that the loopback does not support."""
    return ApiError(f"{what} is not imitated by the loopback Earth Engine.")
