"""Published datasets as they lie in their archives: bands and labels ready-made, many parts, with or without a CRS.

A format is one reader, a row in `FORMATS`: it lists the parts of a folder and opens one. Everything else is shared.
"""

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from landslide.artifacts.store import digest, file_digest
from landslide.bands import BAND_SETS
from landslide.cases.sources import ArchiveSource
from landslide.errors import BandError, SourceError
from landslide.geo.grid import Roi
from landslide.geo.raster import quiet, window_of
from landslide.sources.base import Block, SceneInfo

UNREADABLE = (RasterioError, OSError, KeyError, ValueError)
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

    `pairs(folder)`: the parts by name; `layout(file)`: an image's grid and number of bands; `image(file, roi)`: float32
    (band, y, x), NaN = not observed; `mask(file)`: (y, x) of whatever numbers it holds; `bands`: the channels where the
    format fixes them.
    """

    pairs: Callable[[Path], dict[str, Pair]]
    layout: Callable[[Path], Layout]
    image: Callable[[Path, Roi], NDArray[np.float32]]
    mask: Callable[[Path], NDArray[np.generic]]
    bands: tuple[str, ...] | None = None


class Archive:
    """A `Source` from an archive; see `landslide.sources.Source`.

    Opening reads headers only. SourceError names the file for a missing mask, a number of bands or a shape that does
    not fit, a truncated file; and the parts there are, where one that is asked for is not.
    """

    def __init__(self, config: ArchiveSource) -> None:
        self._format = FORMATS[config.format]
        self._pairs = _picked(self._format.pairs(config.folder), config)
        self.bands = _bands(self._format, config)
        layouts = {name: _layout(self._format, pair.image, len(self.bands)) for name, pair in self._pairs.items()}
        self.parts: Mapping[str, GeoBox] = {name: layout.geobox for name, layout in layouts.items()}

    def fingerprint(self) -> str:
        """sha256 over the contents of all images and masks, by part."""
        files = {f"{name}.image": pair.image for name, pair in self._pairs.items()}
        files |= {f"{name}.mask": pair.mask for name, pair in self._pairs.items() if pair.mask}
        return digest({"bands": self.bands, **{name: file_digest(path) for name, path in files.items()}})

    def scenes(self) -> Sequence[SceneInfo]:
        """None: archives do not tell which acquisitions their bands were made from."""
        return ()

    def read(self, part: str, roi: Roi) -> Block:
        """The bands of a part at row and column slices, as they lie in the archive."""
        path = self._pairs[part].image
        try:
            values = self._format.image(path, roi)
        except UNREADABLE as error:
            raise _damaged(path, error) from error
        return Block(dict(zip(self.bands, values, strict=True)))

    def label(self, part: str) -> NDArray[np.uint8] | None:
        """The part's mask, 0 or 1; None where the archive holds none. SourceError for any other number in it."""
        path = self._pairs[part].mask
        if path is None:
            return None
        try:
            mask = self._format.mask(path)
        except UNREADABLE as error:
            raise _damaged(path, error) from error
        image = self.parts[part].shape
        if mask.shape != tuple(image):
            raise SourceError(f"{path} is {mask.shape} but its image {tuple(image)}. Replace one of the two")
        strange = np.setdiff1d(mask, [0, 1])
        if strange.size:
            raise SourceError(f"{path} holds {strange[:5].tolist()}; a label is 0 or 1. Convert the mask")
        return mask.astype("uint8")


def _picked(pairs: dict[str, Pair], config: ArchiveSource) -> dict[str, Pair]:
    if not pairs:
        raise SourceError(f"{config.folder} holds nothing of the format {config.format}. {EXPECTED[config.format]}")
    unknown = [name for name in config.parts or () if name not in pairs]
    if unknown:
        raise SourceError(f"{config.folder} has no parts {unknown}; it has {list(pairs)}. Correct `parts`")
    return pairs if config.parts is None else {name: pairs[name] for name in config.parts}


def _bands(reader: Format, config: ArchiveSource) -> tuple[str, ...]:
    bands = config.bands or reader.bands
    if bands is None:
        raise SourceError(
            f"the order of the bands in archives of the format {config.format} is not published. Name them in the "
            "case, in the archive's order: `bands: [vv_pre, …]`"
        )
    return bands


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
    images, masks = (
        _named(folder.rglob(f"{kind}_*.h5"), lambda path: path.stem.partition("_")[2]) for kind in ("image", "mask")
    )
    bare = [name for name in images if name not in masks]
    if masks and bare:
        log.warning("%s: no mask for the chips %s; they have no label", folder, sorted(bare, key=_natural))
    return _paired(images, masks)


def _chip_layout(path: Path) -> Layout:
    with h5py.File(path) as file:
        height, width, bands = file["img"].shape
    return Layout(GeoBox((height, width), Affine.identity(), None), bands)


def _chip(path: Path, roi: Roi) -> NDArray[np.float32]:
    with h5py.File(path) as file:
        values: NDArray[np.float32] = np.moveaxis(file["img"][roi].astype("float32"), -1, 0)
    return values


def _chip_mask(path: Path) -> NDArray[np.generic]:
    with h5py.File(path) as file:
        mask: NDArray[np.generic] = file["mask"][()]
    return mask


# The archive of the method's paper: input/<id>_*.tif (float32, bands interleaved by pixel) and label/<id>_*.tif.


def _scenes(folder: Path) -> dict[str, Pair]:
    """Scenes by what stands before the first underscore; each needs its label."""
    images, labels = (
        _named((folder / sub).glob("*.tif"), lambda path: path.stem.partition("_")[0]) for sub in ("input", "label")
    )
    bare = [str(images[name]) for name in images if name not in labels]
    if bare and labels:
        raise SourceError(f"no label in {folder / 'label'} belongs to {bare}. Add it, or choose others with `parts`")
    return _paired(images, labels)


def _scene_layout(path: Path) -> Layout:
    with quiet(), rasterio.open(path) as raster:
        crs = str(raster.crs) if raster.crs else None
        return Layout(GeoBox(raster.shape, raster.transform, crs), raster.count)


def _scene(path: Path, roi: Roi) -> NDArray[np.float32]:
    with quiet(), rasterio.open(path) as raster:
        filled = raster.read(window=window_of(roi), masked=True, out_dtype="float32").filled(np.nan)
    return np.asarray(filled, "float32")


def _scene_mask(path: Path) -> NDArray[np.generic]:
    with quiet(), rasterio.open(path) as raster:
        return np.asarray(raster.read(1))


FORMATS = {
    "landslide4sense": Format(_chips, _chip_layout, _chip, _chip_mask, BAND_SETS["landslide4sense"]),
    "paper": Format(_scenes, _scene_layout, _scene, _scene_mask),
}
EXPECTED = {
    "landslide4sense": "Give the folder with image_1.h5, image_2.h5, …",
    "paper": "Give the folder with input/ and label/, such as train_val",
}
