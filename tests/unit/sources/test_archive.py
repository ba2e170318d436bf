"""Archives as they lie: tiny ones of both formats, and the real chips of Landslide4Sense."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine

from landslide.artifacts.stage import KEY_CONTEXT
from landslide.bands import BAND_SETS
from landslide.cases.case import Case
from landslide.cases.sources import ArchiveSource
from landslide.errors import BandError, InputError, SourceError
from landslide.sources.archive import FORMATS, Archive, read_image
from landslide.sources.base import Block, PartGrid, SceneList
from landslide.sources.registry import open_source

FIFTEEN = list(BAND_SETS["all"])


class Opened:
    """An archive whose parts have been found, its layers gathered by part."""

    def __init__(self, folder: Path, form: str, **more: object) -> None:
        source = {"kind": "archive", "format": form, "folder": str(folder)} | more
        self.source = open_source(Case.model_validate({"id": "own", "source": source}))
        assert isinstance(self.source, Archive)
        self.found = SceneList.model_validate_json(self.source.find_scenes().model_dump_json())
        self.parts: dict[str, PartGrid] = self.found.parts
        self.config = ArchiveSource.model_validate(source)

    def read(self, part: str) -> Block:
        values = {}
        for request in self.found.layers.values():
            grid = self.parts[part]
            planes = {band: np.full((grid.height, grid.width), 77, "float32") for band in request.bands}
            for roi, block in self.source.export(request, part, Path("unused")) if request.bands else ():
                assert tuple(block.values) == request.bands
                assert not block.seen
                for band, plane in block.values.items():
                    planes[band][roi] = plane
            values |= planes
        return Block(values)

    def label(self, part: str) -> np.ndarray | None:
        return self.source.label(self.found.layers["mask"], part)

    def keys(self) -> dict[str, object]:
        """What the layers' keys have of the requests."""
        requests = self.found.layers.items()
        return {layer: request.model_dump(mode="json", context=KEY_CONTEXT) for layer, request in requests}


def archive(folder: Path, form: str = "landslide4sense", **more: object) -> Opened:
    return Opened(folder, form, **more)


def chip(folder: Path, name: str, image: np.ndarray, mask: np.ndarray | None = None) -> None:
    with h5py.File(folder / f"image_{name}.h5", "w") as file:
        file["img"] = image
    if mask is not None:
        with h5py.File(folder / f"mask_{name}.h5", "w") as file:
            file["mask"] = mask


def scene(folder: Path, name: str, values: np.ndarray, label: np.ndarray | None, crs: str | None = None) -> None:
    """A scene as the paper's archive holds it: bands interleaved by pixel; values (band, y, x)."""
    georeference = {"crs": crs, "transform": Affine(10, 0, 5e5, 0, -10, 5e6)} if crs else {}
    for sub, planes, dtype in (
        ("input", values, "float32"),
        ("label", label if label is None else label[None], "uint8"),
    ):
        if planes is None:
            continue
        (folder / sub).mkdir(exist_ok=True, parents=True)
        count, height, width = planes.shape
        with rasterio.open(
            folder / sub / f"{name}_{sub}.tif", "w", driver="GTiff", count=count, height=height, width=width,
            dtype=dtype, interleave="pixel", **georeference,
        ) as raster:  # fmt: skip
            raster.write(planes.astype(dtype))


@pytest.fixture
def chips(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("10", "2", "1"):
        chip(tmp_path, name, random.normal(size=(8, 9, 14)), random.integers(0, 2, (8, 9), "uint8"))
    return tmp_path


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("7", "12"):
        values = random.normal(size=(15, 6, 5))
        values[:, 0, 0] = np.nan
        scene(tmp_path, name, values, random.integers(0, 2, (6, 5), "uint8"), "EPSG:32632" if name == "7" else None)
    return tmp_path


def test_chips_in_natural_order_with_bands_of_the_set(chips: Path) -> None:
    source = archive(chips)
    assert list(source.parts) == ["1", "2", "10"]
    assert sorted(band for request in source.found.layers.values() for band in request.bands) == sorted(
        BAND_SETS["landslide4sense"]
    )
    geoboxes = [grid.geobox for grid in source.parts.values()]
    assert all(geobox.crs is None and geobox.affine == Affine.identity() for geobox in geoboxes)
    assert all(scene.time is None for request in source.found.layers.values() for scene in request.scenes)


def test_the_bands_of_a_chip_are_layers_of_their_sensors(chips: Path) -> None:
    layers = archive(chips).found.layers
    assert {layer: len(request.bands) for layer, request in layers.items()} == {
        "sentinel2": 12, "terrain": 2, "mask": 0
    }  # fmt: skip
    assert layers["terrain"].bands == ("l4s_slope", "l4s_elevation")
    for layer, asset in {"sentinel2": "image", "terrain": "image", "mask": "mask"}.items():
        assert [(scene.id, scene.sensor, list(scene.assets)) for scene in layers[layer].scenes] == [
            (name, "archive", [asset]) for name in ("1", "2", "10")
        ]


def test_a_chip_is_read_whole_and_by_blocks(chips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, roi = archive(chips), (slice(2, 7), slice(1, 4))
    with h5py.File(chips / "image_2.h5") as file:
        truth = file["img"][()].astype("float32")
    block = source.read("2")
    for i, band in enumerate(BAND_SETS["landslide4sense"]):
        np.testing.assert_array_equal(block.values[band], truth[..., i])
        np.testing.assert_array_equal(read_image(source.config, chips / "image_2.h5", roi)[i], truth[(*roi, i)])
    monkeypatch.setattr("landslide.sources.archive.BLOCK_SIDE", 4)
    for band, plane in source.read("2").values.items():
        np.testing.assert_array_equal(plane, block.values[band])
    assert source.label("2").shape == (8, 9)
    assert source.label("2").dtype == np.uint8


def test_parts_are_picked_in_the_order_asked(chips: Path) -> None:
    assert list(archive(chips, parts=["10", "1"]).parts) == ["10", "1"]
    with pytest.raises(SourceError, match=r"no parts \['3'\]; it has \['1', '2', '10'\]"):
        archive(chips, parts=["3", "1"])


def test_chips_without_masks_have_no_label(chips: Path, caplog: pytest.LogCaptureFixture) -> None:
    (chips / "mask_2.h5").unlink()
    source = archive(chips)
    assert source.label("2") is None
    assert source.label("1") is not None
    assert "no mask for the chips ['2']" in caplog.text
    for path in chips.glob("mask_*"):
        path.unlink()
    assert archive(chips).label("1") is None


def test_the_sets_own_folders_are_found_but_not_mixed(tmp_path: Path) -> None:
    for split in ("TrainData", "ValidData"):
        (tmp_path / split / "img").mkdir(parents=True)
        chip(tmp_path / split / "img", "1", np.zeros((4, 4, 14)))
    assert list(archive(tmp_path / "TrainData").parts) == ["1"]
    with pytest.raises(SourceError, match=r"ValidData/img/image_1.h5 and .*TrainData/img/image_1.h5 are both part '1'"):
        archive(tmp_path)


def test_scenes_are_paired_by_the_first_underscore(scenes: Path) -> None:
    source = archive(scenes, "paper", bands=FIFTEEN)
    assert list(source.parts) == ["7", "12"]
    assert source.parts["7"].crs == "EPSG:32632"
    assert source.parts["12"].crs is None
    block = source.read("7")
    with rasterio.open(scenes / "input/7_input.tif") as raster:
        assert raster.interleaving.value == "PIXEL"
        truth = raster.read()
    np.testing.assert_array_equal(np.stack([block.values[band] for band in FIFTEEN]), truth)
    assert np.isnan(block.values["vv_pre"][0, 0])
    roi = (slice(1, 4), slice(2, 5))
    slope = read_image(source.config, scenes / "input/7_input.tif", roi)[FIFTEEN.index("slope")]
    np.testing.assert_array_equal(slope, block.values["slope"][roi])
    assert source.label("7").tolist() == rasterio.open(scenes / "label/7_label.tif").read(1).tolist()


def test_the_papers_order_must_be_told(scenes: Path) -> None:
    with pytest.raises(SourceError, match="is not published"):
        archive(scenes, "paper")
    with pytest.raises(BandError, match=r"input/7_input.tif has 15 bands but 9 are named"):
        archive(scenes, "paper", bands=list(BAND_SETS["s1"]))


def test_a_scene_without_its_label(scenes: Path) -> None:
    (scenes / "label/12_label.tif").unlink()
    with pytest.raises(SourceError, match=r"12_input.tif"):
        archive(scenes, "paper", bands=FIFTEEN)
    (scenes / "label/7_label.tif").unlink()
    assert archive(scenes, "paper", bands=FIFTEEN).label("7") is None


def test_the_wrong_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds nothing of the format paper"):
        archive(tmp_path, "paper", bands=FIFTEEN)
    with pytest.raises(SourceError, match=r"image_1.h5"):
        archive(tmp_path)


@pytest.mark.parametrize(
    ("mask", "words"), [(np.zeros((5, 5)), r"is \(5, 5\) but"), (np.full((8, 9), 2), r"holds \[2\]")]
)
def test_masks_that_do_not_fit(chips: Path, mask: np.ndarray, words: str) -> None:
    chip(chips, "1", np.zeros((8, 9, 14)), mask)
    with pytest.raises(SourceError, match=rf"mask_1.h5 {words}"):
        archive(chips).label("1")


def test_truncated_files_are_named(chips: Path, scenes: Path) -> None:
    path = chips / "image_10.h5"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SourceError, match=r"image_10\.h5"):
        archive(chips)
    source = archive(scenes, "paper", bands=FIFTEEN)
    path = scenes / "input/7_input.tif"
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(SourceError, match=r"7_input\.tif"):
        source.read("7")


def test_the_requests_follow_content_and_choice(chips: Path) -> None:
    first = archive(chips).keys()
    assert archive(chips).keys() == first
    chosen = archive(chips, parts=["1"]).keys()
    assert all(chosen[layer] != first[layer] for layer in first)
    chip(chips, "1", np.ones((8, 9, 14)))
    changed = archive(chips).keys()
    assert [layer for layer in first if changed[layer] != first[layer]] == ["sentinel2", "terrain"]
    chip(chips, "1", np.ones((8, 9, 14)), np.full((8, 9), 1))
    assert archive(chips).keys()["mask"] != first["mask"]


def test_the_requests_follow_the_order_of_the_bands(scenes: Path) -> None:
    first = archive(scenes, "paper", bands=FIFTEEN)
    swapped = list(FIFTEEN)
    swapped[9], swapped[13] = swapped[13], swapped[9]
    other = archive(scenes, "paper", bands=swapped)
    np.testing.assert_array_equal(other.read("7").values["elevation"], first.read("7").values["dndvi_median"])
    changed = [layer for layer, key in first.keys().items() if key != other.keys()[layer]]
    assert changed == ["sentinel2", "terrain"]


def test_a_band_of_the_mask_is_read_beside_the_label(scenes: Path) -> None:
    source = archive(scenes, "paper", bands=[*FIFTEEN[:-1], "water"])
    assert source.found.layers["mask"].bands == ("water",)
    with rasterio.open(scenes / "input/7_input.tif") as raster:
        np.testing.assert_array_equal(source.read("7").values["water"], raster.read(15))
    assert source.label("7").shape == (6, 5)


def test_opening_reads_nothing(tmp_path: Path) -> None:
    described = {"kind": "archive", "format": "landslide4sense", "folder": str(tmp_path / "none")}
    source = open_source(Case.model_validate({"id": "own", "source": described}))
    with pytest.raises(SourceError, match="holds nothing of the format"):
        source.find_scenes()


def test_an_export_does_not_list_the_folder_again(chips: Path) -> None:
    source = archive(chips)
    before = source.read("1").values
    chip(chips, "3", np.zeros((8, 9, 14)))
    (chips / "image_2.h5").unlink()
    for band, plane in source.read("1").values.items():
        np.testing.assert_array_equal(plane, before[band])


def test_chips_need_their_package(chips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landslide.extras.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"h5py, which is not installed: pip install \"landslide\[archives\]\""):
        archive(chips)


def test_every_format_that_a_case_may_name_has_a_reader() -> None:
    named = ArchiveSource.model_fields["format"].annotation.__args__
    assert set(named) == set(FORMATS)


def test_landslide4sense_as_it_lies(real_data: Path) -> None:
    source = archive(real_data / "landslide4sense")
    assert list(source.parts) == ["1", "2", "3", "16", "27", "28", "38", "40", "41", "45", "72"]
    assert {(grid.height, grid.width) for grid in source.parts.values()} == {(128, 128)}
    bare = [name for name in source.parts if not source.label(name).any()]
    assert bare == ["3", "45"]
    block = source.read("72")
    assert len(block.values) == 14
    assert all(np.isfinite(plane).all() for plane in block.values.values())
