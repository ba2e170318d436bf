"""What an exception of the Earth Engine client means for the request that met it: again, smaller, or never.

It takes the client with its own retries off (`ee.data.setMaxRetries(0)`): an `EEException` then carries the service's
message and, as its context, the `HttpError` with status and headers; what happens below HTTP arrives as the exceptions
of the transport. The messages are the service's own words, which are all that tells one status 400 from another.
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
CROWDED = re.compile(r"earth engine (memory )?capacity exceeded|too many concurrent aggregations", re.IGNORECASE)
RATE = re.compile(r"rate_?limit_?exceeded|quota exceeded.*per.?(minute|second|\d+.?seconds)", re.IGNORECASE | re.DOTALL)
SPENT = re.compile(r"eecu|monthly|daily|per.?(month|day)", re.IGNORECASE)
ALLOWANCE = re.compile(r"quota|limit|exceeded|exhausted", re.IGNORECASE)
INTERNAL = re.compile(r"internal error", re.IGNORECASE)
BROKEN = re.compile(r"EOF: reading|no data left|pickled|magic string|cannot reshape|parse header|truncated", re.I)
CERTIFICATE = re.compile(r"certificate.verify.failed", re.IGNORECASE)

# By name, so that the rule needs none of the client's packages. `ee` turns most of `requests`' into builtins, not all.
CONNECTION = {
    "google.auth.exceptions.TransportError",
    "httplib2.error.ServerNotFoundError",
    "requests.exceptions.ConnectionError",
    "urllib3.exceptions.HTTPError",
    "socket.gaierror",
}
TIMEOUT = {"requests.exceptions.Timeout", "urllib3.exceptions.TimeoutError"}
REPLY = {"requests.exceptions.ChunkedEncodingError", "requests.exceptions.ContentDecodingError"}

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
    """What to do with the request."""

    TRANSIENT = "again"
    TOO_LARGE = "smaller"
    PERMANENT = "never"


@dataclass(frozen=True)
class Classification:
    """`kind` is what the figures count it under: the status, or `connection`, `timeout`, `broken reply`, …

    `wait`: seconds that the service asks for; None where it does not say. `overload`: the client as a whole asks too
    much, so that slowing down this one request would not help.
    """

    verdict: ErrorKind
    kind: str
    wait: float | None = None
    overload: bool = False


def classify(error: BaseException, now: datetime | None = None) -> Classification:
    """The judgement on an exception, by the exception itself and those that it was raised from.

    `now` (UTC) is what a Retry-After date counts from where the reply has no Date of its own.
    """
    causes = list(_causes(error))
    if any(isinstance(cause, LandslideError) for cause in causes):
        return Classification(ErrorKind.PERMANENT, "refused")
    for cause in causes:
        if (response := _response(cause)) is not None:
            return _by_reply(response, " ".join(map(_words, causes)), now or datetime.now(UTC))
    by_words = [found for cause in causes if (found := _by_words(None, _words(cause)))]
    by_type = [found for cause in causes if (found := _by_type(cause))]
    return next(iter([*by_words, *by_type]), Classification(ErrorKind.PERMANENT, type(error).__name__))


def redact(error: BaseException) -> str:
    """The plain message of an exception on one line, without keys, tokens and passwords."""
    text = next((text for cause in _causes(error) if (text := str(cause).strip())), type(error).__name__)
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    text = " ".join(text.split())
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"


def _by_reply(response: Any, words: str, now: datetime) -> Classification:
    status = int(response.status)
    found = _by_words(status, words)
    if found is None and (status in (408, 429) or status >= 500):
        found = Classification(ErrorKind.TRANSIENT, str(status), overload=status == 429)
    if found is None:
        return Classification(ErrorKind.PERMANENT, str(status))
    if found.verdict is not ErrorKind.TRANSIENT:
        return found
    wait = _retry_after(response, now)
    return Classification(found.verdict, found.kind, wait, found.overload or wait is not None)


def _by_words(status: int | None, words: str) -> Classification | None:
    """What the service's message says whatever its status; None where it says nothing."""
    if TOO_LARGE.search(words):
        return Classification(ErrorKind.TOO_LARGE, "too large")
    if CROWDED.search(words):
        return Classification(ErrorKind.TRANSIENT, str(status or 429), overload=True)
    if status in (None, 400, 403, 429) and SPENT.search(words) and ALLOWANCE.search(words):
        return Classification(ErrorKind.PERMANENT, "quota")  # it comes back tomorrow or next month: no retry helps
    if status in (None, 400, 403, 429) and RATE.search(words):
        return Classification(ErrorKind.TRANSIENT, str(status or 429), overload=True)
    if INTERNAL.search(words):
        return Classification(ErrorKind.TRANSIENT, str(status or 500))
    return None


def _by_type(error: BaseException) -> Classification | None:
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    if CERTIFICATE.search(str(error)):
        return Classification(ErrorKind.PERMANENT, "certificate")
    if isinstance(error, TimeoutError) or names & TIMEOUT:
        return Classification(ErrorKind.TRANSIENT, "timeout")
    if names & REPLY:
        return Classification(ErrorKind.TRANSIENT, "broken reply")
    if isinstance(error, ConnectionError | ssl.SSLError) or names & CONNECTION:
        return Classification(ErrorKind.TRANSIENT, "connection")
    if isinstance(error, HTTPException | EOFError | json.JSONDecodeError):
        return Classification(ErrorKind.TRANSIENT, "broken reply")
    if type(error) is ValueError and BROKEN.search(str(error)):  # np.load on a body cut short, or on an error page
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


def _words(error: BaseException) -> str:
    """The message, and the machine-readable reason in an HttpError's body; never its address, which names projects."""
    if _response(error) is None:
        return str(error)
    content: bytes = getattr(error, "content", b"")
    return content.decode("utf-8", "replace")


def _retry_after(response: Any, now: datetime) -> float | None:
    """Seconds until the time that the Retry-After header names, in seconds or as a date."""
    value = response.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        until, since = _date(value), _date(response.get("date")) or now  # by the service's clock, not by ours
        return None if until is None else max(0.0, (until - since).total_seconds())


def _date(value: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(value) if value else None
    except ValueError:
        return None
    return date.replace(tzinfo=UTC) if date is not None and date.tzinfo is None else date
