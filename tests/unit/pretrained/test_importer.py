"""From the published layout to ensembles that map as the published networks do."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from typer.testing import CliRunner

from flows.cli.main import app
from landslide.bands import BAND_SETS
from landslide.ensembles.ensemble import Ensemble
from landslide.errors import BandError, InputError, SourceError
from landslide.pretrained import import_models
from landslide.pretrained.hparams import load_settings
from landslide.pretrained.layout import Published, find_groups
from landslide.pretrained.state_dict import check, renamed
from landslide.pretrained.statistics import archive_bands, moments
from landslide.progress import Reporter, reporting
from tests.helpers.published_layout import model, network, record, scalar, scene

S1, S2 = list(range(9)), [13, 14]
ALL = BAND_SETS["all"]
SHAPES = {"1": (70, 90), "2": (64, 64), "10": (33, 65)}


def old_names(made: nn.Module) -> dict[str, torch.Tensor]:
    """A DeepLabV3's parameters by the names of segmentation-models-pytorch 0.3."""
    places = {"aspp": "0", "conv": "1", "bn": "2"}
    state = {}
    for name, tensor in made.state_dict().items():
        side, _, rest = name.partition(".")
        layer, _, inner = rest.partition(".")
        state[f"decoder.{places[layer]}.{inner}" if side == "decoder" else name] = tensor
    return state


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """An archive of three scenes, each band on its own level, some pixels not observed."""
    folder, random = tmp_path_factory.mktemp("archive"), np.random.default_rng(0)
    values = {}
    for name, shape in SHAPES.items():
        planes = random.normal(np.arange(15)[:, None, None] * 10, np.arange(1, 16)[:, None, None], (15, *shape))
        planes[:, :3, :5] = np.nan
        planes[4, 8:] = np.nan
        values[name] = planes.astype("float32")
        scene(folder / "train_val", name, values[name])
    return folder, values


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, nn.Module]]:
    """Two of the four folders, with three models and one."""
    folder = tmp_path_factory.mktemp("models")
    three, deep = folder / "sentinel2_ensemble", network("DeepLabV3", 2)
    made = {
        "0": model(three / "0", "PSPNet", S2, (0.1, 0.4), "SoftBCEWithLogitsLoss"),
        "2": model(three / "2", "DeepLabV3", S2, (0.6, 0.2), "LovaszLoss", state=old_names(deep), made=deep),
        "10": model(three / "10", "Linknet", S2, (0.4,), "JaccardLoss", checkpoint="last.ckpt"),
        "all": model(folder / "all_ch_ensemble/7", "PSPNet", None, (0.3,), "FocalLoss", encoder=None),
    }
    (three / "multirun.yaml").write_text("{}")
    return folder, made


def test_the_command_tells_what_it_wrote(
    models: tuple[Path, dict[str, nn.Module]], scenes: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    given = ["import", str(models[0] / "all_ch_ensemble"), "--data", str(scenes[0]), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, [*given, "--bands", ",".join(ALL), "--json"])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["ensembles"]
    assert (row["bands"], row["members"], row["best validation F1"]) == (15, 1, pytest.approx(0.3))
    assert Ensemble.open(Path(row["folder"])).info.name == row["ensemble"]


def logits(made: nn.Module, seed: int = 1) -> torch.Tensor:
    channels = 15 if made.encoder._in_channels == 15 else 2
    with torch.inference_mode():
        return made(torch.randn(1, channels, 64, 64, generator=torch.Generator().manual_seed(seed)))


def test_members_give_what_the_published_networks_gave(
    models: tuple[Path, dict[str, nn.Module]], scenes: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    out = tmp_path / "ensembles"
    written = import_models(models[0], scenes[0], out, bands=ALL)
    assert [one.folder for one in written] == [out / "all", out / "s2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ensembles"]
    pair = Ensemble.open(out / "s2")
    told = [(voter.spec.name, voter.validation_f1, voter.weight) for voter in pair.info.members]
    assert told == [
        ("DeepLabV3-lovasz-0.001", pytest.approx(0.6), 1.0),
        ("PSPNet-bce-0.001", pytest.approx(0.4), 1.0),  # ties by number
        ("Linknet-jaccard-0.001", pytest.approx(0.4), 1.0),
    ]
    for voter, number in zip(pair.info.members, ("2", "0", "10"), strict=True):
        torch.testing.assert_close(logits(pair.load(voter)), logits(models[1][number]), rtol=0, atol=0)
    whole = Ensemble.open(out / "all")
    (voter,) = whole.info.members
    assert (voter.spec.encoder, voter.spec.loss, voter.spec.seed) == ("resnet34", "focal", 42)
    torch.testing.assert_close(logits(whole.load(voter)), logits(models[1]["all"]), rtol=0, atol=0)


def test_the_ensemble_says_how_its_scenes_were_normalised(
    models: tuple[Path, dict[str, nn.Module]], scenes: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    names = list(reversed(ALL))
    (one,) = import_models(models[0] / "sentinel2_ensemble", scenes[0], tmp_path / "out", size=1, bands=names)
    info = one.info
    assert (info.name, info.band_set, info.threshold, info.crop) == ("paper-s2", "s2", 0.5, 256)
    assert info.bands == ("vv_post", "vv_pre")
    assert len(info.members) == 1
    assert info.cases == {"train": ["paper-1", "paper-2", "paper-10"]}
    pixels = np.concatenate([planes.reshape(15, -1) for planes in scenes[1].values()], 1)[S2].astype("float64")
    np.testing.assert_allclose(info.normalisation.mean, np.nanmean(pixels, 1), rtol=1e-12)
    np.testing.assert_allclose(info.normalisation.std, np.nanstd(pixels, 1), rtol=1e-12)


def test_an_assumed_order_of_the_bands_is_told(
    models: tuple[Path, dict[str, nn.Module]],
    scenes: tuple[Path, dict[str, np.ndarray]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    steps: list[str] = []
    with reporting(_told(steps)):
        (one,) = import_models(models[0] / "sentinel2_ensemble", scenes[0], tmp_path, size=1)
    assert one.info.name == "paper-s2-bands-assumed"
    assert one.info.bands == ("dndvi_median", "dndvi_greenest")
    assert "is not published and taken to be vv_pre,vv_post" in caplog.text
    assert "holds 3 scenes; the published models were normalised by 20" in caplog.text
    assert steps == ["Reading sentinel2_ensemble", "Statistics of the scenes", "Importing s2"]
    with pytest.raises(BandError, match="names 2 bands but a scene of the archive has 15"):
        archive_bands(["slope", "vv_pre"])
    with pytest.raises(BandError, match="unknown band"):
        archive_bands([*ALL[:14], "aspect"])


def _told(steps: list[str]) -> Reporter:
    from contextlib import contextmanager

    @contextmanager
    def report(description: str, _: float):
        steps.append(description)
        yield lambda done, note: None

    return report


def test_an_earlier_import_is_replaced_and_anything_else_is_not(
    models: tuple[Path, dict[str, nn.Module]], scenes: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    source = models[0] / "sentinel2_ensemble"
    for size in (2, 1):
        import_models(source, scenes[0], tmp_path / "out", size, ALL)
    assert len(list((tmp_path / "out/s2").glob("*.safetensors"))) == 1
    (tmp_path / "mine/s2").mkdir(parents=True)
    with pytest.raises(InputError, match="is not an ensemble, so it is not replaced"):
        import_models(source, scenes[0], tmp_path / "mine", 1, ALL)


def test_a_diverged_model_is_named_and_nothing_is_written(
    scenes: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    made = network("PSPNet", 2)
    model(tmp_path / "models/0", "PSPNet", S2, (0.5,), made=made)
    wild = dict(made.state_dict())
    wild["segmentation_head.0.bias"] = torch.tensor([float("nan")])
    model(tmp_path / "models/1", "PSPNet", S2, (0.4,), state=wild, made=made)
    with pytest.raises(InputError, match=r"models/1/checkpoints/epoch_003.ckpt has diverged: 1 of .*segmentation_head"):
        import_models(tmp_path / "models", scenes[0], tmp_path / "out", bands=ALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]
    assert len(import_models(tmp_path / "models", scenes[0], tmp_path / "out", 1, ALL)[0].info.members) == 1


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("checkpoints/epoch_003.ckpt", r"holds no epoch_….ckpt and no last.ckpt. Unpack .*/0 again"),
        ("tensorboard/version_0/hparams.yaml", r"cannot read .*/0/tensorboard/version_0/hparams.yaml"),
        ("tensorboard/version_0/events.out.tfevents.1.a.1.0", "0/.*holds no value of val/f1_best"),
    ],
)
def test_an_unreadable_model_is_named(
    scenes: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, lost: str, words: str
) -> None:
    _bare(tmp_path / "models/0", S2)
    (tmp_path / "models/0" / lost).unlink(missing_ok=True)
    with pytest.raises(InputError, match=words):
        import_models(tmp_path / "models", scenes[0], tmp_path / "out", bands=ALL)
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_refused(models: tuple[Path, dict[str, nn.Module]]) -> None:
    from landslide.pretrained.checkpoint import open_checkpoint

    folder = models[0] / "sentinel2_ensemble/0"
    one = Published(folder, load_settings(folder / "tensorboard/version_0/hparams.yaml"), 0.5)
    spec, path = one.spec(ALL), one.checkpoint()
    with open_checkpoint(path) as checkpoint:
        weights = checkpoint.weights
    check(spec, weights, path)
    with pytest.raises(InputError, match=r"first layer for 2 bands but its hparams.yaml names 9"):
        check(spec.model_copy(update={"bands": ALL[:9]}), weights, path)
    with pytest.raises(InputError, match=r"no weights of a Linknet with resnet18 and 2 bands, in \d+ places: decoder"):
        check(spec.model_copy(update={"architecture": "Linknet"}), weights, path)
    with pytest.raises(InputError, match=r"in 1 places: encoder.conv1.weight is missing instead of float32 \(64, 2"):
        check(spec, dict(list(weights.items())[1:]), path)


def test_names_of_the_old_release() -> None:
    assert renamed("DeepLabV3", {"decoder.0.convs.0.0.weight": 1, "decoder.2.bias": 2, "encoder.0.a": 3}) == {
        "decoder.aspp.convs.0.0.weight": 1,
        "decoder.bn.bias": 2,
        "encoder.0.a": 3,
    }
    assert renamed("Unet", {"decoder.0.weight": 1}) == {"decoder.0.weight": 1}


def test_the_best_epoch_is_taken_and_the_last_where_it_is_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "0/checkpoints"
    folder.mkdir(parents=True)
    one = Published(tmp_path / "0", None, 0.5)
    for name in ("last.ckpt", "epoch_009.ckpt", "epoch_100.ckpt", "epoch_100-v1.ckpt", "epoch_new.ckpt"):
        (folder / name).touch()
    assert one.checkpoint().name == "epoch_100-v1.ckpt"
    for path in folder.glob("epoch_?0*"):
        path.unlink()
    with caplog.at_level(logging.WARNING):
        assert one.checkpoint().name == "last.ckpt"
    assert "where training ended" in caplog.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"net": {"_target_": "segmentation_models_pytorch.Segformer", "in_channels": 2}}, "unknown architecture"),
        ({"net": {"_target_": "os.Unet", "in_channels": 2}}, "unknown architecture"),
        ({"net": {"_target_": "segmentation_models_pytorch.Unet"}}, r"model.net.in_channels: Field required"),
        ({"net": {"_target_": "segmentation_models_pytorch.Unet", "in_channels": 2, "activation": "x"}}, "unknown key"),
        (
            {"net": {"_target_": "segmentation_models_pytorch.Unet", "in_channels": 2, "classes": 2}},
            "model.net.classes",
        ),
        ({"loss": {"_target_": "segmentation_models_pytorch.losses.TverskyLoss"}}, "unknown loss"),
        ({"optimizer": {}}, r"model.optimizer.lr: Field required"),
    ],
)
def test_settings_that_we_cannot_follow_are_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    net = {"_target_": "segmentation_models_pytorch.Unet", "in_channels": 2}
    loss = {"_target_": "segmentation_models_pytorch.losses.DiceLoss"}
    settings = {"model": {"net": net, "loss": loss, "optimizer": {"lr": 0.01}} | change, "data": {"channels": S2}}
    path = tmp_path / "hparams.yaml"
    path.write_text(yaml.safe_dump(settings))
    with pytest.raises(InputError, match=words):
        load_settings(path)


def test_settings_that_would_run_something_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "hparams.yaml"
    path.write_text("model: !!python/object/apply:os.system ['touch x']")
    with pytest.raises(InputError, match="could not determine a constructor"):
        load_settings(path)


def test_folders_that_hold_no_ensembles(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        find_groups(tmp_path / "missing")
    (tmp_path / "some").mkdir()
    with pytest.raises(InputError, match=r"holds no models: no folders 0, 1, 2, … with checkpoints/"):
        find_groups(tmp_path)


def _bare(folder: Path, channels: list[int], count: int | None = None) -> None:
    """A model's folder without weights."""
    tensorboard = folder / "tensorboard/version_0"
    tensorboard.mkdir(parents=True)
    (folder / "checkpoints").mkdir()
    net = {"_target_": "segmentation_models_pytorch.Unet", "in_channels": count or len(channels)}
    loss = {"_target_": "segmentation_models_pytorch.losses.DiceLoss"}
    settings = {"model": {"net": net, "loss": loss, "optimizer": {"lr": 0.01}}, "data": {"channels": channels}}
    (tensorboard / "hparams.yaml").write_text(yaml.safe_dump(settings))
    (tensorboard / "events.out.tfevents.1.a.1.0").write_bytes(record(scalar("val/f1_best", 0.5)))


def test_band_sets_that_do_not_fit(tmp_path: Path) -> None:
    for name, channels in {"a/0": S2, "a/1": S1, "b/0": [0, 5], "c/x/0": S2, "c/y/0": S2}.items():
        _bare(tmp_path / name, channels)
    with pytest.raises(InputError, match="holds models of different bands"):
        find_groups(tmp_path / "a")
    with pytest.raises(InputError, match=r"bands \[0, 5\], which is no band set of the paper"):
        find_groups(tmp_path / "b")
    with pytest.raises(InputError, match=r"more than one ensemble of \['s2'\]"):
        find_groups(tmp_path / "c")
    _bare(tmp_path / "d/0", S2, count=3)
    with pytest.raises(InputError, match=r"in_channels is 3 but data.channels names 2 bands"):
        find_groups(tmp_path / "d")
    _bare(tmp_path / "e/0", [13, 13])
    with pytest.raises(InputError, match="give each channel once"):
        find_groups(tmp_path / "e")


def test_archives_that_do_not_fit(scenes: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no train_val/input\. Give the folder global_dataset"):
        moments(scenes[0] / "train_val", ALL)
    scene(tmp_path / "few/train_val", "1", np.ones((11, 32, 32)))
    with pytest.raises(BandError, match="has 11 bands but 15 are named"):
        moments(tmp_path / "few", ALL)
    (tmp_path / "none/train_val/input").mkdir(parents=True)
    with pytest.raises(SourceError, match="holds nothing of the format paper"):
        moments(tmp_path / "none", ALL)
    empty = np.ones((15, 32, 32))
    empty[3] = np.nan
    scene(tmp_path / "empty/train_val", "1", empty)
    with pytest.raises(InputError, match=r"no value at all in \['vh_pre'\]"):
        moments(tmp_path / "empty", ALL)
