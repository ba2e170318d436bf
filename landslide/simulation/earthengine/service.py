"""The operations of the service, independent of HTTP."""

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
from .encode import encode_pixels, request_bytes
from .exports import Exports
from .faults import Faults
from .functions.bands import select_bands
from .graph import evaluate
from .grids import Grid, axis_aligned, crs_code
from .registry import client_file
from .replies import ApiError, Reply, unsupported
from .storage import BucketService
from .values import Image, ImageBand

MAX_REQUEST_BYTES, MAX_SIDE, MAX_BANDS = 50_331_648, 32_768, 1024
DOWNLOAD_SIDE = 10_000
TILE_SIZE, HALF_WORLD = 256, 20_037_508.342789244
CACHED_VALUES = 16

assert functions  # the import registers Earth Engine's functions


@dataclass(frozen=True)
class Rendering:
    """A thumbnail or a map: the expression and the format in which its pixels are later requested."""

    expression: Mapping[str, Any]
    file_format: str


@dataclass(frozen=True)
class PixelRequest:
    """A parsed computePixels request: bands, grid and format."""

    bands: tuple[ImageBand, ...]
    grid: Grid
    file_format: str


class EarthEngineService:
    """The service's state (assets, thumbnails, maps, exports) and operations."""

    def __init__(self, world: Path, storage: BucketService, faults: Faults, delay: float) -> None:
        self._assets = Assets(world)
        self._lock = threading.Lock()
        self._values: OrderedDict[str, Any] = OrderedDict()
        self._renderings: dict[str, Rendering] = {}
        self._compute_slots = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))
        self.exports = Exports(storage, self.image, delay, faults.failed_exports)
        self._loaders: dict[str, Callable[..., Any]] = {
            "Image.load": lambda id: self._assets.image(id),
            "ImageCollection.load": lambda id: self._assets.collection(id),
        }

    def discovery(self, url: str) -> Any:
        """The API discovery document, from which the client builds its methods."""
        text = client_file("cloud_api_discovery_document.json").read_text()
        text = text.replace("v1alpha", "v1").replace("https://earthengine.googleapis.com/", f"{url}/")
        return json.loads(text)

    def algorithms(self) -> bytes:
        return client_file("algorithms.json").read_bytes()

    def value(self, body: Mapping[str, Any]) -> Any:
        """The value of an expression, as JSON."""
        with self._compute_slots:
            return {"result": describe(self._evaluate(_expression(body)))}

    def image(self, expression: Mapping[str, Any]) -> Image:
        """The image of an expression; ApiError if its value is not an image or has no bands."""
        image = as_image(self._evaluate(expression))
        if not image.bands:
            raise ApiError("Image has no bands.")
        return image

    def pixel_request(self, body: Mapping[str, Any]) -> PixelRequest:
        """Parse a computePixels request; ApiError if it is too large or has no valid grid."""
        image, names = self.image(_expression(body)), body.get("bandIds")
        bands = tuple(select_bands("Image.select", image, list(names))) if names else image.bands
        grid = _grid(body.get("grid") or {})
        _check(bands, grid, MAX_SIDE)
        return PixelRequest(bands, grid, str(body.get("fileFormat", "PNG")))

    def pixels(self, pixel_request: PixelRequest) -> Reply:
        """The encoded pixels. At most one request for each CPU core, and at least two, are computed at a time."""
        with self._compute_slots:
            return encode_pixels(pixel_request.bands, pixel_request.grid, pixel_request.file_format)

    def save_rendering(self, body: Mapping[str, Any], kind: str, project: str) -> dict[str, str]:
        """Save a thumbnail or a map and return its name. The expression is evaluated now, to report its errors."""
        for option in ("bandIds", "visualizationOptions", "grid"):
            if body.get(option):
                raise unsupported(f"The option {option} of {kind}")
        self.image(_expression(body))
        name = f"projects/{project}/{kind}/{uuid.uuid4().hex}"
        with self._lock:
            self._renderings[name] = Rendering(_expression(body), str(body.get("fileFormat", "AUTO_JPEG_PNG")))
        return {"name": name}

    def download(self, name: str) -> Reply:
        """The pixels of a thumbnail on the grid of its image."""
        rendering = self._rendering(name)
        bands = self.image(rendering.expression).bands
        grid = bands[0].grid
        if grid is None:
            raise ApiError("Unable to compute pixels of an unbounded image without a grid.")
        _check(bands, grid, DOWNLOAD_SIDE)
        return self.pixels(PixelRequest(bands, grid, rendering.file_format))

    def tile(self, name: str, zoom: int, x: int, y: int) -> Reply:
        """A map tile of 256 x 256 pixels in web Mercator.

        Args:
            name: Name of the map.
            zoom: Zoom level, 0-24.
            x: Column of the tile, from west.
            y: Row of the tile, from north.

        Raises:
            ApiError: There is no such map or tile.
        """
        rendering = self._rendering(name)
        if not (0 <= zoom <= 24 and 0 <= x < 2**zoom and 0 <= y < 2**zoom):
            raise ApiError(f"Tile {zoom}/{x}/{y} does not exist.", 404)
        side = 2 * HALF_WORLD / 2**zoom
        step = side / TILE_SIZE
        grid = Grid(
            "EPSG:3857", (step, 0.0, x * side - HALF_WORLD, 0.0, -step, HALF_WORLD - y * side), (TILE_SIZE, TILE_SIZE)
        )
        return self.pixels(PixelRequest(self.image(rendering.expression).bands, grid, rendering.file_format))

    def _rendering(self, name: str) -> Rendering:
        with self._lock:
            if name not in self._renderings:
                raise ApiError(f"'{name}' not found.", 404)
            return self._renderings[name]

    def _evaluate(self, expression: Mapping[str, Any]) -> Any:
        """The value of an expression, cached: it holds no pixels, and all tiles of an image share the expression."""
        key = json.dumps(expression, sort_keys=True)
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = evaluate(expression, self._loaders)
        with self._lock:
            self._values[key] = value
            while len(self._values) > CACHED_VALUES:
                self._values.popitem(last=False)
        return value


def _expression(body: Mapping[str, Any]) -> Mapping[str, Any]:
    found = body.get("expression")
    if not isinstance(found, Mapping):
        raise ApiError("Invalid request: no expression.")
    return found


def _grid(spec: Mapping[str, Any]) -> Grid:
    """The grid of a request; ApiError if it is not valid."""
    size, affine = spec.get("dimensions") or {}, spec.get("affineTransform") or {}
    shape = int(size.get("height", 0)), int(size.get("width", 0))
    if min(shape) < 1:
        raise ApiError("Invalid grid: dimensions must be positive.")
    keys = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
    transform = axis_aligned(affine.get(key, 0) for key in keys)
    crs = spec.get("crsCode") or spec.get("crsWkt")
    if not crs:
        raise ApiError("Invalid grid: crsCode or crsWkt is required.")
    try:
        return Grid(crs_code(str(crs)), transform, shape)
    except ValueError as error:
        raise ApiError(f"Invalid grid: The CRS '{crs}' could not be parsed.") from error


def _check(bands: Sequence[ImageBand], grid: Grid, max_side: int) -> None:
    height, width = grid.shape
    if max(grid.shape) > max_side:
        raise ApiError(f"Pixel grid dimensions ({width}x{height}) must be less than or equal to {max_side}.")
    if len(bands) > MAX_BANDS:
        raise ApiError(f"Number of bands ({len(bands)}) must be less than or equal to {MAX_BANDS}.")
    size = request_bytes(bands, grid)
    if size > MAX_REQUEST_BYTES:
        raise ApiError(f"Total request size ({size} bytes) must be less than or equal to {MAX_REQUEST_BYTES} bytes.")
