"""The layout of the published models: `<ensemble>/<number>/` with checkpoints, settings and TensorBoard events."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from landslide.errors import InputError
from landslide.models.member import MemberSpec
from landslide.pretrained.hparams import Settings, load_settings
from landslide.pretrained.tensorboard import best_score
from landslide.progress import track

CHECKPOINTS, EVENTS, SETTINGS = "checkpoints", "tensorboard/version_0", "hparams.yaml"
BAND_SETS = {  # the paper's band sets, by the indices of their bands in a scene
    tuple(range(9)): "s1",
    (13, 14): "s2",
    (*range(9), 13, 14): "s1s2",
    tuple(range(15)): "all",
}
EPOCH = re.compile(r"epoch_(\d+)(?:-v(\d+))?\.ckpt")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """A model in the archive; `score` is its best F1 on the validation scenes."""

    folder: Path
    settings: Settings
    score: float

    def spec(self, bands: Sequence[str]) -> MemberSpec:
        """The model's specification; `bands` are the names of a scene's bands."""
        model = self.settings.model
        return MemberSpec(
            architecture=model.net.architecture, loss=model.loss.name, learning_rate=model.optimizer.lr,
            bands=tuple(bands[channel] for channel in self.settings.channels), encoder=model.net.encoder_name,
            **({} if self.settings.seed is None else {"seed": self.settings.seed}),
        )  # fmt: skip

    def checkpoint(self) -> Path:
        """The best epoch: the last `epoch_<NNN>.ckpt`, written at each improvement, or else `last.ckpt`."""
        folder = self.folder / CHECKPOINTS
        found = {match: path for path in folder.glob("*.ckpt") if (match := EPOCH.fullmatch(path.name))}
        if found:
            return found[max(found, key=lambda match: (int(match[1]), int(match[2] or 0)))]
        last = folder / "last.ckpt"
        if not last.is_file():
            raise InputError(f"{folder} holds no epoch_….ckpt and no last.ckpt. Unpack {self.folder} again")
        log.warning("%s holds no epoch_….ckpt: last.ckpt is taken, where training ended", folder)
        return last


@dataclass(frozen=True)
class Group:
    """The models of one band set, best first."""

    name: str
    channels: tuple[int, ...]
    models: list[Published]


def find_groups(folder: Path) -> list[Group]:
    """The ensembles in one of the archive's four folders, or in the folder that contains them.

    Reads every model's settings and events, but no checkpoint. InputError if there is no ensemble or a file is missing.
    """
    ensembles = [folder] if _numbered(folder) else [path for path in _subfolders(folder) if _numbered(path)]
    if not ensembles:
        raise InputError(
            f"{folder} holds no models: no folders 0, 1, 2, … with {CHECKPOINTS}/. Give one of sentinel1_ensemble, "
            "sentinel2_ensemble, sentinel1_and_2_ensemble and all_ch_ensemble, or the folder in which they lie"
        )
    groups = [_group(ensemble) for ensemble in ensembles]
    names = [group.name for group in groups]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise InputError(f"{folder} holds more than one ensemble of {sorted(repeated)}. Give the folder of one")
    return groups


def _group(folder: Path) -> Group:
    """The models by score, best first, ties by number, as in the authors' program."""
    models = [_published(path) for path in track(_numbered(folder), f"Reading {folder.name}")]
    channels = {model.settings.channels for model in models}
    if len(channels) > 1:
        raise InputError(
            f"{folder} holds models of different bands: {sorted(channels)}. Sort them into folders by band"
        )
    (one,) = channels
    if one not in BAND_SETS:
        raise InputError(
            f"{folder} holds models of the bands {list(one)}, which is no band set of the paper. Leave it out"
        )
    return Group(BAND_SETS[one], one, sorted(models, key=lambda model: -model.score))


def _published(folder: Path) -> Published:
    settings = load_settings(folder / EVENTS / SETTINGS)
    stated, named = settings.model.net.in_channels, len(settings.channels)
    if stated != named:
        raise InputError(
            f"{folder / EVENTS / SETTINGS}: model.net.in_channels is {stated} but data.channels names {named} bands. "
            "Unpack the model's folder again"
        )
    return Published(folder, settings, best_score(folder / EVENTS))


def _numbered(folder: Path) -> list[Path]:
    """The folders of models, ordered by number."""
    found = [path for path in _subfolders(folder) if path.name.isdecimal() and (path / CHECKPOINTS).is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def _subfolders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror}. Give the folder of the published models") from error
