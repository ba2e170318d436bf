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

from .assets import Assets
from .coercion import as_image, type_name
from .describe import describe, describe_band
from .encode import encoded, request_bytes
from .errors import ApiError
from .exports import Exports
from .faults import Faults
from .functions import registered
from .functions.bands import chosen
from .functions.dates import moment
from .functions.visualising import visualize
from .graph import evaluate
from .grids import Grid, Projection, authority
from .registry import client_file
from .storage import Storage
from .values import Band, Collection, Element, Image

MOST_BYTES, MOST_SIDE, MOST_BANDS = 50_331_648, 32_768, 1024
DOWNLOAD_SIDE = 10_000
TILE, WORLD = 256, 20_037_508.342789244
REMEMBERED = 16
GET_CONFIG = {
    "id": "earthengine.projects.getConfig", "httpMethod": "GET", "path": "v1/{+name}", "parameterOrder": ["name"],
    "parameters": {
        "name": {"location": "path", "pattern": "^projects/[^/]+/config$", "required": True, "type": "string"}
    },
    "response": {"type": "any"},
}  # fmt: skip

assert registered  # its import is what is needed of it


@dataclass(frozen=True)
class Rendering:
    """A thumbnail or a map: what is to be drawn when its pixels are asked for."""

    expression: Mapping[str, Any]
    file_format: str
    bands: Sequence[str] | None
    options: Mapping[str, Any] | None
    name: str


@dataclass(frozen=True)
class Tiling:
    """A computePixels request understood: bands, grid and format."""

    bands: tuple[Band, ...]
    grid: Grid
    file_format: str


class Service:
    """The state of a server: assets, thumbnails, maps, exports."""

    def __init__(self, world: Path, storage: Storage, faults: Faults, delay: float) -> None:
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
        described = json.loads(text)
        described["resources"]["projects"]["methods"]["getConfig"] = GET_CONFIG
        return described

    def algorithms(self) -> bytes:
        return client_file("algorithms.json").read_bytes()

    def value(self, body: Mapping[str, Any]) -> Any:
        """The value of an expression, as JSON."""
        with self._cores:
            return {"result": describe(self._evaluated(_expression(body)))}

    def image(self, expression: Mapping[str, Any]) -> Image:
        """The image of an expression; ApiError if it is none."""
        found = self._evaluated(expression)
        if isinstance(found, Collection) or found is None:
            raise ApiError(f"Expected an Image, got: {type_name(found)}.")
        return as_image(found)

    def tiling(self, body: Mapping[str, Any]) -> Tiling:
        """What a computePixels request asks for; ApiError where it is too large or has no grid."""
        image = self.image(_expression(body))
        shown = _shown(image, body.get("bandIds"), body.get("visualizationOptions"))
        grid = _grid(body.get("grid"), shown)
        _check(shown, grid, MOST_SIDE)
        return Tiling(shown.bands, grid, str(body.get("fileFormat", "PNG")))

    def pixels(self, tiling: Tiling) -> tuple[Any, str]:
        """The pixels in their format and its MIME type. As many are computed at once as there are cores."""
        with self._cores:
            return encoded(tiling.bands, tiling.grid, tiling.file_format, "download")

    def keep(self, body: Mapping[str, Any], kind: str, project: str) -> dict[str, str]:
        """Remember a thumbnail or a map under a new name; its expression is evaluated, so that what is wrong with it is
        told now."""
        image = self.image(_expression(body))
        _shown(image, body.get("bandIds"), body.get("visualizationOptions"))
        name = f"projects/{project}/{kind}/{uuid.uuid4().hex}"
        rendering = Rendering(
            _expression(body), str(body.get("fileFormat", "AUTO_JPEG_PNG")), body.get("bandIds"),
            body.get("visualizationOptions"), str(body.get("filenamePrefix") or "download"),
        )  # fmt: skip
        with self._lock:
            self._renderings[name] = rendering
        return {"name": name}

    def download(self, name: str) -> tuple[Any, str]:
        """A thumbnail's pixels on its image's own grid."""
        kept = self._kept(name)
        image = _shown(self.image(kept.expression), kept.bands, kept.options)
        grid = _grid(None, image)
        _check(image, grid, DOWNLOAD_SIDE)
        with self._cores:
            return encoded(image.bands, grid, kept.file_format, kept.name)

    def tile(self, name: str, zoom: int, x: int, y: int) -> tuple[Any, str]:
        """A map's tile of 256 pixels in web Mercator."""
        kept = self._kept(name)
        if not (0 <= zoom <= 24 and 0 <= x < 2**zoom and 0 <= y < 2**zoom):
            raise ApiError(f"Tile {zoom}/{x}/{y} does not exist.", 404)
        side = 2 * WORLD / 2**zoom
        step = side / TILE
        grid = Grid("EPSG:3857", (step, 0.0, x * side - WORLD, 0.0, -step, WORLD - y * side), (TILE, TILE))
        image = _shown(self.image(kept.expression), kept.bands, kept.options)
        with self._cores:
            return encoded(image.bands, grid, kept.file_format, kept.name)

    def asset(self, name: str) -> dict[str, Any]:
        """An asset's description; ApiError 404 if there is none."""
        return _asset(self._assets.find(name))

    def images_of(self, name: str) -> dict[str, Any]:
        """The images of a collection."""
        found = self._assets.find(name)
        elements = found.elements if isinstance(found, Collection) else ()
        return {"images": [_asset(element) for element in elements], "assets": [_asset(part) for part in elements]}

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


def _shown(image: Image, names: Sequence[str] | None, options: Mapping[str, Any] | None) -> Image:
    """The bands asked for, as colours if that is asked for."""
    if names:
        image = image.with_bands(chosen("Image.select", image, list(names)))
    if not image.bands:
        raise ApiError("Image has no bands.")
    if not options:
        return image
    ranges = options.get("ranges") or []
    low, high = [span.get("min", 0) for span in ranges], [span.get("max", 1) for span in ranges]
    gamma = (options.get("gamma") or {}).get("value")
    colours: Image = visualize(
        image, None, None, None, low or None, high or None, gamma, None, options.get("paletteColors"), True
    )
    return colours


def _grid(told: Mapping[str, Any] | None, image: Image) -> Grid:
    """The grid of a request, or else the extent of the image's first band."""
    own = image.bands[0].grid
    if not told:
        if own is None:
            raise ApiError("Unable to compute pixels of an unbounded image without a grid.")
        return own
    size = told.get("dimensions") or {}
    shape = int(size.get("height", 0)), int(size.get("width", 0))
    if min(shape) < 1:
        raise ApiError("Invalid grid: dimensions must be positive.")
    affine = told.get("affineTransform") or {}
    keys = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
    transform = tuple(float(affine.get(key, 0)) for key in keys)
    if transform[0] * transform[4] - transform[1] * transform[3] == 0:
        raise ApiError("Invalid grid: the affine transform is not invertible.")
    crs = told.get("crsCode") or told.get("crsWkt")
    if not crs:
        raise ApiError("Invalid grid: crsCode or crsWkt is required.")
    try:
        code = authority(str(crs))
    except ValueError as error:
        raise ApiError(f"Invalid grid: The CRS '{crs}' could not be parsed.") from error
    return Projection(code, transform).window(0, 0, shape)  # type: ignore[arg-type]


def _check(image: Image, grid: Grid, longest: int) -> None:
    height, width = grid.shape
    if max(grid.shape) > longest:
        raise ApiError(f"Pixel grid dimensions ({width}x{height}) must be less than or equal to {longest}.")
    if len(image.bands) > MOST_BANDS:
        raise ApiError(f"Number of bands ({len(image.bands)}) must be less than or equal to {MOST_BANDS}.")
    size = request_bytes(image.bands, grid)
    if size > MOST_BYTES:
        raise ApiError(f"Total request size ({size} bytes) must be less than or equal to {MOST_BYTES} bytes.")


def _asset(found: Element | Collection) -> dict[str, Any]:
    name = str(getattr(found, "id", ""))
    told: dict[str, Any] = {"name": f"projects/earthengine-public/assets/{name}", "id": name}
    if isinstance(found, Collection):
        return told | {"type": "IMAGE_COLLECTION", "properties": describe(found.properties)}
    told |= {"type": "IMAGE", "properties": describe(dict(found.properties))}
    if isinstance(found, Image):
        told["bands"] = [_asset_band(band) for band in found.bands]
        start = found.properties.get("system:time_start")
        if start is not None:
            told["startTime"] = _moment(int(start))
        if found.footprint is not None:
            told["geometry"] = found.footprint.describe()
    return told


def _asset_band(band: Band) -> dict[str, Any]:
    """A band as assets.get tells it."""
    told = describe_band(band)
    kind = told["data_type"]
    a, b, c, d, e, f = told["crs_transform"]
    ranged = {"range": {"min": kind["min"], "max": kind["max"]}} if "min" in kind else {}
    size = told.get("dimensions")
    return {
        "id": band.name,
        "dataType": {"precision": kind["precision"].upper()} | ranged,
        "grid": {
            "crsCode": told["crs"],
            "affineTransform": {
                "scaleX": a, "shearX": b, "translateX": c, "shearY": d, "scaleY": e, "translateY": f
            },
        } | ({"dimensions": {"width": size[0], "height": size[1]}} if size else {}),
    }  # fmt: skip


def _moment(millis: int) -> str:
    return moment(millis).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
