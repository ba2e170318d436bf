"""The routes: which request is answered by what, with tokens, faults and bookkeeping around it."""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from .faults import Decision, Faults
from .record import Asked, Record
from .replies import ApiError, Reply, json_reply
from .service import Service
from .storage import BucketService

MOST_AT_ONCE = 40
FORBIDDEN = "forbidden"
OPEN = ("discovery", "token", "getPixels", "tiles")

Match = Mapping[str, str]


class CutError(Exception):
    """The connection is to be closed: without a reply, or in the midst of the reply it carries."""

    def __init__(self, reply: Reply | None = None) -> None:
        super().__init__()
        self.reply = reply


@dataclass(frozen=True)
class Request:
    """One request: the parts of its path, its query, its body as JSON or form."""

    parts: Match
    query: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True)
class Settings:
    """How a server answers."""

    faults: Faults
    delay: float
    token: str | None


class App:
    """The routes and what they share."""

    def __init__(self, world: Path, folder: Path, settings: Settings) -> None:
        self.settings, self.record = settings, Record()
        self.storage = BucketService(folder)
        self.service = Service(world, self.storage, settings.faults, settings.delay)
        self.url = ""

    def answer(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """The reply to a request; ApiError or CutError where there is another."""
        address = urlsplit(target)
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        for name, wanted, pattern, handler in ROUTES:
            match = pattern.fullmatch(address.path)
            if wanted != method or match is None:
                continue
            self.record.count(name)
            parts = {key: unquote(value) for key, value in match.groupdict().items()}
            self._admit(name, parts, headers)
            return handler(self, Request(parts, query, _parsed(body, headers)))
        self.record.count("unknown")
        raise ApiError(f"The requested URL {address.path} was not found on this server.", 404)

    def _admit(self, route: str, parts: Match, headers: Mapping[str, str]) -> None:
        token = self.settings.token
        if token is not None and route not in OPEN and headers.get("authorization") != f"Bearer {token}":
            raise ApiError("Request had invalid authentication credentials. Expected OAuth 2 access token.", 401)
        if parts.get("project") == FORBIDDEN:
            raise ApiError(
                "Caller does not have required permission to use project forbidden. Grant the caller the "
                "roles/serviceusage.serviceUsageConsumer role, or a custom role with the serviceusage.services.use "
                "permission.",
                403,
            )

    def discovery(self, request: Request) -> Reply:
        return json_reply(self.service.discovery(self.url))

    def algorithms(self, request: Request) -> Reply:
        return Reply(self.service.algorithms())

    def token(self, request: Request) -> Reply:
        """OAuth 2: an access token for a service account's assertion or for a refresh token."""
        grant = request.body.get("grant_type", "")
        known = {"urn:ietf:params:oauth:grant-type:jwt-bearer": "assertion", "refresh_token": "refresh_token"}
        if grant not in known or not request.body.get(known[grant]):
            return json_reply({"error": "invalid_grant", "error_description": f"Unsupported grant: {grant}"}, 400)
        access = self.settings.token or "loopback-token"
        return json_reply({"access_token": access, "expires_in": 3600, "token_type": "Bearer"})

    def value(self, request: Request) -> Reply:
        return self._computed("value:compute", lambda decision: json_reply(self.service.value(request.body)))

    def pixels(self, request: Request) -> Reply:
        return self._computed("computePixels", lambda decision: self._pixels(decision, request.body), request.body)

    def _pixels(self, decision: Decision | None, body: Mapping[str, Any]) -> Reply:
        tiling = self.service.tiling(body)
        if decision is not None:
            decision.strain(tiling.grid.shape[0] * tiling.grid.shape[1])
        return self.service.pixels(tiling)

    def _computed(
        self, route: str, compute: Callable[[Decision | None], Reply], body: Mapping[str, Any] | None = None
    ) -> Reply:
        """A reply that takes computing: counted, limited, delayed, and subject to faults."""
        with self.record.computing() as (number, current):
            asked = None if body is None else _asked(number, body)
            if asked is not None:
                self.record.asked(asked)
            try:
                reply = self._faulty(route, number, current, compute)
            except ApiError as error:
                _close(asked, error.code, error.message)
                raise
            except CutError:
                _close(asked, 0, None)
                raise
            _close(asked, reply.status, None)
            return reply

    def _faulty(self, route: str, number: int, current: int, compute: Callable[[Decision | None], Reply]) -> Reply:
        if current > MOST_AT_ONCE:
            raise ApiError("Too many concurrent aggregations.", 429)
        faults = self.settings.faults
        decision = faults.decide(number) if route in faults.routes else None
        wait = self.settings.delay
        if decision is not None:
            wait += faults.slow_by if decision.hits["slow"] else 0.0
            if decision.hits["cut"]:
                time.sleep(wait)
                raise CutError
            decision.refuse()
        began = time.monotonic()
        reply = compute(decision)
        # The delay is what a reply takes at least: computing counts towards it.
        time.sleep(max(0.0, wait - (time.monotonic() - began)))
        if decision is not None and decision.hits["half"]:
            raise CutError(reply)
        return reply

    def thumbnails(self, request: Request) -> Reply:
        return json_reply(self.service.keep(request.body, "thumbnails", request.parts["project"]))

    def maps(self, request: Request) -> Reply:
        return json_reply(self.service.keep(request.body, "maps", request.parts["project"]))

    def download(self, request: Request) -> Reply:
        name = f"projects/{request.parts['project']}/thumbnails/{request.parts['id']}"
        return self._computed("getPixels", lambda decision: self.service.download(name))

    def tile(self, request: Request) -> Reply:
        parts = request.parts
        name = f"projects/{parts['project']}/maps/{parts['id']}"
        return self.service.tile(name, int(parts["z"]), int(parts["x"]), int(parts["y"]))

    def export(self, request: Request) -> Reply:
        return json_reply(self.service.exports.start(request.parts["project"], request.body))

    def operation(self, request: Request) -> Reply:
        return json_reply(self.service.exports.get(_operation(request)))

    def cancel(self, request: Request) -> Reply:
        return json_reply(self.service.exports.cancel(_operation(request)))

    def objects(self, request: Request) -> Reply:
        return self.storage.listing(request.parts["bucket"], request.query.get("prefix", ""), self.url)

    def object(self, request: Request) -> Reply:
        return self.storage.get(request.parts["bucket"], request.parts["name"])


PROJECT, OBJECTS = "/v1/projects/(?P<project>[^/:]+)", "/storage/v1/b/(?P<bucket>[^/]+)/o"
TABLE: list[tuple[str, str, str, Callable[[App, Request], Reply]]] = [
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


def _operation(request: Request) -> str:
    return f"projects/{request.parts['project']}/operations/{request.parts['id']}"


def _parsed(body: bytes, headers: Mapping[str, str]) -> Mapping[str, Any]:
    """The body as JSON or as a form; ApiError if it is neither."""
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


def _asked(number: int, body: Mapping[str, Any]) -> Asked:
    grid = body.get("grid") or {}
    affine, size = grid.get("affineTransform") or {}, grid.get("dimensions") or {}
    corner = affine.get("translateX", 0.0), affine.get("translateY", 0.0)
    shape = int(size.get("width", 0)), int(size.get("height", 0))
    return Asked(number, corner, shape, body.get("workloadTag"), time.monotonic())


def _close(asked: Asked | None, status: int, message: str | None) -> None:
    if asked is not None:
        asked.status, asked.message, asked.ended = status, message, time.monotonic()
