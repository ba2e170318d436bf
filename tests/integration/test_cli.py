"""The command line as a person meets it: help, exit codes, plain words, one JSON object."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.doctor import EXTRAS, requirements
from flows.cli.main import app
from landslide.artifacts.publish import published, refuse_foreign
from landslide.errors import InputError
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
COMMANDS = ("simulate", "prepare", "train", "evaluate", "map", "demo", "doctor")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    status, out, _ = run(command, "--help")
    assert status == 0
    assert "Usage" in out


def test_unusable_input_is_status_two_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "case.yaml").write_text("id: NO\n")
    for arguments in (
        ("prepare", str(tmp_path / "case.yaml")),
        ("prepare", str(tmp_path / "absent.yaml")),
        ("train", str(tmp_path / "absent.yaml")),
        ("map", str(tmp_path / "absent.yaml"), "--ensemble", str(tmp_path), "--out", str(tmp_path / "out")),
        ("evaluate", str(tmp_path), str(tmp_path / "absent.yaml")),
        ("simulate", str(tmp_path)),
    ):
        status, out, err = run(*arguments)
        assert status == 2, arguments
        assert out == ""
        assert "InputError" in err
        assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_a_misspelt_option_is_status_two() -> None:
    assert run("simulate", "world", "--evnts", "3")[0] == 2


def test_simulate_prints_one_json_object(tmp_path: Path) -> None:
    status, out, _ = run("simulate", str(tmp_path / "w"), "--events", "3", "--size", "64", "--json")
    assert status == 0
    assert json.loads(out)["cases"] == 3
    assert Path(json.loads(out)["experiment"]).is_file()


def test_doctor_knows_what_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.cli.doctor.CATALOGUES", {"Nowhere": "http://127.0.0.1:9"})
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    status, out, _ = run("doctor", "--store", str(tmp_path / "store"), "--json")
    findings = {finding["what"]: finding for finding in json.loads(out)["findings"]}
    assert status == 0
    assert findings["torch"]["state"] == "ok"
    assert findings["Nowhere"]["state"] == "optional"


def test_doctor_fails_when_something_needed_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.cli.doctor.CATALOGUES", {})
    monkeypatch.setattr("flows.cli.doctor.requirements", lambda extra=None: [] if extra else ["no-such-package"])
    status, out, _ = run("doctor", "--store", str(tmp_path), "--json")
    assert status == 1
    assert json.loads(out)["ok"] is False


def test_doctor_names_every_extra_and_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.cli.doctor.CATALOGUES", {})
    monkeypatch.setattr("flows.cli.doctor.requirements", lambda extra=None: [f"no-such-{extra}"] if extra else [])
    status, out, _ = run("doctor", "--store", str(tmp_path), "--json")
    findings = {finding["what"]: finding for finding in json.loads(out)["findings"]}
    assert status == 0
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(extras)
    for extra in extras:
        assert findings[f"extra {extra}"]["state"] == "optional"
        assert f"pip install -e '.[{extra}]' (no-such-{extra} not installed)" in findings[f"extra {extra}"]["detail"]


def test_doctor_asks_for_the_packages_of_this_installation() -> None:
    assert {"torch", "prefect", "earthengine-api", "filelock"} <= set(requirements())
    assert "h5py" not in requirements()
    assert requirements("archives") == ["h5py"]
    assert {"pytest", "ruff"} <= set(requirements("dev"))


def test_help_is_quick_because_nothing_heavy_loads() -> None:
    program = (
        "import sys, flows.cli.main; print([m for m in ('torch', 'prefect', 'rasterio', 'xarray') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert done.stdout.strip() == "[]"


def test_a_published_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "map"
    with published(folder) as draft:
        (draft / "item.json").write_text("1")
        assert not folder.exists()
    with pytest.raises(RuntimeError), published(folder) as draft:
        raise RuntimeError
    assert (folder / "item.json").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["map"]


def test_a_map_does_not_replace_foreign_files(tmp_path: Path) -> None:
    refuse_foreign(tmp_path)
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(InputError, match="no earlier map"):
        refuse_foreign(tmp_path)
