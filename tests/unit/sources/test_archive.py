"""Archives as they lie: tiny ones of both formats, and the real chips of Landslide4Sense."""

from pathlib import Path

import h5py
import numpy as np
import pytest
import rasterio
from affine import Affine

from landslide.bands import BAND_SETS
from landslide.cases.sources import ArchiveSource
from landslide.errors import BandError, SourceError
from landslide.sources.archive import FORMATS, Archive
from landslide.sources.base import Block

FIFTEEN = list(BAND_SETS["all"])


def archive(folder: Path, form: str = "landslide4sense", **more: object) -> Archive:
    described = {"kind": "archive", "format": form, "folder": str(folder)} | more
    return Archive(ArchiveSource.model_validate(described))


def whole(source: Archive, part: str) -> Block:
    return source.read(part, tuple(slice(0, side) for side in source.parts[part].shape))


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
    assert source.bands == BAND_SETS["landslide4sense"]
    assert all(geobox.crs is None and geobox.affine == Affine.identity() for geobox in source.parts.values())
    assert not source.scenes()


def test_a_chip_is_read_whole_and_by_blocks(chips: Path) -> None:
    source, roi = archive(chips), (slice(2, 7), slice(1, 4))
    with h5py.File(chips / "image_2.h5") as file:
        truth = file["img"][()].astype("float32")
    for i, band in enumerate(source.bands):
        np.testing.assert_array_equal(whole(source, "2").values[band], truth[..., i])
        np.testing.assert_array_equal(source.read("2", roi).values[band], truth[(*roi, i)])
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
    assert str(source.parts["7"].crs) == "EPSG:32632"
    assert source.parts["12"].crs is None
    block = whole(source, "7")
    with rasterio.open(scenes / "input/7_input.tif") as raster:
        assert raster.interleaving.value == "PIXEL"
        truth = raster.read()
    np.testing.assert_array_equal(np.stack([block.values[band] for band in FIFTEEN]), truth)
    assert np.isnan(block.values["vv_pre"][0, 0])
    roi = (slice(1, 4), slice(2, 5))
    np.testing.assert_array_equal(source.read("7", roi).values["slope"], block.values["slope"][roi])
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
        whole(source, "7")


def test_the_fingerprint_follows_content_and_choice(chips: Path) -> None:
    first = archive(chips).fingerprint()
    assert archive(chips).fingerprint() == first
    assert archive(chips, parts=["1"]).fingerprint() != first
    chip(chips, "1", np.ones((8, 9, 14)))
    assert archive(chips).fingerprint() != first


def test_every_format_that_a_case_may_name_has_a_reader() -> None:
    named = ArchiveSource.model_fields["format"].annotation.__args__
    assert set(named) == set(FORMATS)


def test_landslide4sense_as_it_lies(real_data: Path) -> None:
    source = archive(real_data / "landslide4sense")
    assert list(source.parts) == ["1", "2", "3", "16", "27", "28", "38", "40", "41", "45", "72"]
    assert {tuple(geobox.shape) for geobox in source.parts.values()} == {(128, 128)}
    bare = [name for name in source.parts if not source.label(name).any()]
    assert bare == ["3", "45"]
    block = whole(source, "72")
    assert len(block.values) == 14
    assert all(np.isfinite(plane).all() for plane in block.values.values())
