"""The prepare stage on a person's own files: what was not observed stays so, and a blind case is refused by name."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import yaml

from landslide.cases import Case, load_case
from landslide.errors import InputError, SourceError
from landslide.grid import grid
from landslide.sources import open_source
from landslide.stack import Stack, prepare, prepare_request

AOI = [9.0, 45.0, 9.006, 45.004]
CLOUD, VEGETATION = 9, 4


def case_file(folder: Path, scl: int = VEGETATION, **changes: object) -> Path:
    """A case of one Sentinel-2 scene on each side, under one class of the scene classification."""
    folder.mkdir(exist_ok=True)
    geobox = grid(Case.model_validate({**stub(), "aoi": AOI}))
    scenes = []
    for day, nir in (("2020-05-20", 0.5), ("2020-06-10", 0.2)):
        scene: dict[str, object] = {"date": day}
        for name, value, dtype in (("red", 0.1, "float32"), ("nir", nir, "float32"), ("scl", scl, "uint8")):
            path = folder / f"{day}-{name}.tif"
            profile = {"driver": "GTiff", "height": geobox.shape.y, "width": geobox.shape.x, "count": 1, "dtype": dtype}
            with rasterio.open(path, "w", crs=str(geobox.crs), transform=geobox.affine, **profile) as file:
                file.write(np.full((1, *geobox.shape), value, dtype))
            scene[name] = path.name
        scenes.append(scene)
    path = folder / "case.yaml"
    path.write_text(yaml.safe_dump({**stub(), "source": {"kind": "files", "sentinel2": scenes}, **changes}))
    return path


def stub() -> dict[str, object]:
    source = {"kind": "files", "dem": "dem.tif"}
    return {"id": "valley", "event_date": "2020-06-01", "aoi": AOI, "source": source}


def prepared(path: Path, folder: Path) -> Stack:
    folder.mkdir()
    case = load_case(path)
    prepare(case, open_source(case), folder, folder / "workspace")
    return Stack.open(folder)


def test_windows_full_of_cloud_are_refused_by_name(tmp_path: Path) -> None:
    words = r"case valley: .*dndvi_median.* no observed pixel in windows pre 2020-04-02\.\.2020-05-31, post 2020-06-02"
    with pytest.raises(SourceError, match=words) as error:
        prepared(case_file(tmp_path / "in", scl=CLOUD), tmp_path / "out")
    assert "sentinel-2 2020-05-20" in str(error.value)


def test_the_change_is_after_minus_before_and_counted(tmp_path: Path) -> None:
    stack = prepared(case_file(tmp_path / "in"), tmp_path / "out")
    with stack.reader("scene") as reader, stack.seen("scene") as seen:
        change = reader.read(["dndvi_median"])[0]
        counts = seen.read(["s2_pre", "s2_post", "s1_pre"])
    assert np.allclose(change, (0.2 - 0.1) / 0.3 - (0.5 - 0.1) / 0.6, atol=1e-6)
    assert (counts[:2] == 1).all()
    assert (counts[2] == 65535).all(), "a sensor that the case does not have is unknown, not unseen"
    assert stack.label("scene") is None


def test_outside_a_polygon_nothing_is_observed_and_labels_are_ignored(tmp_path: Path) -> None:
    west, south, east, north = AOI
    triangle = [[west, south], [east, south], [west, north], [west, south]]
    slide = shapely.box(west + 0.001, south + 0.0005, west + 0.002, south + 0.0015)
    inventory = tmp_path / "slides.gpkg"
    geopandas.GeoDataFrame(geometry=[slide], crs="EPSG:4326").to_file(inventory)
    path = case_file(
        tmp_path / "in", aoi={"type": "Polygon", "coordinates": [triangle]}, inventory={"path": str(inventory)}
    )
    stack = prepared(path, tmp_path / "out")
    with stack.reader("scene") as reader:
        observed = np.isfinite(reader.read(["dndvi_median"])[0])
    label = stack.label("scene")
    assert label is not None
    assert 0.4 < observed.mean() < 0.65
    assert (label[~observed] == 255).all()
    assert (label[observed] != 255).all()
    assert (label == 1).sum() == stack.info.parts[0].landslide_pixels > 0


def test_the_title_and_role_do_not_make_another_stack_but_the_files_do(tmp_path: Path) -> None:
    path = case_file(tmp_path / "in")

    def key() -> str:
        case = load_case(path)
        return prepare_request(case, open_source(case)).key

    first = key()
    path.write_text(path.read_text() + "title: Another name\nrole: test\n")
    assert key() == first
    case_file(tmp_path / "in", scl=5)
    assert key() != first


def test_a_folder_without_a_prepared_case_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no prepared case"):
        Stack.open(tmp_path)
