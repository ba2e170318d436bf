"""The preview: a page whose layers the service draws, and the notebook that shows the same."""

import json
import re
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.main import app
from landslide.cases.case import load_case
from landslide.errors import EmptyWindowError, InputError, SourceError
from landslide.simulation.world import World
from landslide.sources.earthengine.preview import Preview, write_preview
from landslide.sources.earthengine.session import Session
from tests.helpers.parity import by_service

pytestmark = pytest.mark.skipif(find_spec("geemap") is None, reason="the preview is an extra: geemap is not installed")
ROOT = Path(__file__).resolve().parents[4]
LAYERS = ("Sentinel-2 before", "Sentinel-2 after", "Change of NDVI", "Change of VV, dB", "Slope, degrees",
          "Times seen, s1_pre", "Area of interest", "Inventory")  # fmt: skip


@pytest.fixture
def case_file(world: World, tmp_path: Path) -> Path:
    path = tmp_path / "case.yaml"
    path.write_text(by_service(load_case(world.cases[-1])).model_dump_json())
    return path


def tile_at(longitude: float, latitude: float, zoom: int) -> tuple[int, int]:
    """Column and row of the web map tile that holds a place."""
    column = (longitude + 180) / 360 * 2**zoom
    row = (1 - np.arcsinh(np.tan(np.radians(latitude))) / np.pi) / 2 * 2**zoom
    return int(column), int(row)


@pytest.mark.slow
def test_the_page_has_layers_that_are_drawn(case_file: Path, connected: Session, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["preview", str(case_file), "--out", str(tmp_path / "map.html")])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "map.html").read_text()
    assert [name for name in LAYERS if f'"{name}"' not in page] == []
    west, south, east, north = load_case(case_file).aoi  # type: ignore[misc]
    x, y = tile_at((west + east) / 2, (south + north) / 2, 14)
    layers = re.findall(rf"{re.escape(connected.url)}/[^\"]*?tiles/", page)
    assert len(layers) >= len(LAYERS)
    for layer in layers:
        with urlopen(f"{layer}14/{x}/{y}") as reply:
            drawn = Image.open(BytesIO(reply.read())).convert("RGBA")
        assert np.asarray(drawn)[..., 3].any(), "something is drawn there"


def test_a_layer_that_is_missing_is_not_drawn(
    world: World, connected: Session, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> None:
        raise EmptyWindowError("no scene after the event")

    monkeypatch.setattr("landslide.sources.earthengine.expressions.sentinel1.search", none)
    names = [name for name, _, _ in Preview(by_service(load_case(world.cases[-1])))._layers()]
    assert "Change of VV, dB" not in names
    assert "Times seen, s1_pre" not in names
    assert "Change of NDVI" in names
    assert "the preview has no sentinel1: no scene after the event" in caplog.text


def test_other_sources_have_no_preview(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has source stac; only `source: earthengine` has a preview"):
        write_preview(load_case(world.cases[-1]), tmp_path / "map.html")


@pytest.mark.slow
def test_a_preview_that_fails_leaves_nothing(
    case_file: Path, connected: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landslide.sources.earthengine.expressions.sentinel2.VISIBLE", ("blue",))
    monkeypatch.setattr("landslide.sources.earthengine.preview.NATURAL", {"bands": ["missing"]})
    with pytest.raises(SourceError, match="missing"):
        write_preview(load_case(case_file), tmp_path / "out" / "map.html")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((ROOT / "docs" / "preview.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell.replace("size=320", "size=96"), "preview.ipynb", "exec"), names)
    assert names["case"].id == "willow-basin"  # type: ignore[attr-defined]
