"""Published datasets as they lie in their archives: bands and labels ready-made, many parts, with or without a CRS.

A format is one reader, a row in `FORMATS`: it lists the parts of a folder and opens one. Everything else is shared.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import JsonValue
from rasterio.errors import RasterioError

from landslide.artifacts.stage import file_digest
from landslide.bands import BAND_SETS
from landslide.cases.case import Case
from landslide.cases.sources import ArchiveSource
from landslide.errors import BandError, SourceError
from landslide.extras import require
from landslide.geo.grid import Roi, blocks
from landslide.geo.raster import allow_no_georeference, window_of
from landslide.progress import track
from landslide.sources.base import LAYERS, Asset, Block, LayerName, LayerRequest, PartGrid, Scene, SceneList, bands_of

UNREADABLE = (RasterioError, OSError, KeyError, ValueError)
BLOCK_SIDE = 512
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """Where a part lies: its image, and its mask where there is one."""

    image: Path
    mask: Path | None


@dataclass(frozen=True)
class Layout:
    """What an image's header says."""

    geobox: GeoBox
    bands: int


@dataclass(frozen=True)
class Format:
    """How one archive is read.

    Args:
        pairs: The parts of a folder by name, in order.
        layout: An image's grid and number of bands.
        image: float32 (band, y, x) of an image at row and column slices, NaN = not observed.
        mask: (y, x) of whatever numbers a mask holds.
        bands: The bands of an image, where the format fixes them.
    """

    pairs: Callable[[Path], dict[str, Pair]]
    layout: Callable[[Path], Layout]
    image: Callable[[Path, Roi], NDArray[np.float32]]
    mask: Callable[[Path], NDArray[np.generic]]
    bands: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Part:
    """A scene or chip of an archive: its files and its grid, whose CRS is None without georeference."""

    files: Pair
    geobox: GeoBox


def archive_parts(config: ArchiveSource) -> dict[str, Part]:
    """The parts of an archive by name, in its order or that of `config.parts`; reads headers.

    SourceError names the file for a missing label or a truncated file, and the parts there are where one that is asked
    for is not; BandError where the bands that are named are not as many as a file has.
    """
    reader = FORMATS[config.format]
    pairs = _picked(reader.pairs(config.folder), config)
    bands = archive_bands(config)
    return {name: Part(pair, _layout(reader, pair.image, len(bands)).geobox) for name, pair in pairs.items()}


def archive_bands(config: ArchiveSource) -> tuple[str, ...]:
    """The bands of every image, in the archive's order; SourceError where neither the format nor the case says it."""
    bands = config.bands or FORMATS[config.format].bands
    if bands is None:
        raise SourceError(
            f"the order of the bands in archives of the format {config.format} is not published. Name them in the "
            "case, in the archive's order: `bands: [vv_pre, …]`"
        )
    return bands


def read_image(config: ArchiveSource, path: Path, roi: Roi) -> NDArray[np.float32]:
    """All bands of an image, float32 (band, y, x), at row and column slices; SourceError if it does not read."""
    try:
        return FORMATS[config.format].image(path, roi)
    except UNREADABLE as error:
        raise _damaged(path, error) from error


class Archive:
    """A `Source` from an archive; see `landslide.sources.base.Source`.

    Each part is a scene of every layer: with its image where the layer has bands, and in the mask layer with its mask.
    A layer's setting `channels` says where in the image its bands lie, from 1.
    """

    def __init__(self, case: Case, config: ArchiveSource) -> None:
        self._case, self._config = case, config

    def find_scenes(self) -> SceneList:
        """List the parts, read their headers, and hash their images and masks; see `archive_parts` for what it raises.

        The mask layer is always there; its scenes have a mask where the archive holds one.
        """
        parts = archive_parts(self._config)
        return SceneList(
            case=self._case.id,
            parts={name: PartGrid.of(part.geobox) for name, part in parts.items()},
            layers={layer: request for layer in LAYERS if (request := self._request(layer, parts)) is not None},
        )

    def export(self, request: LayerRequest, part: str, workspace: Path) -> Iterator[tuple[Roi, Block]]:
        """The layer's bands of a part as they lie in the archive; SourceError names an image that does not read."""
        scene = _scene_of(request, part)
        path, channels = Path(scene.assets["image"].href), _channels(request)
        for roi in track(blocks(_shape(scene), BLOCK_SIDE), f"Exporting {request.layer}, {self._case.id}"):
            values = read_image(self._config, path, roi)
            yield roi, Block({band: values[at - 1] for band, at in zip(request.bands, channels, strict=True)})

    def label(self, request: LayerRequest, part: str) -> NDArray[np.uint8] | None:
        """The part's mask (y, x), 0 or 1; None where the archive holds none.

        SourceError names a mask that does not read, has not the image's shape, or holds any other number.
        """
        scene = _scene_of(request, part)
        if "mask" not in scene.assets:
            return None
        path = Path(scene.assets["mask"].href)
        try:
            mask = FORMATS[self._config.format].mask(path)
        except UNREADABLE as error:
            raise _damaged(path, error) from error
        if mask.shape != _shape(scene):
            raise SourceError(f"{path} is {mask.shape} but its image {_shape(scene)}. Replace one of the two")
        invalid = np.setdiff1d(mask, [0, 1])
        if invalid.size:
            raise SourceError(f"{path} holds {invalid[:5].tolist()}; a label is 0 or 1. Convert the mask")
        return mask.astype("uint8")

    def account(self) -> None:
        """Archives are local."""
        return

    def _request(self, layer: LayerName, parts: Mapping[str, Part]) -> LayerRequest | None:
        """None for a layer other than the mask of which the archive has no band."""
        order = archive_bands(self._config)
        bands = bands_of(layer, order)
        if not bands and layer != "mask":
            return None
        settings: dict[str, JsonValue] = {"channels": [order.index(band) + 1 for band in bands]} if bands else {}
        scenes = tuple(_scene(name, part, bool(bands), layer == "mask") for name, part in parts.items())
        return LayerRequest(layer=layer, bands=bands, scenes=scenes, settings=settings)


def _scene(name: str, part: Part, image: bool, mask: bool) -> Scene:
    """A part as a scene, with its image, its mask, or both."""
    files = {"image": part.files.image if image else None, "mask": part.files.mask if mask else None}
    assets = {key: Asset(href=str(path), content=file_digest(path)) for key, path in files.items() if path is not None}
    return Scene(id=name, sensor="archive", assets=assets, properties={"shape": list(part.geobox.shape)})


def _scene_of(request: LayerRequest, part: str) -> Scene:
    return next(scene for scene in request.scenes if scene.id == part)


def _shape(scene: Scene) -> tuple[int, int]:
    """Rows and columns of a part."""
    rows, columns = cast(list[int], scene.properties["shape"])
    return rows, columns


def _channels(request: LayerRequest) -> list[int]:
    """Where the request's bands lie in an image, from 1."""
    return cast(list[int], request.settings["channels"])


def _picked(pairs: dict[str, Pair], config: ArchiveSource) -> dict[str, Pair]:
    if not pairs:
        raise SourceError(f"{config.folder} holds nothing of the format {config.format}. {EXPECTED[config.format]}")
    unknown = [name for name in config.parts or () if name not in pairs]
    if unknown:
        raise SourceError(f"{config.folder} has no parts {unknown}; it has {list(pairs)}. Correct `parts`")
    return pairs if config.parts is None else {name: pairs[name] for name in config.parts}


def _layout(reader: Format, path: Path, bands: int) -> Layout:
    try:
        layout = reader.layout(path)
    except UNREADABLE as error:
        raise _damaged(path, error) from error
    if layout.bands != bands:
        raise BandError(f"{path} has {layout.bands} bands but {bands} are named. Name each, in the archive's order")
    return layout


def _damaged(path: Path, error: Exception) -> SourceError:
    return SourceError(f"cannot read {path}: {error}. Fetch the file again")


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts 2 before 10."""
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"(\d+)", name) if piece]


def _named(paths: Iterable[Path], name: Callable[[Path], str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(paths):
        if name(path) in found:
            raise SourceError(f"{path} and {found[name(path)]} are both part {name(path)!r}. Give the folder of one")
        found[name(path)] = path
    return found


def _paired(images: dict[str, Path], masks: dict[str, Path]) -> dict[str, Pair]:
    return {name: Pair(images[name], masks.get(name)) for name in sorted(images, key=_natural)}


# Landslide4Sense: image_N.h5 (dataset img: y, x, 14) and mask_N.h5 (dataset mask: y, x); Ghorbanzadeh et al. 2022.


def _chips(folder: Path) -> dict[str, Pair]:
    """Chips by number; masks may be missing, as in the set's own validation and test folders."""
    require("h5py", "archives", "chips of Landslide4Sense")
    images, masks = (
        _named(folder.rglob(f"{kind}_*.h5"), lambda path: path.stem.partition("_")[2]) for kind in ("image", "mask")
    )
    unlabelled = [name for name in images if name not in masks]
    if masks and unlabelled:
        log.warning("%s: no mask for the chips %s; they have no label", folder, sorted(unlabelled, key=_natural))
    return _paired(images, masks)


def _hdf5(path: Path) -> Any:
    """A chip's file, open for reading; h5py comes with the extra `archives`."""
    import h5py

    return h5py.File(path)


def _chip_layout(path: Path) -> Layout:
    with _hdf5(path) as file:
        height, width, bands = file["img"].shape
    return Layout(GeoBox((height, width), Affine.identity(), None), bands)


def _chip_image(path: Path, roi: Roi) -> NDArray[np.float32]:
    with _hdf5(path) as file:
        values: NDArray[np.float32] = np.moveaxis(file["img"][roi].astype("float32"), -1, 0)
    return values


def _chip_mask(path: Path) -> NDArray[np.generic]:
    with _hdf5(path) as file:
        mask: NDArray[np.generic] = file["mask"][()]
    return mask


# The archive of the method's paper: input/<id>_*.tif (float32, bands interleaved by pixel) and label/<id>_*.tif.


def _paper_scenes(folder: Path) -> dict[str, Pair]:
    """Scenes by what stands before the first underscore; each needs its label."""
    images, labels = (
        _named((folder / sub).glob("*.tif"), lambda path: path.stem.partition("_")[0]) for sub in ("input", "label")
    )
    unlabelled = [str(images[name]) for name in images if name not in labels]
    if unlabelled and labels:
        raise SourceError(
            f"no label in {folder / 'label'} belongs to {unlabelled}. Add it, or choose others with `parts`"
        )
    return _paired(images, labels)


def _paper_layout(path: Path) -> Layout:
    with allow_no_georeference(), rasterio.open(path) as raster:
        crs = str(raster.crs) if raster.crs else None
        return Layout(GeoBox(raster.shape, raster.transform, crs), raster.count)


def _paper_image(path: Path, roi: Roi) -> NDArray[np.float32]:
    with allow_no_georeference(), rasterio.open(path) as raster:
        filled = raster.read(window=window_of(roi), masked=True, out_dtype="float32").filled(np.nan)
    return np.asarray(filled, "float32")


def _paper_mask(path: Path) -> NDArray[np.generic]:
    with allow_no_georeference(), rasterio.open(path) as raster:
        return np.asarray(raster.read(1))


FORMATS = {
    "landslide4sense": Format(_chips, _chip_layout, _chip_image, _chip_mask, BAND_SETS["landslide4sense"]),
    "paper": Format(_paper_scenes, _paper_layout, _paper_image, _paper_mask),
}
EXPECTED = {
    "landslide4sense": "Give the folder with image_1.h5, image_2.h5, …",
    "paper": "Give the folder with input/ and label/, such as train_val",
}
