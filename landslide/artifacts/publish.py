"""Delivery of results into a folder that the user names."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from landslide.artifacts.atomic import draft_folder, publish
from landslide.artifacts.store import MANIFEST
from landslide.errors import InputError


def deliver(artifact: Path, folder: Path) -> None:
    """Copy an artifact's files into a folder, so that users may edit them; weights are hard links."""
    folder.mkdir(exist_ok=True)
    for file in artifact.iterdir():
        if file.suffix == ".safetensors":
            _link(file, folder / file.name)
        elif file.name != MANIFEST:
            shutil.copy2(file, folder / file.name)


@contextmanager
def published(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which replaces `folder` at the end of the block. After an error it is removed."""
    with draft_folder(folder) as draft:
        yield draft
        publish(draft, folder)


def refuse_foreign(out: Path) -> None:
    """InputError if `out` is a file, or a folder with other content than an earlier map."""
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
