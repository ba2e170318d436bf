import io
import ssl
from datetime import datetime, tzinfo
from http.client import IncompleteRead, RemoteDisconnected

import ee
import google.auth.exceptions
import numpy as np
import pytest
import requests
import urllib3

from landslide.errors import SourceError
from landslide.sources.earthengine import errors
from landslide.sources.earthengine.errors import ErrorKind, classify, redact
from tests.helpers.faults import html, refusal

RATE = (
    "Quota exceeded for quota metric 'Number of read requests' and limit 'Number of read requests per minute per user' "
    "of service 'earthengine.googleapis.com' for consumer 'project_number:599401802498'."
)
DAILY = (
    "Quota exceeded for quota metric 'Daily EECU usage time' and limit 'Daily EECU usage time per day' of service "
    "'earthengine.googleapis.com'"
)
SIZE = "Total request size (56623104 bytes) must be less than or equal to 50331648 bytes."


def broken(body: bytes) -> Exception:
    try:
        np.load(io.BytesIO(body), allow_pickle=False)
    except Exception as error:
        return error
    raise AssertionError("it loads")


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros((8, 8), [("vv", "f4"), ("vh", "f4")]))
    return file.getvalue()


@pytest.mark.parametrize(
    ("error", "label", "overload"),
    [
        (refusal(429, "Too Many Requests"), "429", True),
        (refusal(429, "Too many concurrent aggregations."), "429", True),
        (refusal(400, "Too many concurrent aggregations."), "400", True),
        (refusal(429, "Earth Engine capacity exceeded."), "429", True),
        (refusal(400, "Earth Engine memory capacity exceeded."), "400", True),
        (refusal(429, RATE), "429", True),
        (refusal(403, RATE), "403", True),
        (refusal(403, "Slow down", reason="rateLimitExceeded"), "403", True),
        (refusal(403, "Slow down", reason="userRateLimitExceeded"), "403", True),
        (refusal(500, "Internal error"), "500", False),
        (refusal(400, "An internal error has occurred (request: 12ab)."), "400", False),
        (refusal(502, "Bad Gateway"), "502", False),
        (refusal(503, "The service is currently unavailable."), "503", False),
        (refusal(504, "Deadline exceeded"), "504", False),
        (refusal(408, "Request Timeout"), "408", False),
        (html(502, b"<html>Bad gateway</html>"), "502", False),
        (ee.EEException("Too many concurrent aggregations."), "429", True),
        (ConnectionError("reset"), "connection", False),
        (ConnectionResetError("reset"), "connection", False),
        (TimeoutError("read"), "timeout", False),
        (ssl.SSLEOFError("EOF occurred in violation of protocol"), "connection", False),
        (requests.exceptions.ConnectionError("name not resolved"), "connection", False),
        (requests.exceptions.ReadTimeout("slow"), "timeout", False),
        (requests.exceptions.ConnectTimeout("slow"), "timeout", False),
        (requests.exceptions.ChunkedEncodingError("cut"), "broken reply", False),
        (requests.exceptions.ContentDecodingError("gzip"), "broken reply", False),
        (urllib3.exceptions.ProtocolError("cut"), "connection", False),
        (IncompleteRead(b"12", 100), "broken reply", False),
        (RemoteDisconnected("gone"), "connection", False),
        (google.auth.exceptions.TransportError("no route"), "connection", False),
        (google.auth.exceptions.RefreshError("token service down", retryable=True), "authorisation", False),
        (broken(npy()[:-30]), "broken reply", False),
        (broken(npy()[:40]), "broken reply", False),
        (broken(npy()[:3]), "broken reply", False),
        (broken(b""), "broken reply", False),
        (broken(b"<html>oh no</html>"), "broken reply", False),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_transient_error_is_told_by_its_words_or_type(error: Exception, label: str, overload: bool) -> None:
    found = classify(error)
    assert (found.kind, found.label, found.overload) == (ErrorKind.TRANSIENT, label, overload)


@pytest.mark.parametrize(
    "message",
    [
        "User memory limit exceeded.",
        "Computation timed out.",
        SIZE,
        "Output of image computation is too large (6 bands for 4194304 pixels = 96.0 MiB > 48.0 MiB).\nIf this is a "
        "reduction, try specifying a larger 'tileScale' parameter.",
    ],
)
@pytest.mark.parametrize("status", [400, 429, 500])
def test_what_is_too_large_is_asked_for_in_parts(message: str, status: int) -> None:
    assert classify(refusal(status, message)).kind is ErrorKind.TOO_LARGE


@pytest.mark.parametrize(
    "error",
    [
        refusal(400, "Image.load: Image asset 'projects/x/monthly' not found."),
        refusal(400, "Image.select: Band pattern 'VX' did not match any bands."),
        refusal(400, "Request payload size exceeds the limit: 10485760 bytes."),
        refusal(401, "Request had invalid authentication credentials."),
        refusal(403, "Permission denied.", reason="forbidden"),
        refusal(403, "Asset storage quota exceeded."),
        refusal(404, "Not found"),
        refusal(429, DAILY, {"retry-after": "30"}),
        refusal(403, DAILY),
        refusal(429, "The project has used up its monthly quota of compute."),
        refusal(403, "Non-commercial EECU-hours limit reached"),
        refusal(400, "bad graph", address="https://x/v1/projects/internal error/too many concurrent aggregations"),
        google.auth.exceptions.RefreshError("invalid_grant: Bad Request"),
        ConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"),
        SourceError("truncated"),
        ValueError("vv is not a band"),
        KeyError("vv"),
        OSError(28, "No space left on device"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_everything_else_is_final(error: Exception) -> None:
    assert classify(error).kind is ErrorKind.PERMANENT


class Noon(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime(2026, 11, 4, 12, tzinfo=tz)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "Wed, 04 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Wed, 04 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 04 Nov 2026 12:00:30 GMT", "Date": "Wed, 04 Nov 2026 12:00:10 GMT"}, 20.0),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_service_says_how_long_to_wait(
    headers: dict[str, str], wait: float | None, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errors, "datetime", Noon)
    found = classify(refusal(status, "busy", headers))
    assert found.wait == wait
    assert found.overload == (status == 429 or wait is not None)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("refused: Bearer ya29.a0Af_h-x.y, sorry", "refused: Bearer …, sorry"),
        ("GET https://x/v1?key=AIzaSyD4x&alt=json", "GET https://x/v1?key=…&alt=json"),
        ("access_token=abc.def refresh_token=1//0x", "access_token=… refresh_token=…"),
        ('{"private_key": "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"}', '{"private_key": "…"}'),
        ('{"client_secret": "GOCSPX-1", "type": "x"}', '{"client_secret": "…", "type": "x"}'),
        ("cut -----BEGIN RSA PRIVATE KEY-----\nMIIE", "cut …"),
        ("proxy http://me:word@proxy:3128 failed", "proxy http://…@proxy:3128 failed"),
        ("Dictionary does not contain key: 'vv'.", "Dictionary does not contain key: 'vv'."),
        ("two\n lines", "two lines"),
        ("", "EEException"),
    ],
)
def test_what_is_told_holds_no_secret(text: str, plain: str) -> None:
    assert redact(ee.EEException(text)) == plain


def test_what_is_told_is_the_services_message_and_short() -> None:
    assert redact(refusal(400, "Bad band", address="https://x?key=AIza1234")) == "Bad band"
    assert len(redact(html(502, b"<p>" * 1000))) < 500
