"""The code that each stage's result depends on, as a committed list of digests.

A stage whose code changed needs a new version, so that stores do not deliver what the old code made. After raising
it, or where the results are the same all the same, the list is brought up to date:

    python -m tests.stage_sources                           # stages whose version was raised
    python -m tests.stage_sources --same-result export-mask # stages whose results did not change

Comments, docstrings and formatting do not count.
"""

import argparse
import ast
import hashlib
import importlib
import json
import pkgutil
from importlib.util import find_spec
from pathlib import Path

import landslide
from landslide.artifacts.stage import Stage

LIST = Path(__file__).with_name("stage_sources.json")


def stages() -> dict[str, type[Stage]]:
    """Every stage of the library by name."""
    for module in pkgutil.walk_packages(landslide.__path__, "landslide."):
        if not module.name.startswith("landslide.simulation") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[str, type[Stage]] = {}
    queue = list(Stage.__subclasses__())
    while queue:
        stage = queue.pop()
        queue += stage.__subclasses__()
        if "name" in vars(stage) and stage.__module__.startswith("landslide."):
            found[stage.name] = stage
    return dict(sorted(found.items()))


def current() -> dict[str, dict[str, object]]:
    """Version and digest of the code of every stage."""
    return {
        name: {"version": stage.version, "code": digest_of_modules(stage.sources)} for name, stage in stages().items()
    }


def recorded() -> dict[str, dict[str, object]]:
    """The committed list."""
    found: dict[str, dict[str, object]] = json.loads(LIST.read_text())
    return found


def digest_of_modules(names: tuple[str, ...]) -> str:
    """sha256 of what modules do: their syntax trees without docstrings."""
    parts = [f"{name}\n{ast.dump(_without_docstrings(ast.parse(source_of(name))))}" for name in sorted(names)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def source_of(module: str) -> str:
    """A module's source text."""
    spec = find_spec(module)
    assert spec is not None, f"no module {module}: correct the stage's `sources`"
    assert spec.origin is not None
    return Path(spec.origin).read_text()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return tree


def main() -> None:
    """Bring the list up to date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--same-result", nargs="+", default=[], metavar="STAGE")
    same = parser.parse_args().same_result
    before, now = recorded() if LIST.exists() else {}, current()
    kept = {
        name: now[name]
        if name not in before or name in same or before[name]["version"] != now[name]["version"]
        else before[name]
        for name in now
    }
    LIST.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
