"""What a route answers with, and refusals in Google's words and codes."""

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
    """A body with its MIME type, HTTP status and further headers."""

    body: bytes | bytearray
    mime: str = JSON
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    """A value as JSON."""
    return Reply(json.dumps(value).encode(), JSON, status, headers or {})


class ApiError(Exception):
    """A refusal with its HTTP code; `headers` go with the reply."""

    def __init__(self, message: str, code: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message, self.code, self.headers = message, code, headers or {}

    def reply(self) -> Reply:
        """The JSON that the client's library takes its message from."""
        told = {"code": self.code, "message": self.message, "status": STATUS.get(self.code, "UNKNOWN")}
        return json_reply({"error": told}, self.code, self.headers)


def not_imitated(what: str) -> ApiError:
    """The refusal of something that Google has and this loopback has not."""
    return ApiError(f"{what} is not imitated by the loopback Earth Engine.")
