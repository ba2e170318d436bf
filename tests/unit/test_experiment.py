from pathlib import Path

import pytest
import yaml

from landslide.bands import BAND_SETS, BANDS, band_indices, check_bands
from landslide.errors import BandError, InputError
from landslide.experiment import load_experiment

PLACES = {"a": 10.0, "b": 12.0, "c": 14.0}


def world(folder: Path, roles: tuple[str, ...] = ("train", "validation", "test"), **changes: object) -> Path:
    source = {"kind": "stac", "catalog": "catalog.json", "dem": {"collection": "dem"}}
    for (name, longitude), role in zip(PLACES.items(), roles, strict=True):
        aoi = [longitude, 45.0, longitude + 0.01, 45.01]
        case = {"id": name, "event_date": "2020-06-01", "aoi": aoi, "source": source, "role": role}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(case))
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump({"id": "trial", "cases": ["a.yaml", "b.yaml", "c.yaml"], **changes}))
    return path


def test_the_defaults_are_the_published_protocol(tmp_path: Path) -> None:
    experiment, roles = load_experiment(world(tmp_path))
    assert len(experiment.architectures) * len(experiment.losses) * len(experiment.learning_rates) == 90
    assert {name: len(bands) for name, bands in experiment.band_sets.items()} == {
        "s1": 9,
        "s2": 2,
        "s1s2": 11,
        "all": 15,
    }
    assert (experiment.crop, experiment.batch, experiment.samples_per_epoch, experiment.seed) == (256, 4, 1000, 42)
    assert [[case.id for case in group] for group in roles.values()] == [["a"], ["b"], ["c"]]
    assert experiment.all_bands == BAND_SETS["all"]  # with one set or four: the same tiles
    assert (experiment.precision, experiment.lr_schedule, experiment.ema_decay, experiment.validate_every) == (
        "fp32", "plateau", 0, 1,
    )  # fmt: skip


def test_a_preset_gives_defaults_that_the_file_overrides(tmp_path: Path) -> None:
    experiment, _ = load_experiment(world(tmp_path, preset="quick", epochs=3))
    assert experiment.crop == 64
    assert experiment.epochs == 3


def test_the_fast_mode_departs_from_the_protocol_where_the_file_does_not(tmp_path: Path) -> None:
    experiment, _ = load_experiment(world(tmp_path, mode="fast", validate_every=3))
    assert (experiment.precision, experiment.validate_every, experiment.min_lr_ratio) == ("auto", 3, 1e-3)
    assert (experiment.epochs, experiment.samples_per_epoch, experiment.batch, experiment.lr_schedule) == (
        1000,
        1000,
        4,
        "plateau",
    )


def test_the_split_may_be_said_in_the_experiment(tmp_path: Path) -> None:
    split = {"train": ["c"], "validation": ["a"]}
    _, roles = load_experiment(world(tmp_path, split=split))
    assert {role: [case.id for case in group] for role, group in roles.items()} == {**split, "test": []}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["Unet", "Inception"]}, "unknown architecture 'Inception'"),
        ({"losses": ["hinge"]}, "unknown loss 'hinge'"),
        ({"halving_epochs": [20, 10]}, r"halving_epochs \[20, 10\] must rise and stay below the 1000 epochs"),
        ({"halving_epochs": [10], "preset": "quick"}, r"halving_epochs \[10\] must rise and stay below the 10 epochs"),
        (
            {"halving_epochs": [10, 15], "validate_every": 2},
            r"halving_epochs \[15\] is no multiple of validate_every 2",
        ),
        ({"band_sets": ["s3"]}, r"unknown band set\(s\) \['s3'\]"),
        ({"band_sets": {"mine": ["slope", "colour"]}}, "unknown band"),
        ({"band_sets": {"mine": ["slope", "northness"]}}, "one component of a direction without the other"),
        ({"precision": "fp16"}, "precision"),
        ({"ema_decay": 1}, "ema_decay"),
        ({"crop": 100}, "crop"),
        ({"presets": "quick"}, "presets: unknown key"),
        ({"split": {"train": ["a"], "validation": ["a"]}}, "two sides of the split"),
        ({"split": {"train": ["a"], "validation": ["z"]}}, r"split names \['z'\]"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_mistakes_are_told_before_work_starts(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_experiment(world(tmp_path, **changes))


def test_a_role_that_nobody_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no case has the role validation"):
        load_experiment(world(tmp_path, roles=("train", "train", "test")))


def test_neighbours_on_two_sides_of_the_split_are_refused(tmp_path: Path) -> None:
    path = world(tmp_path)
    case = yaml.safe_load((tmp_path / "c.yaml").read_text())
    case["aoi"] = [10.02, 45.0, 10.03, 45.01]
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(case))
    with pytest.raises(InputError, match=r"a \(train\) and c \(test\) are 0\.8 km apart"):
        load_experiment(path)
    (tmp_path / "experiment.yaml").write_text(path.read_text() + "separation_km: 0.5\nwithin_event: true\n")
    load_experiment(path)


def test_band_sets_are_known_bands_and_directions_come_in_pairs() -> None:
    for bands in BAND_SETS.values():
        check_bands(bands)
        kinds = [BANDS[band].symmetry for band in bands]
        assert kinds.count("north") == kinds.count("east")


def test_bands_are_found_by_name_and_missing_ones_named() -> None:
    assert band_indices(["c", "a"], ["a", "b", "c"], "file") == [2, 0]
    with pytest.raises(BandError, match=r"file has no band \['d'\]; it has \['a'\]"):
        band_indices(["d"], ["a"], "file")
    with pytest.raises(BandError, match="is repeated"):
        check_bands(["slope", "slope"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("selection: best", "unknown selector 'best'.*paper, auto, top, forward"),
        ("threshold: f", "threshold"),
        ("calibration: yes", "calibration"),
    ],
)
def test_how_an_ensemble_is_chosen_is_checked_before_anything_runs(tmp_path: Path, line: str, said: str) -> None:
    path = world(tmp_path)
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(InputError, match=said):
        load_experiment(path)
    path.write_text(
        path.read_text().replace(line, "selection: stacked\nthreshold: precision 0.8\ncalibration: isotonic")
    )
    assert load_experiment(path)[0].threshold == "precision 0.8"


def test_the_keys_of_the_last_release_are_read_with_a_warning_that_names_the_new_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = {
        "rate": "one-cycle", "plateau": 7, "least_rate": 0.1, "average": 0.9, "samples": 64, "background": 0.3,
        "halve_at": [2], "per_gpu": 2, "collapsed_after": 3, "selection": "everything", "preset": "quick",
    }  # fmt: skip
    experiment, _ = load_experiment(world(tmp_path, **old))
    today = {
        "lr_schedule": "one-cycle", "lr_patience": 7, "min_lr_ratio": 0.1, "ema_decay": 0.9, "samples_per_epoch": 64,
        "background_fraction": 0.3, "halving_epochs": (2,), "members_per_gpu": 2, "stop_collapsed_after": 3,
        "selection": "all_members",
    }  # fmt: skip
    assert experiment.model_dump(include=set(today)) == today
    for new in today.keys() - {"selection"}:
        assert f"is now called `{new}`" in caplog.text
    assert "is now called `all_members`" in caplog.text
    with pytest.raises(InputError, match="`rate` is the old name of `lr_schedule`; give the new one alone"):
        load_experiment(world(tmp_path, rate="plateau", lr_schedule="plateau"))
