import json
import os
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from landslide.artifacts import stage as module
from landslide.artifacts.stage import Artifact, InputFile, Keyed, Stage, digest, file_digest, major
from landslide.errors import InputError
from tests.helpers.toy_stage import Toy


class Nested(Stage):
    """A stage whose fields hold other models."""

    name: ClassVar[str] = "nested"
    version: ClassVar[int] = 1

    file: InputFile
    parts: dict[str, list[Artifact]] = {}


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)))
def test_the_key_ignores_the_order_of_parameters(parameters: dict[str, object]) -> None:
    assert Toy(x=parameters).key == Toy(x=dict(reversed(parameters.items()))).key
    assert digest(json.loads(json.dumps(parameters))) == digest(parameters)


def test_the_key_changes_with_everything_it_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Renamed(Toy):
        name: ClassVar[str] = "other"

    class Raised(Toy):
        version: ClassVar[int] = 2

    class Packaged(Toy):
        packages: ClassVar[tuple[str, ...]] = ("torch",)

    others = [Renamed(), Raised(), Packaged(), Toy(x={"a": 1}), Toy(source=Artifact(stage="other", key="x"))]
    assert len({Toy().key, *(other.key for other in others)}) == 6
    before = Packaged().key
    monkeypatch.setattr(module, "version", lambda name: "9.0")
    assert Packaged().key != before


def test_what_is_not_in_the_key_does_not_change_it_at_any_depth(tmp_path: Path) -> None:
    assert Toy(label="one").key == Toy(label="two").key
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
    one, other = (Nested(file=InputFile.of(tmp_path / name)) for name in ("a", "b"))
    assert one.key == other.key
    assert one.model_dump()["file"]["path"] == tmp_path / "a", "it is dropped from the key alone"
    (tmp_path / "b").write_text("changed")
    assert Nested(file=InputFile.of(tmp_path / "b")).key != one.key


def test_inputs_are_found_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    x, y = Artifact(stage="x", key="1"), Artifact(stage="y", key="2")
    assert Nested(file=InputFile.of(tmp_path / "a"), parts={"p": [x, y]}).inputs == [x, y]


def test_a_stage_is_frozen_and_refuses_unknown_fields() -> None:
    with pytest.raises(ValidationError):
        Toy(unknown=1)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        Toy().x = {}  # type: ignore[misc]
    assert issubclass(Toy, Keyed)


def test_the_part_of_a_version_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, counts in (("2.9.1", "2"), ("0.6.0", "0.6"), ("1.0", "1")):
        monkeypatch.setattr(module, "version", lambda name, version=version: version)
        assert major("package") == counts
    monkeypatch.undo()
    assert major("no-such-package") == "none"


def test_a_file_is_read_again_once_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    first = file_digest(path)
    path.write_text("two")
    os.utime(path, ns=(1, 1))
    assert file_digest(path) != first
    with pytest.raises(InputError, match=r"cannot read .*missing"):
        file_digest(tmp_path / "missing")
