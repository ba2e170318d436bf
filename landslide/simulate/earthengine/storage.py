"""Cloud Storage as far as exports need it: objects of buckets, listed, described, fetched and deleted by JSON API."""

import base64
import hashlib
import mimetypes
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .errors import ApiError
from .replies import Reply, json_reply

MISSING = "missing"
PAGE = 1000


class Storage:
    """Buckets as folders below one; every bucket exists except the one called `missing`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashes: dict[tuple[Path, int], str] = {}
        self._lock = threading.Lock()

    def path(self, bucket: str, name: str) -> Path:
        """Where an object lies; ApiError 404 if there is no such bucket, 400 if the name leads out of it."""
        if bucket == MISSING:
            raise ApiError("The specified bucket does not exist.", 404)
        root = (self._folder / bucket).resolve()
        path = (root / name).resolve()
        if not re.fullmatch(r"[a-z0-9._-]+", bucket) or root not in path.parents:
            raise ApiError(f"Invalid bucket or object name: '{bucket}/{name}'.")
        return path

    def bucket(self, bucket: str, url: str) -> Reply:
        """A bucket's description."""
        self.path(bucket, "-")
        return json_reply(
            {"kind": "storage#bucket", "id": bucket, "name": bucket, "selfLink": f"{url}/storage/v1/b/{bucket}"}
        )

    def listing(self, bucket: str, query: Mapping[str, str], url: str) -> Reply:
        """Objects by prefix, in order of their names, in pages; folders by a delimiter."""
        self.path(bucket, "-")
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        names = [name for name in self._names(bucket) if name.startswith(prefix)]
        folders: set[str] = set()
        if delimiter:
            cut = [(name, name.find(delimiter, len(prefix))) for name in names]
            folders = {name[: place + len(delimiter)] for name, place in cut if place >= 0}
            names = [name for name, place in cut if place < 0]
        names = [name for name in names if name > query.get("pageToken", "")]
        size = int(query.get("maxResults", PAGE))
        told: dict[str, Any] = {"kind": "storage#objects", "items": [self._told(bucket, n, url) for n in names[:size]]}
        if len(names) > size:
            told["nextPageToken"] = names[size - 1]
        return json_reply(told | ({"prefixes": sorted(folders)} if folders else {}))

    def get(self, bucket: str, name: str, media: bool, span: str | None, url: str) -> Reply:
        """An object's description, or its content: all of it or a range of bytes."""
        path = self._existing(bucket, name)
        if not media:
            return json_reply(self._told(bucket, name, url))
        content = path.read_bytes()
        headers = {"X-Goog-Hash": f"md5={self._md5(path)}", "X-Goog-Generation": str(path.stat().st_mtime_ns // 1000)}
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", span or "")
        if match is None:
            return Reply(content, kind, 200, headers)
        start, end = int(match[1]), int(match[2]) if match[2] else len(content) - 1
        if start >= len(content):
            return Reply(b"", kind, 416, {"Content-Range": f"bytes */{len(content)}"})
        end = min(end, len(content) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        return Reply(content[start : end + 1], kind, 206, headers)

    def delete(self, bucket: str, name: str) -> Reply:
        self._existing(bucket, name).unlink()
        return Reply(b"", "application/json", 204)

    def _existing(self, bucket: str, name: str) -> Path:
        path = self.path(bucket, name)
        if not path.is_file():
            raise ApiError(f"No such object: {bucket}/{name}", 404)
        return path

    def _names(self, bucket: str) -> list[str]:
        return sorted(self._walk(self._folder / bucket))

    def _walk(self, root: Path) -> Iterator[str]:
        for path in root.rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(root).as_posix()

    def _told(self, bucket: str, name: str, url: str) -> dict[str, Any]:
        path = self._existing(bucket, name)
        state = path.stat()
        generation = str(state.st_mtime_ns // 1000)
        when = datetime.fromtimestamp(state.st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        place = f"b/{bucket}/o/{quote(name, safe='')}"
        return {
            "kind": "storage#object", "id": f"{bucket}/{name}/{generation}", "name": name, "bucket": bucket,
            "generation": generation, "metageneration": "1", "size": str(state.st_size), "timeCreated": when,
            "updated": when, "md5Hash": self._md5(path), "storageClass": "STANDARD", "etag": generation,
            "contentType": mimetypes.guess_type(name)[0] or "application/octet-stream",
            "selfLink": f"{url}/storage/v1/{place}",
            "mediaLink": f"{url}/download/storage/v1/{place}?generation={generation}&alt=media",
        }  # fmt: skip

    def _md5(self, path: Path) -> str:
        key = (path, path.stat().st_mtime_ns)
        with self._lock:
            if key not in self._hashes:
                digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).digest()
                self._hashes[key] = base64.b64encode(digest).decode()
            return self._hashes[key]
