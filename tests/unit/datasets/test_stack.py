"""The prepare stage on a person's own files: what was not observed stays so, and a blind case is refused by name."""

from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
import yaml

from landslide.cases.case import Case, load_case
from landslide.datasets.layers import ExportMask
from landslide.datasets.stack import Stack
from landslide.errors import InputError, NoOverlapError, SourceError
from landslide.geo.grid import grid
from landslide.sources.base import PartGrid, SceneList
from tests.helpers.stacks import prepared as prepare

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
    return prepare(load_case(path), folder)


def mask_of(case: Case) -> ExportMask:
    grids = {"scene": PartGrid.of(grid(case))}
    return ExportMask.of(case, SceneList(case=case.id, parts=grids, layers={}))


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
        return prepared(path, tmp_path / "store").folder.name

    first = key()
    path.write_text(path.read_text() + "title: Another name\nrole: test\n")
    assert key() == first
    case_file(tmp_path / "in", scl=5)
    assert key() != first


def cover_file(path: Path, values: np.ndarray, crs: str = "EPSG:4326", nodata: float | None = None) -> Path:
    """Classes over the area of interest and a little around it, in degrees unless the area is moved."""
    west, south, east, north = AOI
    rows, columns = values.shape
    to = rasterio.transform.from_bounds(west - 0.001, south - 0.001, east + 0.001, north + 0.001, columns, rows)
    profile = {"driver": "GTiff", "height": rows, "width": columns, "count": 1, "dtype": values.dtype, "nodata": nodata}
    with rasterio.open(path, "w", crs=crs, transform=to, **profile) as file:
        file.write(values[None])
    return path


def test_cover_is_warped_by_the_nearest_pixel_and_named(tmp_path: Path) -> None:
    west, south, east, north = AOI
    values = np.full((60, 80), 7, "uint8")
    values[:, 40:], values[:5], values[-20:, :20] = 200, 0, 255
    cover = {"path": str(cover_file(tmp_path / "cover.tif", values, nodata=0)), "names": {7: "forest", 200: "water"}}
    triangle = {"type": "Polygon", "coordinates": [[[west, south], [east, south], [west, north], [west, south]]]}
    stack = prepared(case_file(tmp_path / "in", cover=cover, aoi=triangle), tmp_path / "out")
    found = stack.cover("scene")
    assert found is not None
    assert found.dtype == np.uint8
    with stack.reader("scene") as reader:
        assert found.shape == reader.shape
        observed = np.isfinite(reader.read(["dndvi_median"])[0])
    assert set(np.unique(found)) == {7, 200, 255}, "no class is invented between two"
    middle = found.shape[1] // 2
    assert (found[10:25, : middle - 2] == 7).all()
    assert (found[10:25, middle + 2 :] == 200).all()
    assert (found[-8:, :8] == 255).all(), "255 in the file is unknown"
    assert (found[~observed] != 255).any(), "it is known outside the polygon, too"
    assert stack.cover_names == {7: "forest", 200: "water"}


def test_beyond_its_file_cover_is_unknown_and_without_any_it_is_none(tmp_path: Path) -> None:
    half = cover_file(tmp_path / "half.tif", np.full((60, 80), 1, "uint8"))
    path = case_file(tmp_path / "in", aoi=[9.0, 45.0, 9.012, 45.004], cover={"path": str(half), "names": {1: "forest"}})
    found = prepared(path, tmp_path / "out").cover("scene")
    assert found is not None
    assert (found[:, :40] == 1).all()
    assert (found[:, -30:] == 255).all()
    without = prepared(case_file(tmp_path / "in"), tmp_path / "without")
    assert without.cover("scene") is None
    assert without.cover_names == {}


@pytest.mark.parametrize(("number", "words"), [(1.5, "holds 1.5"), (-3.0, "holds -3"), (300.0, "holds 300")])
def test_what_is_no_class_is_refused(tmp_path: Path, number: float, words: str) -> None:
    path = cover_file(tmp_path / "cover.tif", np.full((60, 80), number, "float32"))
    with pytest.raises(SourceError, match=rf"cover\.tif {words}.*whole number from 0 to 254"):
        prepared(case_file(tmp_path / "in", cover={"path": str(path), "names": {1: "forest"}}), tmp_path / "out")


def test_cover_of_another_place_or_none_is_refused(tmp_path: Path) -> None:
    elsewhere = cover_file(tmp_path / "elsewhere.tif", np.ones((60, 80), "uint8"), crs="EPSG:32632")
    for number, (path, error, words) in enumerate((
        (elsewhere, NoOverlapError, r"case valley: the land cover .*elsewhere\.tif covers"),
        (tmp_path / "in" / "case.yaml", SourceError, r"cannot read .*case\.yaml"),
    )):  # fmt: skip
        cover = {"path": str(path), "names": {1: "forest"}}
        with pytest.raises(error, match=words):
            prepared(case_file(tmp_path / "in", cover=cover), tmp_path / f"out{number}")
    missing = load_case(case_file(tmp_path / "in", cover={"path": str(tmp_path / "no.tif"), "names": {1: "forest"}}))
    with pytest.raises(InputError, match=r"no\.tif"):
        mask_of(missing)


def test_cover_makes_another_mask_and_changes_no_other_layer(tmp_path: Path) -> None:
    file = cover_file(tmp_path / "cover.tif", np.ones((60, 80), "uint8"))
    cover = {"path": str(file), "names": {1: "forest"}}

    def stack(**changes: object) -> Stack:
        return prepared(case_file(tmp_path / "in", **changes), tmp_path / "store")

    plain, known = stack(), stack(cover=cover)
    assert known.info.layers["sentinel2"] == plain.info.layers["sentinel2"]
    assert known.info.layers["mask"] != plain.info.layers["mask"]
    cover_file(file, np.full((60, 80), 2, "uint8"))
    assert stack(cover=cover).info.layers["mask"] != known.info.layers["mask"]


def test_the_windows_count_for_dated_outlines_alone(tmp_path: Path) -> None:
    outlines = geopandas.GeoDataFrame({"day": ["2020-06-01"]}, geometry=[shapely.box(9.001, 45.001, 9.002, 45.002)])
    outlines.set_crs("EPSG:4326").to_file(tmp_path / "slides.gpkg")

    def key(days: int, **inventory: str) -> str:
        given = {"path": str(tmp_path / "slides.gpkg"), **inventory}
        return mask_of(Case.model_validate({**stub(), "post": {"days": days}, "inventory": given})).key

    assert key(30) == key(40)
    assert key(30, date_field="day") != key(40, date_field="day")


def test_a_folder_without_a_prepared_case_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no stack"):
        Stack.open(tmp_path)
