"""Import the paper's trained models as ensembles.

Settings, scores and the scenes' statistics are read first. Then each member is read, checked and written into a draft
folder. The ensembles are published only after all of them are complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landslide.artifacts.atomic import draft_folder, publish
from landslide.ensembles.ensemble import ENSEMBLE_FILE, Ensemble, EnsembleInfo, EnsembleMember
from landslide.errors import InputError
from landslide.evaluation.report import model_card
from landslide.pretrained.checkpoint import open_checkpoint
from landslide.pretrained.layout import Group, Published, find_groups
from landslide.pretrained.state_dict import check, renamed
from landslide.pretrained.statistics import archive_bands, moments, normalisation
from landslide.progress import track

SIZE, THRESHOLD, CROP = 20, 0.5, 256  # the paper's


def import_models(
    models: Path, archive: Path, out: Path, size: int = SIZE, bands: Sequence[str] | None = None
) -> list[Ensemble]:
    """Write the published ensembles into `out/<band set>`, replacing earlier ones there.

    Args:
        models: One of the archive's four folders of models, or the folder that contains them.
        archive: The folder of the paper's data, with `train_val/`.
        out: The folder to write into.
        size: Number of members of each ensemble, best first.
        bands: Names of a scene's 15 bands in the archive's order. Without them the order is assumed, and the names of
            the ensembles say so.

    Returns:
        The ensembles that were written.

    Raises:
        InputError: A model is unreadable or has diverged, or `out` has another folder of that name. Nothing is written.
    """
    names = archive_bands(bands)
    groups = find_groups(models)
    for group in groups:
        _refuse_foreign(out / group.name)
    scenes, total = moments(archive, names)
    suffix = "-bands-assumed" if bands is None else ""
    with draft_folder(out.absolute()) as draft:
        for group in groups:
            folder = draft / group.name
            folder.mkdir()
            info = EnsembleInfo(
                name=f"paper-{group.name}{suffix}", band_set=group.name, threshold=THRESHOLD, crop=CROP,
                bands=tuple(names[channel] for channel in group.channels),
                normalisation=normalisation(total, group.channels), members=_members(group, size, names, folder),
                cases={"train": [f"paper-{scene}" for scene in scenes]},
            )  # fmt: skip
            (folder / ENSEMBLE_FILE).write_text(info.model_dump_json(indent=1))
            model_card.write(folder, info, None)
        out.mkdir(exist_ok=True)
        for group in groups:
            publish(draft / group.name, out.absolute() / group.name)
    return [Ensemble.open(out / group.name) for group in groups]


def _members(group: Group, size: int, names: Sequence[str], folder: Path) -> list[EnsembleMember]:
    chosen = list(enumerate(group.models[:size], 1))
    return [_member(model, number, names, folder) for number, model in track(chosen, f"Importing {group.name}")]


def _member(model: Published, number: int, names: Sequence[str], folder: Path) -> EnsembleMember:
    """Copy a model's weights. InputError if they do not match its settings or are not all finite."""
    from safetensors.numpy import save_file

    spec, path = model.spec(names), model.checkpoint()
    with open_checkpoint(path) as checkpoint:
        weights = renamed(spec.architecture, checkpoint.weights)
        check(spec, weights, path)
        arrays = {name: checkpoint.read(tensor) for name, tensor in weights.items()}
    if invalid := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise InputError(
            f"{path} has diverged: {len(invalid)} of its parameters hold NaN or infinity, such as {invalid[0]}. "
            f"Leave out the folder {model.folder}, or take fewer models with --size"
        )
    file = f"{number:02d}-{spec.name}.safetensors"
    save_file(arrays, folder / file)
    return EnsembleMember(spec=spec, validation_f1=model.score, weight=1.0, file=file)


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not (folder / ENSEMBLE_FILE).is_file():
        raise InputError(
            f"{folder} exists and is not an ensemble, so it is not replaced. Give another folder with --out"
        )
