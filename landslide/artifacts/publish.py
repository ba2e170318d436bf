"""Results in a folder that a person names: they appear whole, replacing what was there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from landslide.artifacts.atomic import draft_folder, publish
from landslide.artifacts.store import MANIFEST
from landslide.errors import InputError


def deliver(artifact: Path, folder: Path) -> None:
    """An artifact's files into a folder: copies, since people open and change them, but links for weights."""
    folder.mkdir(exist_ok=True)
    for file in artifact.iterdir():
        if file.suffix == ".safetensors":
            _link(file, folder / file.name)
        elif file.name != MANIFEST:
            shutil.copy2(file, folder / file.name)


@contextmanager
def published(folder: Path) -> Iterator[Path]:
    """A fresh folder to fill, which takes the place of `folder` at the end of the block, or vanishes on an error."""
    with draft_folder(folder) as draft:
        yield draft
        publish(draft, folder)


def refuse_foreign(out: Path) -> None:
    """InputError if a map would replace a folder that holds something else than an earlier map."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. Give a folder for the map")
    if out.is_dir() and any(out.iterdir()) and not (out / "item.json").exists():
        raise InputError(f"{out} holds files that are no earlier map. Give an empty or a new folder")


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy across file systems."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
