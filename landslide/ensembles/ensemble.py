"""Ensembles: an ordered list of members with their normalisation and threshold, all in one folder.

The folder holds `ensemble.json` and one safetensors file a member, best first; after an evaluation also `scores.json`.
Nothing else is needed to map an event. The members' probabilities, or their logits, are averaged, each with its weight;
the mean is calibrated, and mapped is what lies above the threshold.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from landslide.artifacts.stage import Keyed, Stage, digest, file_digest
from landslide.bands import BAND_SETS
from landslide.datasets.normalisation import Normalisation
from landslide.datasets.stack import open_stack
from landslide.ensembles.calibration import Calibration
from landslide.ensembles.confidence import ConfidenceThresholds
from landslide.ensembles.scale import Scale
from landslide.errors import BandError, InputError, TrainingError
from landslide.models.member import MemberSpec, TrainedMember, load_member
from landslide.sources.base import layer_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from landslide.artifacts.stage import Artifact
    from landslide.artifacts.store import ArtifactStore
    from landslide.datasets.stack import Stack

ENSEMBLE_FILE, SCORES_FILE = "ensemble.json", "scores.json"


class EnsembleMember(Keyed):
    """One member of an ensemble: what it is, how it did on validation, where its weights lie."""

    spec: MemberSpec
    validation_f1: float
    weight: float
    file: str


class EnsembleInfo(Keyed):
    """`ensemble.json`. `members` are ordered by rank; `crop` is the side of the training crops in pixels.

    `selector` is how the members were chosen; the mean is taken on `scale`; `threshold` and `confidence` are of
    calibrated probabilities.
    """

    name: str
    band_set: str
    bands: tuple[str, ...]
    normalisation: Normalisation
    selector: str = "paper"
    scale: Scale = "probability"
    calibration: Calibration | None = None
    threshold: float
    confidence: ConfidenceThresholds | None = None
    crop: int
    members: list[EnsembleMember]
    cases: dict[str, list[str]]


@dataclass(frozen=True)
class Ensemble:
    """An ensemble on disk."""

    folder: Path
    info: EnsembleInfo

    @classmethod
    def open(cls, folder: Path) -> Ensemble:
        """Read an ensemble's folder; InputError if it is none or a member's file is missing."""
        try:
            info = EnsembleInfo.model_validate_json((folder / ENSEMBLE_FILE).read_text())
        except OSError as error:
            raise InputError(
                f"{folder} holds no ensemble (no {ENSEMBLE_FILE}). Give the folder that `train` names"
            ) from error
        except ValueError as error:
            raise InputError(
                f"{folder / ENSEMBLE_FILE} is no ensemble of this version: {error}. Train it again"
            ) from error
        if missing := [member.file for member in info.members if not (folder / member.file).is_file()]:
            raise InputError(f"{folder} lacks the weights {missing}. Copy the whole folder of the ensemble")
        return cls(folder, info)

    def fingerprint(self) -> str:
        """sha256 over all that a map takes from here: description, weights, and the scores that its report shows."""
        names = [ENSEMBLE_FILE, *(member.file for member in self.info.members)]
        scores = [SCORES_FILE] if (self.folder / SCORES_FILE).exists() else []
        return digest([file_digest(self.folder / name) for name in names + scores])

    def load(self, member: EnsembleMember, device: str = "cpu") -> nn.Module:
        """A member, ready for inference; its input is (batch, bands, y, x) as `normalisation.apply` gives it."""
        return load_member(member.spec, self.folder / member.file, device)

    def check_bands(self, stack: Stack) -> None:
        """BandError if a stack lacks a band that the members were trained on.

        It names the missing layers and why they are missing, and the ensembles or band sets that would do.
        """
        missing = [band for band in self.info.bands if band not in stack.info.bands]
        if not missing:
            return
        layers = dict.fromkeys(layer_of(band) for band in missing)
        why = [f"its layer {name} is missing ({stack.info.missing.get(name, 'not in its source')})" for name in layers]
        raise BandError(
            f"case {stack.info.case.id} lacks the bands {missing} of ensemble {self.info.name}: {'; '.join(why)}. "
            f"{self._alternatives(stack.info.bands)}"
        )

    def check_stacks(self, stacks: Mapping[str, Artifact], store: ArtifactStore) -> None:
        """BandError for the first stack that lacks a band; see `check_bands`."""
        for artifact in stacks.values():
            self.check_bands(open_stack(artifact, store))

    def _alternatives(self, bands: Sequence[str]) -> str:
        """What can map a stack of these bands: ensembles of the same experiment, else built-in band sets."""
        others = [Ensemble.open(file.parent) for file in sorted(self.folder.parent.parent.glob(f"*/*/{ENSEMBLE_FILE}"))]
        usable = [str(one.folder) for one in others if set(one.info.bands) <= set(bands)]
        if usable:
            return f"Use {' or '.join(usable)}, which needs no other bands than the case has"
        sets = [name for name, wanted in BAND_SETS.items() if set(wanted) <= set(bands)]
        would_do = f"Use an ensemble of the band set {' or '.join(sets)}" if sets else "No built-in band set would do"
        return f"{would_do}, or give the case a source with these bands"


def rank(candidates: Sequence[TrainedMember]) -> list[TrainedMember]:
    """Members by validation F1, best first, diverged ones left out; ties by name. TrainingError if none is left."""
    usable = [candidate for candidate in candidates if candidate.validation_f1 is not None]
    if not usable:
        raise TrainingError("every member diverged. Lower the learning rates or check the bands of the training cases")
    return sorted(usable, key=lambda member: (-(member.validation_f1 or 0.0), member.spec.name))


class AssembleEnsemble(Stage):
    """The folder of an ensemble; `members` are in the order of `info.members`."""

    name: ClassVar[str] = "assemble"
    version: ClassVar[int] = 3
    sources: ClassVar[tuple[str, ...]] = ("landslide.ensembles.ensemble",)

    info: EnsembleInfo
    members: tuple[TrainedMember, ...]

    @property
    def title(self) -> str:
        """`assemble all`."""
        return f"{self.name} {self.info.band_set}"

    def build(self, folder: Path, store: ArtifactStore) -> None:
        """Write the description and copies of the weights."""
        assemble(self.info, self.members, folder)


def assemble(info: EnsembleInfo, members: Sequence[TrainedMember], folder: Path) -> None:
    """Write an ensemble's folder: the description, and copies of the members' weights."""
    for described, member in zip(info.members, members, strict=True):
        shutil.copyfile(member.weights, folder / described.file)
    (folder / ENSEMBLE_FILE).write_text(info.model_dump_json(indent=1))


def ensemble_members(members: Sequence[TrainedMember], weights: Sequence[float] | None = None) -> list[EnsembleMember]:
    """Ranked members as votes, equal ones without `weights`."""
    return [
        EnsembleMember(
            spec=member.spec,
            validation_f1=member.validation_f1 or 0.0,
            weight=weight,
            file=f"{place:02d}-{member.spec.name}.safetensors",
        )
        for place, (member, weight) in enumerate(zip(members, weights or [1.0] * len(members), strict=True), 1)
    ]
