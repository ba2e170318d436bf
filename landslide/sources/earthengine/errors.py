"""What an exception of the Earth Engine client means for its request: repeat it, make it smaller, or give up.

It takes the client with its own retries off (`ee.data.setMaxRetries(0)`): an `EEException` then carries the service's
message and, as its context, the `HttpError` with status and headers; what happens below HTTP arrives as the exceptions
of the transport. Only the service's message distinguishes one status 400 from another.
"""

import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from http.client import HTTPException
from typing import Any

from landslide.errors import LandslideError

TOO_LARGE = re.compile(
    r"user memory limit exceeded|computation timed out|total request size \(.*must be less than"
    r"|output of image computation is too large",
    re.IGNORECASE | re.DOTALL,
)
OVERLOADED = re.compile(r"earth engine (memory )?capacity exceeded|too many concurrent aggregations", re.IGNORECASE)
RATE = re.compile(r"rate_?limit_?exceeded|quota exceeded.*per.?(minute|second|\d+.?seconds)", re.IGNORECASE | re.DOTALL)
LONG_TERM = re.compile(r"eecu|monthly|daily|per.?(month|day)", re.IGNORECASE)
QUOTA = re.compile(r"quota|limit|exceeded|exhausted", re.IGNORECASE)
INTERNAL = re.compile(r"internal error", re.IGNORECASE)
BROKEN_BODY = re.compile(r"EOF: reading|no data left|pickled|magic string|cannot reshape|parse header|truncated", re.I)
CERTIFICATE = re.compile(r"certificate.verify.failed", re.IGNORECASE)

# By name, so that none of the client's packages is imported. `ee` turns most errors of `requests` into builtins.
CONNECTION_ERRORS = {
    "google.auth.exceptions.TransportError",
    "httplib2.error.ServerNotFoundError",
    "requests.exceptions.ConnectionError",
    "urllib3.exceptions.HTTPError",
    "socket.gaierror",
}
TIMEOUT_ERRORS = {"requests.exceptions.Timeout", "urllib3.exceptions.TimeoutError"}
BROKEN_REPLY_ERRORS = {"requests.exceptions.ChunkedEncodingError", "requests.exceptions.ContentDecodingError"}

NAME = r"(?:[\w-]*[_-])?(?:key|token|secret|password|assertion|signature)"
SECRETS = [
    (re.compile(r"-----BEGIN.*?(-----END[^-]*-----|$)", re.DOTALL), "…"),
    (re.compile(r"(?i)\bbearer\s+[^\s\"',]+"), "Bearer …"),
    (re.compile(r"\bya29\.[\w.-]+|\bAIza[\w-]{20,}"), "…"),
    (re.compile(r"(?i)(://)[^/\s@]+@"), r"\1…@"),
    (re.compile(rf"(?i)\b({NAME})=[^\s&\"',}}]+"), r"\1=…"),
    (re.compile(rf"(?i)([\"']{NAME}[\"']\s*:\s*[\"'])[^\"']+"), r"\1…"),
]
MAX_CHARACTERS = 400


class ErrorKind(Enum):
    """Whether the same request may succeed later, a smaller one may, or neither."""

    TRANSIENT = "transient"
    TOO_LARGE = "too large"
    PERMANENT = "permanent"


@dataclass(frozen=True)
class Classification:
    """What an exception means.

    Args:
        kind: What to do with the request.
        label: What statistics count it under: the status, or `connection`, `timeout`, `broken reply`, …
        wait: Seconds that the service asks for; None where it does not say.
        overload: The client as a whole asks too much, so that slowing down this one request would not help.
    """

    kind: ErrorKind
    label: str
    wait: float | None = None
    overload: bool = False


def classify(error: BaseException) -> Classification:
    """What an exception means, by itself and those that it was raised from."""
    causes = list(_causes(error))
    if any(isinstance(cause, LandslideError) for cause in causes):
        return Classification(ErrorKind.PERMANENT, "refused")
    for cause in causes:
        if (response := _response(cause)) is not None:
            return _by_response(response, " ".join(map(_message, causes)))
    by_message = [found for cause in causes if (found := _by_message(None, _message(cause)))]
    by_type = [found for cause in causes if (found := _by_type(cause))]
    return next(iter([*by_message, *by_type]), Classification(ErrorKind.PERMANENT, type(error).__name__))


def redact(error: BaseException) -> str:
    """The plain message of an exception on one line, without keys, tokens and passwords."""
    text = next((text for cause in _causes(error) if (text := str(cause).strip())), type(error).__name__)
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"


def _by_response(response: Any, message: str) -> Classification:
    status = int(response.status)
    found = _by_message(status, message)
    if found is None and (status in (408, 429) or status >= 500):
        found = Classification(ErrorKind.TRANSIENT, str(status), overload=status == 429)
    if found is None:
        return Classification(ErrorKind.PERMANENT, str(status))
    if found.kind is not ErrorKind.TRANSIENT:
        return found
    wait = _retry_after(response)
    return Classification(found.kind, found.label, wait, found.overload or wait is not None)


def _by_message(status: int | None, message: str) -> Classification | None:
    """What the service's message means whatever its status; None where it is not known."""
    if TOO_LARGE.search(message):
        return Classification(ErrorKind.TOO_LARGE, "too large")
    if OVERLOADED.search(message):
        return Classification(ErrorKind.TRANSIENT, str(status or 429), overload=True)
    if status in (None, 400, 403, 429) and LONG_TERM.search(message) and QUOTA.search(message):
        return Classification(ErrorKind.PERMANENT, "quota")  # it is renewed tomorrow or next month: no retry helps
    if status in (None, 400, 403, 429) and RATE.search(message):
        return Classification(ErrorKind.TRANSIENT, str(status or 429), overload=True)
    if INTERNAL.search(message):
        return Classification(ErrorKind.TRANSIENT, str(status or 500))
    return None


def _by_type(error: BaseException) -> Classification | None:
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if CERTIFICATE.search(str(error)):
        return Classification(ErrorKind.PERMANENT, "certificate")
    if isinstance(error, TimeoutError) or names & TIMEOUT_ERRORS:
        return Classification(ErrorKind.TRANSIENT, "timeout")
    if names & BROKEN_REPLY_ERRORS:
        return Classification(ErrorKind.TRANSIENT, "broken reply")
    if isinstance(error, ConnectionError | ssl.SSLError) or names & CONNECTION_ERRORS:
        return Classification(ErrorKind.TRANSIENT, "connection")
    if isinstance(error, HTTPException | EOFError | json.JSONDecodeError):
        return Classification(ErrorKind.TRANSIENT, "broken reply")
    if type(error) is ValueError and BROKEN_BODY.search(str(error)):  # np.load on a body cut short, or on an error page
        return Classification(ErrorKind.TRANSIENT, "broken reply")
    if getattr(error, "retryable", False) is True:  # google.auth: the token service, not the token, failed
        return Classification(ErrorKind.TRANSIENT, "authorisation")
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _response(error: BaseException) -> Any:
    """The reply that an HttpError carries: a mapping of lower-case headers with a `status`."""
    response = getattr(error, "resp", None)
    return response if hasattr(response, "status") else None


def _message(error: BaseException) -> str:
    """The message, and the machine-readable reason in an HttpError's body; never its address, which names projects."""
    if _response(error) is None:
        return str(error)
    content: bytes = getattr(error, "content", b"")
    return content.decode("utf-8", "replace")


def _retry_after(response: Any) -> float | None:
    """Seconds until the time that the Retry-After header names, in seconds or as a date; None without one.

    A date counts from the reply's own Date, which is the service's clock, or from now where the reply has none.
    """
    value = response.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        until, since = _date(value), _date(response.get("date")) or datetime.now(UTC)
        return None if until is None else max(0.0, (until - since).total_seconds())


def _date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value) if value else None
    except ValueError:
        return None
    return date.replace(tzinfo=UTC) if date is not None and date.tzinfo is None else date
