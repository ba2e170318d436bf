"""The paper's trained models as ensembles of ours.

Everything small is read first: settings, scores, the scenes' statistics. Then a member after the other is read, checked
and written into a draft; only when all ensembles are whole do they take their places.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from landslide.artifacts.atomic import writable
from landslide.ensembles.ensemble import ENSEMBLE_FILE, Ensemble, EnsembleInfo, EnsembleMember
from landslide.errors import InputError
from landslide.evaluation.report import model_card
from landslide.pretrained.checkpoint import opened
from landslide.pretrained.layout import Group, Published, find_groups
from landslide.pretrained.state_dict import check, renamed
from landslide.pretrained.statistics import archive_bands, moments, normalisation
from landslide.progress import track

SIZE, THRESHOLD, CROP = 20, 0.5, 256  # the paper's


def import_models(
    models: Path, archive: Path, out: Path, size: int = SIZE, bands: Sequence[str] | None = None
) -> list[Ensemble]:
    """Write the published ensembles into `out/<band set>`, and give them as `Ensemble.open` does.

    `models` is one of the archive's four folders or holds them, `archive` the folder with `train_val/`. `size` models
    of each are taken, best first. `bands` are our names of a scene's 15 bands in the archive's order; without them the
    ensemble's name says that the order is assumed. An earlier ensemble of the same folder is replaced. InputError
    names the model's folder or file if one is unreadable or diverged; then nothing is written.
    """
    names = archive_bands(bands)
    groups = find_groups(models)
    for group in groups:
        _refuse_foreign(out / group.name)
    scenes, total = moments(archive, names)
    suffix = "-bands-assumed" if bands is None else ""
    with _draft(out) as draft:
        for group in groups:
            folder = draft / group.name
            folder.mkdir()
            info = EnsembleInfo(
                name=f"paper-{group.name}{suffix}",
                band_set=group.name,
                bands=tuple(names[channel] for channel in group.channels),
                normalisation=normalisation(total, group.channels),
                threshold=THRESHOLD,
                crop=CROP,
                members=_members(group, size, names, folder),
                cases={"train": [f"paper-{scene}" for scene in scenes]},
            )
            (folder / ENSEMBLE_FILE).write_text(info.model_dump_json(indent=1))
            model_card.write(folder, info, None)
        for group in groups:
            _place(draft / group.name, out / group.name)
    return [Ensemble.open(out / group.name) for group in groups]


def _members(group: Group, size: int, names: Sequence[str], folder: Path) -> list[EnsembleMember]:
    """Copy the weights of the best models of a group, and rank them."""
    chosen = list(enumerate(group.models[:size], 1))
    return [_member(model, place, names, folder) for place, model in track(chosen, f"Importing {group.name}")]


def _member(model: Published, place: int, names: Sequence[str], folder: Path) -> EnsembleMember:
    """Copy a model's weights; InputError if they are not those of its settings, or not all finite."""
    from safetensors.numpy import save_file

    spec, path = model.spec(names), model.checkpoint()
    with opened(path) as checkpoint:
        weights = renamed(spec.architecture, checkpoint.weights)
        check(spec, weights, path)
        arrays = {name: checkpoint.read(tensor) for name, tensor in weights.items()}
    if wild := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise InputError(
            f"{path} has diverged: {len(wild)} of its parameters hold NaN or infinity, such as {wild[0]}. "
            f"Leave out the folder {model.folder}, or take fewer models with --size"
        )
    file = f"{place:02d}-{spec.name}.safetensors"
    save_file(arrays, folder / file)
    return EnsembleMember(spec=spec, validation_f1=model.score, weight=1.0, file=file)


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """A folder beside `out` that is gone after the block, with all that is left in it."""
    writable(out.absolute().parent)
    draft = out.absolute().with_name(f".{out.absolute().name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not (folder / ENSEMBLE_FILE).is_file():
        raise InputError(f"{folder} is there and is no ensemble, so it is not replaced. Give another folder with --out")


def _place(draft: Path, final: Path) -> None:
    """Put a finished folder where an earlier one may be, which goes with the draft."""
    final.parent.mkdir(exist_ok=True)
    if final.exists():
        final.rename(draft.with_name(f"{draft.name}.old"))
    draft.rename(final)
