"""The part of the Cloud Storage JSON API that exports need: list and download objects."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .replies import ApiError, Reply, json_reply

MISSING_BUCKET, MIME = "missing", "image/tiff"


class BucketService:
    """Buckets as subfolders of a folder. Every bucket exists except the one called `missing`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, bucket: str, name: str) -> Path:
        """The file of an object; ApiError 404 if there is no such bucket, 400 if the name leads outside of it."""
        if bucket == MISSING_BUCKET:
            raise ApiError("The specified bucket does not exist.", 404)
        root = (self._folder / bucket).resolve()
        path = (root / name).resolve()
        if not re.fullmatch(r"[a-z0-9._-]+", bucket) or root not in path.parents:
            raise ApiError(f"Invalid bucket or object name: '{bucket}/{name}'.")
        return path

    def list_objects(self, bucket: str, prefix: str, url: str) -> Reply:
        """The objects with a prefix, sorted by name."""
        root = self.path(bucket, "-").parent
        files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
        names = sorted(path.relative_to(root).as_posix() for path in files)
        items = [_object_resource(root, name, url) for name in names if name.startswith(prefix)]
        return json_reply({"kind": "storage#objects", "items": items})

    def get(self, bucket: str, name: str) -> Reply:
        """The content of an object; ApiError 404 if there is none."""
        path = self.path(bucket, name)
        if not path.is_file():
            raise ApiError(f"No such object: {bucket}/{name}", 404)
        return Reply(path.read_bytes(), MIME)


def _object_resource(root: Path, name: str, url: str) -> dict[str, Any]:
    state = (root / name).stat()
    link = f"{url}/download/storage/v1/b/{root.name}/o/{quote(name, safe='')}?alt=media"
    return {
        "kind": "storage#object", "name": name, "bucket": root.name, "size": str(state.st_size), "contentType": MIME,
        "generation": str(state.st_mtime_ns // 1000), "mediaLink": link,
    }  # fmt: skip
