"""Which artifacts a store holds."""

from pathlib import Path

from landslide.artifacts.store import MANIFEST


def built(store: Path) -> dict[str, int]:
    """When each artifact was built, by stage and key."""
    return {str(path.parent.relative_to(store)): path.stat().st_mtime_ns for path in store.glob(f"*/[!.]*/{MANIFEST}")}


def rebuilt(before: dict[str, int], store: Path) -> list[str]:
    """Stages of the artifacts built since."""
    return sorted(name.split("/")[0] for name, when in built(store).items() if before.get(name) != when)
