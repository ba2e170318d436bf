"""Signing in to Earth Engine with the credentials that are on the machine, without a prompt.

Credentials are looked for where Google's own tools store them: the file that `GOOGLE_APPLICATION_CREDENTIALS` names (a
service account's key, for instance), the token of `earthengine authenticate`, and application default credentials.
Messages and records name their kind and place only. `LANDSLIDE_EARTHENGINE_URL` names another endpoint: the high-volume
one, or a simulated Earth Engine on loopback, which needs no account.
"""

import json
import os
import socket
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ee
import google.auth
import httplib2
import requests
import urllib3
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.auth.transport.urllib3 import AuthorizedHttp
from google.oauth2.credentials import Credentials as UserCredentials
from googleapiclient.errors import HttpError
from requests.adapters import HTTPAdapter

from landslide.errors import SourceError
from landslide.sources.earthengine.errors import redact

STANDARD = "https://earthengine.googleapis.com"
URL, PROJECTS = "LANDSLIDE_EARTHENGINE_URL", ("EARTHENGINE_PROJECT", "GOOGLE_CLOUD_PROJECT")
KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
SCOPES = ("https://www.googleapis.com/auth/earthengine", "https://www.googleapis.com/auth/cloud-platform")
CONNECT_SECONDS, REPLY_SECONDS = 10.0, 330.0  # a computation may take Google five minutes
POOL = 40
SIGN_IN = (
    "Run `earthengine authenticate`, or set GOOGLE_APPLICATION_CREDENTIALS to the path of a service account's key file"
)
_lock = threading.Lock()
_current: "Session | None" = None


@dataclass(frozen=True)
class FoundCredentials:
    """Credentials; their representation shows kind and place only."""

    kind: str
    place: str
    project: str | None
    credentials: Any = field(repr=False)


@dataclass(frozen=True)
class Session:
    """A connection: the endpoint, the project that is charged, and the credentials."""

    url: str
    project: str
    kind: str
    place: str
    credentials: Any = field(repr=False)

    @property
    def loopback(self) -> bool:
        """Whether a simulated Earth Engine answers."""
        return is_loopback(self.url)

    @cached_property
    def _http(self) -> AuthorizedHttp:
        """A pool of urllib3, which takes half the processor time of requests; all threads share one interpreter."""
        settings = requests.Session().merge_environment_settings(self.url, {}, None, None, None)
        proxy, certificates = settings["proxies"].get(urlsplit(self.url).scheme), settings["verify"]
        options: dict[str, Any] = {
            "maxsize": POOL,
            "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=REPLY_SECONDS),
            "retries": False,
            "ca_certs": certificates if isinstance(certificates, str) else requests.utils.DEFAULT_CA_BUNDLE_PATH,
        }
        pool = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
        return AuthorizedHttp(self.credentials, http=pool)  # type: ignore[no-untyped-call]

    def compute_pixels(self, body: bytes) -> bytes:
        """The reply of the REST method `image:computePixels` to a request that is JSON already, from any thread.

        The client's own `ee.data.computePixels` encodes the expression again for every tile: 57 ms for all bands of a
        case, while all other threads wait. Raises HttpError with status, headers and body, as the client does inside.
        """
        address = f"{self.url}/v1/projects/{self.project}/image:computePixels"
        headers = {"Content-Type": "application/json"}
        if not self.loopback:
            headers["X-Goog-User-Project"] = self.project
        reply = self._http.urlopen("POST", address, body=body, headers=headers)  # type: ignore[no-untyped-call]
        if reply.status != HTTPStatus.OK:
            raise HttpError(httplib2.Response({**reply.headers, "status": str(reply.status)}), reply.data)
        return bytes(reply.data)


def endpoint() -> str:
    """The address of the service."""
    return os.environ.get(URL, STANDARD).rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def find_credentials() -> FoundCredentials:
    """The credentials of this machine; SourceError with the command that provides them where there are none."""
    if os.environ.get(KEY_FILE):
        return _from_file(Path(os.environ[KEY_FILE]))
    if is_loopback(endpoint()):
        return FoundCredentials("none needed", "simulated Earth Engine", "loopback", AnonymousCredentials())  # type: ignore[no-untyped-call]
    return _stored_token() or _application_default()


def connect(project: str | None = None) -> Session:
    """The session of this process, which is opened at the first call; SourceError where it cannot be.

    A process has one session, as the client is global: one on another endpoint or for another project is refused.
    """
    global _current
    with _lock:
        found = find_credentials()
        wanted = (endpoint(), _project(project, found))
        if _current is None or (_current.url, _current.project) != wanted:
            if _current is not None and not (_current.loopback and is_loopback(wanted[0])):
                raise SourceError(
                    f"this process already works for Earth Engine project {_current.project} at {_current.url}; "
                    f"{wanted[1]} at {wanted[0]} needs a run of its own"
                )
            _current = _initialise(found, *wanted)
        return _current


def _project(given: str | None, found: FoundCredentials) -> str:
    from_environment = next((os.environ[name] for name in PROJECTS if os.environ.get(name)), None)
    project = given or from_environment or found.project
    if not project:
        raise SourceError(
            f"Earth Engine needs a Google Cloud project to work for, and the {found.kind} credentials in {found.place} "
            "name none. Set `project` in the case's source, or EARTHENGINE_PROJECT, or run `earthengine set_project ID`"
        )
    return project


def _initialise(found: FoundCredentials, url: str, project: str) -> Session:
    transport = Transport()
    try:
        with _socket_timeout():
            ee.Initialize(credentials=found.credentials, url=url, project=project, http_transport=transport)
    except (ee.EEException, GoogleAuthError, OSError, httplib2.HttpLib2Error) as error:
        raise SourceError(
            f"cannot sign in to Earth Engine at {url} for project {project} with the {found.kind} credentials in "
            f"{found.place}: {redact(error)}. Run `landslide doctor` for what is missing"
        ) from None
    ee.data.setMaxRetries(0)  # `query` and `export.tiles` decide what is requested again, and when
    return Session(url, project, found.kind, found.place, found.credentials)


@contextmanager
def _socket_timeout() -> Iterator[None]:
    """A time limit for the client's own look-up of deprecated assets, which would hang behind a firewall."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _from_file(path: Path) -> FoundCredentials:
    try:
        content = json.loads(path.read_text())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            credentials, project = google.auth.load_credentials_from_file(str(path), scopes=SCOPES)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, GoogleAuthError) as error:
        raise SourceError(f"{KEY_FILE} names {path}, which holds no usable credentials ({type(error).__name__}). "
                          f"{SIGN_IN}") from None  # fmt: skip
    kind = str(content.get("type", "unknown")).replace("_", " ")
    return FoundCredentials(kind, f"{path} ({KEY_FILE})", project or content.get("quota_project_id"), credentials)


def _stored_token() -> FoundCredentials | None:
    path = Path(ee.oauth.get_credentials_path())
    try:
        content: Mapping[str, Any] = ee.oauth.get_credentials_arguments()
    except (OSError, ValueError, KeyError):
        return None
    if not content.get("refresh_token"):
        return None
    credentials = UserCredentials(None, **content)  # type: ignore[no-untyped-call]
    return FoundCredentials("stored user token", str(path), content.get("quota_project_id"), credentials)


def _application_default() -> FoundCredentials:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            credentials, project = google.auth.default(scopes=SCOPES)
    except DefaultCredentialsError:
        raise SourceError(f"no Google credentials on this machine. {SIGN_IN}") from None
    return FoundCredentials(
        "application default", "this machine", project or getattr(credentials, "quota_project_id", None), credentials
    )


def _pool() -> HTTPAdapter:
    return HTTPAdapter(pool_connections=4, pool_maxsize=POOL)


class Transport:
    """The client's transport: `requests` with a pool for every request in flight, and time limits.

    It has httplib2's interface, and raises ConnectionError and TimeoutError as the client expects.
    """

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.mount("http://", _pool())
        self._session.mount("https://", _pool())

    def request(
        self, uri: str, method: str = "GET", body: Any = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> tuple[httplib2.Response, bytes]:
        """One request: httplib2's response and the body."""
        try:
            reply = self._session.request(
                method, uri, data=body, headers=headers, timeout=(CONNECT_SECONDS, REPLY_SECONDS)
            )
        except requests.exceptions.Timeout as error:
            raise TimeoutError(redact(error)) from error
        except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            raise ConnectionError(redact(error)) from error
        return httplib2.Response({**reply.headers, "status": str(reply.status_code)}), reply.content
