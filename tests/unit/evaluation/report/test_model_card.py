import json

import pytest

from landslide.ensembles.calibration import Isotonic, Platt
from landslide.ensembles.confidence import ConfidenceThresholds
from landslide.ensembles.ensemble import Ensemble, EnsembleInfo
from landslide.evaluation.report import model_card
from tests.helpers.evaluation_report import changed, made_up_report
from tests.helpers.mapping_case import write_ensemble


@pytest.fixture
def info(tmp_path):
    described = write_ensemble(tmp_path / "ensemble", ["dndvi_median", "slope"]).info
    return described.model_copy(update={
        "selector": "forward", "scale": "logit", "calibration": Platt(slope=0.81, bias=-0.4),
        "confidence": ConfidenceThresholds(medium=0.61, high=0.83),
        "cases": {"train": ["b", "a"], "validation": ["c"], "test": []},
    })  # fmt: skip


def written(folder, info, report=None):
    folder.mkdir(exist_ok=True)
    model_card.write(folder, info, report)
    return (folder / "card.md").read_text(), json.loads((folder / "card.json").read_text())


def test_it_says_what_the_ensemble_is_and_what_it_is_for(tmp_path, info):
    text, data = written(tmp_path, info)
    for words in ("## Intended use", "It is not for", "`dndvi_median`", "Selector: forward, a mean of logits",
                  "Calibration: platt, slope 0.81, bias -0.4", "Training: a, b", "Test: none",
                  "high from 0.83, medium from 0.61, low below", "MIT"):  # fmt: skip
        assert words in text
    assert data["licence"] == "MIT"
    assert [band["unit"] for band in data["bands"]] == ["1", "°"]
    assert len(data["members"]) == len(info.members)


def test_before_an_evaluation_it_says_so(tmp_path, info):
    text, data = written(tmp_path, info)
    assert "**Not evaluated.**" in text
    assert data["scores"] is None


def test_scores_come_with_intervals_and_limits_are_measured(tmp_path, info):
    report = made_up_report()
    text, data = written(tmp_path, info, report)
    f1 = data["scores"]["pixels"]["f1"]
    assert f1["value"] == report.pooled.f1
    assert f1["events"] == list(report.intervals.f1.events)
    assert f"**F1 {f1['value']:.2f}** ({f1['events'][0]:.2f} to {f1['events'][1]:.2f} over events)" in text
    assert "| high | 0.83 | 41 | 39 |" in text
    assert "clear-cut" in text
    assert 0 < data["limits"]["measured"]["observed"] < 1
    assert "Not evaluated" not in text


@pytest.mark.parametrize("gone", ["average_precision", "baseline_dndvi", "calibration", "confidence", "reliability"])
def test_what_the_evaluation_lacks_is_not_made_up(tmp_path, info, gone):
    text, _ = written(tmp_path, info, changed(made_up_report(), **{gone: None}))
    assert "None" not in text
    assert "nan" not in text


def test_a_description_with_nothing_but_what_is_required_is_enough(tmp_path, info):
    given = info.model_dump(exclude={"selector", "scale", "calibration", "confidence"})
    text, data = written(tmp_path, EnsembleInfo.model_validate(given))
    assert "Selector: paper, a mean of probabilities" in text
    assert "Calibration: none" in text
    assert data["confidence_from"] is None
    assert "None" not in text


def test_the_steps_of_a_calibration_are_for_machines_alone(tmp_path, info):
    isotonic = Isotonic(logits=(0.0, 1.0), values=(0.1, 0.9))
    text, data = written(tmp_path, info.model_copy(update={"calibration": isotonic}))
    assert "Calibration: isotonic\n" in text
    assert data["calibration"]["values"] == [0.1, 0.9]


def test_a_card_is_the_same_each_time_and_leaves_the_ensemble_as_it_was(tmp_path, info):
    ensemble = Ensemble.open(tmp_path / "ensemble")
    before = ensemble.fingerprint()
    first = written(ensemble.folder, info, made_up_report())
    assert written(ensemble.folder, info, made_up_report()) == first
    assert Ensemble.open(ensemble.folder).fingerprint() == before
