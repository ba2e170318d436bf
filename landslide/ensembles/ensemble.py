"""Ensembles: an ordered list of members with their normalisation and threshold, all in one folder.

The folder holds `ensemble.json` and one safetensors file a member, best first; after an evaluation also `scores.json`.
Nothing else is needed to map an event. The members' probabilities, or their logits, are averaged, each with its weight;
the mean is calibrated, and mapped is what lies above the threshold.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from landslide.artifacts.store import Request, digest, file_digest
from landslide.datasets.normalisation import Normalisation
from landslide.ensembles.calibration import Calibration
from landslide.ensembles.confidence import Cuts
from landslide.ensembles.scale import Scale
from landslide.errors import BandError, InputError, TrainingError
from landslide.models.member import MemberSpec, TrainedMember, load_member

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

VERSION = 2
ENSEMBLE_FILE, SCORES_FILE = "ensemble.json", "scores.json"


class EnsembleMember(BaseModel):
    """One member of an ensemble: what it is, how it did on validation, where its weights lie."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: MemberSpec
    validation_f1: float
    weight: float
    file: str


class EnsembleInfo(BaseModel):
    """`ensemble.json`. `members` are ordered by rank; `crop` is the side of the training crops in pixels.

    `way` is how the members were chosen; the mean is taken on `scale`; `threshold` and `confidence` are of calibrated
    probabilities.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    band_set: str
    bands: tuple[str, ...]
    normalisation: Normalisation
    selector: str = "paper"
    scale: Scale = "probability"
    calibration: Calibration | None = None
    threshold: float
    confidence: Cuts | None = None
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
        if missing := [voter.file for voter in info.members if not (folder / voter.file).is_file()]:
            raise InputError(f"{folder} lacks the weights {missing}. Copy the whole folder of the ensemble")
        return cls(folder, info)

    def fingerprint(self) -> str:
        """sha256 over all that a map takes from here: description, weights, and the scores that its report tells."""
        names = [ENSEMBLE_FILE, *(voter.file for voter in self.info.members)]
        scores = [SCORES_FILE] if (self.folder / SCORES_FILE).exists() else []
        return digest([file_digest(self.folder / name) for name in names + scores])

    def load(self, voter: EnsembleMember, device: str = "cpu") -> nn.Module:
        """A member, ready for inference; its input is (batch, bands, y, x) as `normalisation.apply` gives it."""
        return load_member(voter.spec, self.folder / voter.file, device)

    def scores(self) -> dict[str, Any] | None:
        """What its test cases showed; None before an evaluation."""
        path = self.folder / SCORES_FILE
        return json.loads(path.read_text()) if path.exists() else None

    def check_bands(self, present: Sequence[str], where: str) -> None:
        """BandError naming both sides if a band that the members were trained on is missing."""
        if missing := [band for band in self.info.bands if band not in present]:
            raise BandError(
                f"{where} lacks {missing}, which ensemble {self.info.name} was trained on; it has {list(present)}. "
                "Give the case a source with these bands, or choose another ensemble"
            )


def rank(candidates: Sequence[TrainedMember]) -> list[TrainedMember]:
    """Members by validation F1, best first, diverged ones left out; ties by name. TrainingError if none is left."""
    usable = [candidate for candidate in candidates if candidate.validation_f1 is not None]
    if not usable:
        raise TrainingError("every member diverged. Lower the learning rates or check the bands of the training cases")
    return sorted(usable, key=lambda member: (-(member.validation_f1 or 0.0), member.spec.name))


def assemble_request(info: EnsembleInfo, members: Sequence[TrainedMember]) -> Request:
    """What an ensemble depends on: its description and its members' artifacts."""
    inputs = {f"member-{i:02d}": member.key for i, member in enumerate(members, 1)}
    return Request(stage="assemble", version=VERSION, parameters=info.model_dump(mode="json"), inputs=inputs)


def assemble(info: EnsembleInfo, members: Sequence[TrainedMember], folder: Path) -> None:
    """Write an ensemble's folder: the description, and copies of the members' weights."""
    for voter, member in zip(info.members, members, strict=True):
        shutil.copyfile(member.weights, folder / voter.file)
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
