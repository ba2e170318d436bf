"""What the service refuses, in Google's words and codes."""

from typing import Any

STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


class ApiError(Exception):
    """A refusal with its HTTP code; `headers` go with the reply."""

    def __init__(self, message: str, code: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message, self.code, self.headers = message, code, headers or {}

    def body(self) -> dict[str, Any]:
        """The JSON that the client's library takes its message from."""
        return {"error": {"code": self.code, "message": self.message, "status": STATUS.get(self.code, "UNKNOWN")}}


def not_imitated(what: str) -> ApiError:
    """The refusal of something that Google has and this loopback has not."""
    return ApiError(f"{what} is not imitated by the loopback Earth Engine.")
