"""What the service does with a request, once HTTP is out of the way."""

import json
import os
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import functions
from .assets import Assets
from .coercion import as_image
from .describe import describe
from .encode import encoded, request_bytes
from .exports import Exports
from .faults import Faults
from .functions.bands import chosen
from .graph import evaluate
from .grids import Grid, authority, upright
from .registry import client_file
from .replies import ApiError, Reply, not_imitated
from .storage import BucketService
from .values import Band, Image

MOST_BYTES, MOST_SIDE, MOST_BANDS = 50_331_648, 32_768, 1024
DOWNLOAD_SIDE = 10_000
TILE, WORLD = 256, 20_037_508.342789244
REMEMBERED = 16

assert functions  # its import registers them


@dataclass(frozen=True)
class Rendering:
    """A thumbnail or a map: what is to be drawn when its pixels are asked for."""

    expression: Mapping[str, Any]
    file_format: str


@dataclass(frozen=True)
class Tiling:
    """A computePixels request understood: bands, grid and format."""

    bands: tuple[Band, ...]
    grid: Grid
    file_format: str


class Service:
    """The state of a server: assets, thumbnails, maps, exports."""

    def __init__(self, world: Path, storage: BucketService, faults: Faults, delay: float) -> None:
        self._assets = Assets(world)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Any] = OrderedDict()
        self._renderings: dict[str, Rendering] = {}
        self._cores = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))
        self.exports = Exports(storage, self.image, delay, faults.failed_exports)
        self._bound: dict[str, Callable[..., Any]] = {
            "Image.load": lambda id: self._assets.image(id),
            "ImageCollection.load": lambda id: self._assets.collection(id),
        }

    def discovery(self, url: str) -> Any:
        """The description of the API that the client builds its methods from."""
        text = client_file("cloud_api_discovery_document.json").read_text()
        text = text.replace("v1alpha", "v1").replace("https://earthengine.googleapis.com/", f"{url}/")
        return json.loads(text)

    def algorithms(self) -> bytes:
        return client_file("algorithms.json").read_bytes()

    def value(self, body: Mapping[str, Any]) -> Any:
        """The value of an expression, as JSON."""
        with self._cores:
            return {"result": describe(self._evaluated(_expression(body)))}

    def image(self, expression: Mapping[str, Any]) -> Image:
        """The image of an expression; ApiError if it is none, or has no bands."""
        image = as_image(self._evaluated(expression))
        if not image.bands:
            raise ApiError("Image has no bands.")
        return image

    def tiling(self, body: Mapping[str, Any]) -> Tiling:
        """What a computePixels request asks for; ApiError where it is too large or has no grid."""
        image, names = self.image(_expression(body)), body.get("bandIds")
        bands = tuple(chosen("Image.select", image, list(names))) if names else image.bands
        grid = _grid(body.get("grid") or {})
        _check(bands, grid, MOST_SIDE)
        return Tiling(bands, grid, str(body.get("fileFormat", "PNG")))

    def pixels(self, tiling: Tiling) -> Reply:
        """The pixels in their format. As many are computed at once as there are cores."""
        with self._cores:
            return encoded(tiling.bands, tiling.grid, tiling.file_format)

    def keep(self, body: Mapping[str, Any], kind: str, project: str) -> dict[str, str]:
        """Remember a thumbnail or a map under a new name; its expression is evaluated, so that what is wrong with it is
        told now."""
        for option in ("bandIds", "visualizationOptions", "grid"):
            if body.get(option):
                raise not_imitated(f"The option {option} of {kind}")
        self.image(_expression(body))
        name = f"projects/{project}/{kind}/{uuid.uuid4().hex}"
        with self._lock:
            self._renderings[name] = Rendering(_expression(body), str(body.get("fileFormat", "AUTO_JPEG_PNG")))
        return {"name": name}

    def download(self, name: str) -> Reply:
        """A thumbnail's pixels on its image's own grid."""
        kept = self._kept(name)
        bands = self.image(kept.expression).bands
        grid = bands[0].grid
        if grid is None:
            raise ApiError("Unable to compute pixels of an unbounded image without a grid.")
        _check(bands, grid, DOWNLOAD_SIDE)
        return self.pixels(Tiling(bands, grid, kept.file_format))

    def tile(self, name: str, zoom: int, x: int, y: int) -> Reply:
        """A map's tile of 256 pixels in web Mercator."""
        kept = self._kept(name)
        if not (0 <= zoom <= 24 and 0 <= x < 2**zoom and 0 <= y < 2**zoom):
            raise ApiError(f"Tile {zoom}/{x}/{y} does not exist.", 404)
        side = 2 * WORLD / 2**zoom
        step = side / TILE
        grid = Grid("EPSG:3857", (step, 0.0, x * side - WORLD, 0.0, -step, WORLD - y * side), (TILE, TILE))
        return self.pixels(Tiling(self.image(kept.expression).bands, grid, kept.file_format))

    def _kept(self, name: str) -> Rendering:
        with self._lock:
            if name not in self._renderings:
                raise ApiError(f"'{name}' not found.", 404)
            return self._renderings[name]

    def _evaluated(self, expression: Mapping[str, Any]) -> Any:
        """An expression's value: metadata only, so that the same for all tiles of an image is remembered."""
        key = json.dumps(expression, sort_keys=True)
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        value = evaluate(expression, self._bound)
        with self._lock:
            self._known[key] = value
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return value


def _expression(body: Mapping[str, Any]) -> Mapping[str, Any]:
    found = body.get("expression")
    if not isinstance(found, Mapping):
        raise ApiError("Invalid request: no expression.")
    return found


def _grid(told: Mapping[str, Any]) -> Grid:
    """The grid of a request; ApiError if it is none."""
    size, affine = told.get("dimensions") or {}, told.get("affineTransform") or {}
    shape = int(size.get("height", 0)), int(size.get("width", 0))
    if min(shape) < 1:
        raise ApiError("Invalid grid: dimensions must be positive.")
    keys = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
    transform = upright(affine.get(key, 0) for key in keys)
    crs = told.get("crsCode") or told.get("crsWkt")
    if not crs:
        raise ApiError("Invalid grid: crsCode or crsWkt is required.")
    try:
        return Grid(authority(str(crs)), transform, shape)
    except ValueError as error:
        raise ApiError(f"Invalid grid: The CRS '{crs}' could not be parsed.") from error


def _check(bands: Sequence[Band], grid: Grid, longest: int) -> None:
    height, width = grid.shape
    if max(grid.shape) > longest:
        raise ApiError(f"Pixel grid dimensions ({width}x{height}) must be less than or equal to {longest}.")
    if len(bands) > MOST_BANDS:
        raise ApiError(f"Number of bands ({len(bands)}) must be less than or equal to {MOST_BANDS}.")
    size = request_bytes(bands, grid)
    if size > MOST_BYTES:
        raise ApiError(f"Total request size ({size} bytes) must be less than or equal to {MOST_BYTES} bytes.")
