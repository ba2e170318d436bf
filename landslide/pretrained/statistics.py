"""Mean and standard deviation of the archive's scenes, the normalisation of the published models.

They are not published with the models. The authors' program computed them over all scenes of `train_val/input`, before
the split, without NaN, with the population standard deviation. It used float32, this module merges float64 moments, so
the last digits differ.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from landslide.bands import BAND_SETS, check_bands
from landslide.cases.sources import ArchiveSource
from landslide.datasets.normalisation import Moments, Normalisation
from landslide.errors import BandError, InputError
from landslide.geo.grid import blocks
from landslide.pretrained.hparams import CHANNELS
from landslide.progress import track
from landslide.sources.archive import archive_parts, read_image

SCENES, FOLDER = 20, "train_val"
READ_SIDE = 1024
ASSUMED = BAND_SETS["all"]  # 0–8 Sentinel-1, 9–12 terrain, 13–14 Sentinel-2; the order within each is not published

log = logging.getLogger(__name__)


def archive_bands(names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the archive's 15 bands, in its order; BandError for another number or an unknown name.

    Without names, `ASSUMED` is used with a warning: the published settings only tell which bands are of Sentinel-1,
    terrain and Sentinel-2, not the order within each.
    """
    if names is None:
        log.warning(
            "the order of the bands within the archive is not published and taken to be %s. Scores on the archive do "
            "not depend on it, a map of any other event does: name the bands with --bands",
            ",".join(ASSUMED),
        )
        return ASSUMED
    bands = check_bands(names)
    if len(bands) != CHANNELS:
        raise BandError(f"--bands names {len(bands)} bands but a scene of the archive has {CHANNELS}. Name each once")
    return bands


def moments(archive: Path, bands: Sequence[str]) -> tuple[list[str], list[Moments]]:
    """The names of the scenes in `train_val`, and the moments of each band over all of them, in the band's unit.

    InputError if the folder is missing or a band has no value; SourceError for an unreadable scene.
    """
    folder = archive / FOLDER
    if not (folder / "input").is_dir():
        raise InputError(f"{archive} holds no {FOLDER}/input. Give the folder global_dataset of the paper's archive")
    source = ArchiveSource(kind="archive", format="paper", folder=folder, bands=tuple(bands))
    parts = archive_parts(source)
    if len(parts) != SCENES:
        log.warning(
            "%s holds %d scenes; the published models were normalised by %d. Unpack the archive again if some are "
            "missing", folder, len(parts), SCENES,
        )  # fmt: skip
    total = [Moments()] * CHANNELS
    for part in track(list(parts.values()), "Statistics of the scenes"):
        for roi in blocks((part.geobox.shape.y, part.geobox.shape.x), READ_SIDE):
            values = read_image(source, part.files.image, roi)
            total = [moment.add(plane) for plane, moment in zip(values, total, strict=True)]
    if empty := [band for band, moment in zip(bands, total, strict=True) if not moment.count]:
        raise InputError(f"the scenes of {folder} have no value at all in {empty}. Unpack the archive again")
    return list(parts), total


def normalisation(total: Sequence[Moments], channels: Sequence[int]) -> Normalisation:
    """Mean and standard deviation of the bands at these indices."""
    chosen = [total[channel] for channel in channels]
    return Normalisation(mean=tuple(one.mean for one in chosen), std=tuple(one.std for one in chosen))
