"""Cloud BucketService as far as exports need it: objects of buckets, listed and fetched by JSON API."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .replies import ApiError, Reply, json_reply

MISSING, MIME = "missing", "image/tiff"


class BucketService:
    """Buckets as folders below one; every bucket exists except the one called `missing`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, bucket: str, name: str) -> Path:
        """Where an object lies; ApiError 404 if there is no such bucket, 400 if the name leads out of it."""
        if bucket == MISSING:
            raise ApiError("The specified bucket does not exist.", 404)
        root = (self._folder / bucket).resolve()
        path = (root / name).resolve()
        if not re.fullmatch(r"[a-z0-9._-]+", bucket) or root not in path.parents:
            raise ApiError(f"Invalid bucket or object name: '{bucket}/{name}'.")
        return path

    def listing(self, bucket: str, prefix: str, url: str) -> Reply:
        """Objects by prefix, in order of their names."""
        root = self.path(bucket, "-").parent
        files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
        names = sorted(path.relative_to(root).as_posix() for path in files)
        items = [_told(root, name, url) for name in names if name.startswith(prefix)]
        return json_reply({"kind": "storage#objects", "items": items})

    def get(self, bucket: str, name: str) -> Reply:
        """An object's content."""
        path = self.path(bucket, name)
        if not path.is_file():
            raise ApiError(f"No such object: {bucket}/{name}", 404)
        return Reply(path.read_bytes(), MIME)


def _told(root: Path, name: str, url: str) -> dict[str, Any]:
    state = (root / name).stat()
    link = f"{url}/download/storage/v1/b/{root.name}/o/{quote(name, safe='')}?alt=media"
    return {
        "kind": "storage#object", "name": name, "bucket": root.name, "size": str(state.st_size), "contentType": MIME,
        "generation": str(state.st_mtime_ns // 1000), "mediaLink": link,
    }  # fmt: skip
