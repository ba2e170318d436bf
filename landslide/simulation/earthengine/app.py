"""The routes of the service, with authentication, fault injection and the record of requests."""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .faults import FaultDecision, Faults
from .record import Record, TileRecord
from .replies import ApiError, Reply, json_reply
from .service import EarthEngineService
from .storage import BucketService

MAX_CONCURRENT = 40
FORBIDDEN_PROJECT = "forbidden"
PUBLIC_ROUTES = ("discovery", "token", "getPixels", "tiles")

PathParameters = Mapping[str, str]


class CutError(Exception):
    """Close the connection: without a reply, or after the first half of `reply`."""

    def __init__(self, reply: Reply | None = None) -> None:
        super().__init__()
        self.reply = reply


@dataclass(frozen=True)
class HttpRequest:
    """One request: parameters of its path, its query, its body decoded from JSON or a form."""

    parts: PathParameters
    query: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True)
class ServerSettings:
    """Faults to inject, minimum duration of a computed reply in seconds, and the bearer token, if one is required."""

    faults: Faults
    delay: float
    token: str | None


class App:
    """The handlers of the routes and their shared state."""

    def __init__(self, world: Path, folder: Path, settings: ServerSettings) -> None:
        self.settings, self.record = settings, Record()
        self.storage = BucketService(folder)
        self.service = EarthEngineService(world, self.storage, settings.faults, settings.delay)
        self.url = ""

    def handle(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """The reply to a request.

        Args:
            method: HTTP method.
            target: Path and query.
            body: JSON, a form, or empty.
            headers: By lower-case name.

        Raises:
            ApiError: The reply is an error.
            CutError: The connection is to be closed.
        """
        address = urlsplit(target)
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        for name, route_method, pattern, handler in ROUTES:
            match = pattern.fullmatch(address.path)
            if route_method != method or match is None:
                continue
            self.record.count(name)
            parts = {key: unquote(value) for key, value in match.groupdict().items()}
            self._authorize(name, parts, headers)
            return handler(self, HttpRequest(parts, query, _parsed(body, headers)))
        self.record.count("unknown")
        raise ApiError(f"The requested URL {address.path} was not found on this server.", 404)

    def _authorize(self, route: str, parts: PathParameters, headers: Mapping[str, str]) -> None:
        token = self.settings.token
        if token is not None and route not in PUBLIC_ROUTES and headers.get("authorization") != f"Bearer {token}":
            raise ApiError("Request had invalid authentication credentials. Expected OAuth 2 access token.", 401)
        if parts.get("project") == FORBIDDEN_PROJECT:
            raise ApiError(
                "Caller does not have required permission to use project forbidden. Grant the caller the "
                "roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use "
                "permission.",
                403,
            )

    def discovery(self, request: HttpRequest) -> Reply:
        return json_reply(self.service.discovery(self.url))

    def algorithms(self, request: HttpRequest) -> Reply:
        return Reply(self.service.algorithms())

    def token(self, request: HttpRequest) -> Reply:
        """OAuth 2: an access token for a service account's assertion or a refresh token."""
        grant = request.body.get("grant_type", "")
        known = {"urn:ietf:params:oauth:grant-type:jwt-bearer": "assertion", "refresh_token": "refresh_token"}
        if grant not in known or not request.body.get(known[grant]):
            return json_reply({"error": "invalid_grant", "error_description": f"Unsupported grant: {grant}"}, 400)
        access = self.settings.token or "loopback-token"
        return json_reply({"access_token": access, "expires_in": 3600, "token_type": "Bearer"})

    def value(self, request: HttpRequest) -> Reply:
        return self._compute("value:compute", lambda decision: json_reply(self.service.value(request.body)))

    def pixels(self, request: HttpRequest) -> Reply:
        return self._compute("computePixels", lambda decision: self._pixels(decision, request.body), request.body)

    def _pixels(self, decision: FaultDecision | None, body: Mapping[str, Any]) -> Reply:
        pixel_request = self.service.pixel_request(body)
        if decision is not None:
            decision.check_memory(pixel_request.grid.shape[0] * pixel_request.grid.shape[1])
        return self.service.pixels(pixel_request)

    def _compute(
        self, route: str, compute: Callable[[FaultDecision | None], Reply], body: Mapping[str, Any] | None = None
    ) -> Reply:
        """A computed reply: recorded, limited in concurrency, delayed, and subject to faults."""
        with self.record.computing() as (number, current):
            tile = None if body is None else _tile_record(number, body)
            if tile is not None:
                self.record.add_tile(tile)
            try:
                reply = self._with_faults(route, number, current, compute)
            except ApiError as error:
                _finish(tile, error.code, error.message)
                raise
            except CutError:
                _finish(tile, 0, None)
                raise
            _finish(tile, reply.status, None)
            return reply

    def _with_faults(
        self, route: str, number: int, current: int, compute: Callable[[FaultDecision | None], Reply]
    ) -> Reply:
        if current > MAX_CONCURRENT:
            raise ApiError("Too many concurrent aggregations.", 429)
        faults = self.settings.faults
        decision = faults.decide(number) if route in faults.routes else None
        wait = self.settings.delay
        if decision is not None:
            wait += faults.slow_by if decision.hits["slow"] else 0.0
            if decision.hits["cut"]:
                time.sleep(wait)
                raise CutError
            decision.check_refusal()
        started = time.monotonic()
        reply = compute(decision)
        # The delay is the minimum duration of a reply, so the time to compute counts towards it.
        time.sleep(max(0.0, wait - (time.monotonic() - started)))
        if decision is not None and decision.hits["half"]:
            raise CutError(reply)
        return reply

    def thumbnails(self, request: HttpRequest) -> Reply:
        return json_reply(self.service.save_rendering(request.body, "thumbnails", request.parts["project"]))

    def maps(self, request: HttpRequest) -> Reply:
        return json_reply(self.service.save_rendering(request.body, "maps", request.parts["project"]))

    def download(self, request: HttpRequest) -> Reply:
        name = f"projects/{request.parts['project']}/thumbnails/{request.parts['id']}"
        return self._compute("getPixels", lambda decision: self.service.download(name))

    def tile(self, request: HttpRequest) -> Reply:
        parts = request.parts
        name = f"projects/{parts['project']}/maps/{parts['id']}"
        return self.service.tile(name, int(parts["z"]), int(parts["x"]), int(parts["y"]))

    def export(self, request: HttpRequest) -> Reply:
        return json_reply(self.service.exports.start(request.parts["project"], request.body))

    def operation(self, request: HttpRequest) -> Reply:
        return json_reply(self.service.exports.get(_operation(request)))

    def cancel(self, request: HttpRequest) -> Reply:
        return json_reply(self.service.exports.cancel(_operation(request)))

    def objects(self, request: HttpRequest) -> Reply:
        return self.storage.list_objects(request.parts["bucket"], request.query.get("prefix", ""), self.url)

    def object(self, request: HttpRequest) -> Reply:
        return self.storage.get(request.parts["bucket"], request.parts["name"])


PROJECT, OBJECTS = "/v1/projects/(?P<project>[^/:]+)", "/storage/v1/b/(?P<bucket>[^/]+)/o"
TABLE: list[tuple[str, str, str, Callable[[App, HttpRequest], Reply]]] = [
    ("discovery", "GET", r"/\$discovery/rest", App.discovery),
    ("token", "POST", "/token", App.token),
    ("algorithms", "GET", f"{PROJECT}/algorithms", App.algorithms),
    ("value:compute", "POST", f"{PROJECT}/value:compute", App.value),
    ("computePixels", "POST", f"{PROJECT}/image:computePixels", App.pixels),
    ("thumbnails", "POST", f"{PROJECT}/thumbnails", App.thumbnails),
    ("getPixels", "GET", f"{PROJECT}/thumbnails/(?P<id>[^/:]+):getPixels", App.download),
    ("maps", "POST", f"{PROJECT}/maps", App.maps),
    ("tiles", "GET", rf"{PROJECT}/maps/(?P<id>[^/]+)/tiles/(?P<z>\d+)/(?P<x>\d+)/(?P<y>\d+)", App.tile),
    ("export", "POST", f"{PROJECT}/image:export", App.export),
    ("operation", "GET", f"{PROJECT}/operations/(?P<id>[^/:]+)", App.operation),
    ("cancel", "POST", f"{PROJECT}/operations/(?P<id>[^/:]+):cancel", App.cancel),
    ("objects", "GET", OBJECTS, App.objects),
    ("object", "GET", f"/download{OBJECTS}/(?P<name>.+)", App.object),
]
ROUTES = [(name, method, re.compile(pattern), handler) for name, method, pattern, handler in TABLE]


def _operation(request: HttpRequest) -> str:
    return f"projects/{request.parts['project']}/operations/{request.parts['id']}"


def _parsed(body: bytes, headers: Mapping[str, str]) -> Mapping[str, Any]:
    """The body decoded from JSON or a form; ApiError if it is neither."""
    if not body:
        return {}
    if "x-www-form-urlencoded" in headers.get("content-type", ""):
        return dict(parse_qsl(body.decode()))
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(f"Invalid JSON payload received: {error}.") from error
    if not isinstance(parsed, dict):
        raise ApiError("Invalid JSON payload received: no object.")
    return parsed


def _tile_record(number: int, body: Mapping[str, Any]) -> TileRecord:
    grid = body.get("grid") or {}
    affine, size = grid.get("affineTransform") or {}, grid.get("dimensions") or {}
    corner = affine.get("translateX", 0.0), affine.get("translateY", 0.0)
    shape = int(size.get("width", 0)), int(size.get("height", 0))
    return TileRecord(number, corner, shape, body.get("workloadTag"), time.monotonic())


def _finish(tile: TileRecord | None, status: int, message: str | None) -> None:
    if tile is not None:
        tile.status, tile.message, tile.ended = status, message, time.monotonic()
