"""The evaluation report as a file: it comes back as it was, and nothing else is taken for one."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from landslide.errors import InputError
from landslide.evaluation.evaluate import observed_share, observed_shares
from landslide.evaluation.results import METRICS, EvaluationReport, PixelScores, Scores
from landslide.metrics.pixel import Counts
from tests.helpers.evaluation_report import made_up_report
from tests.helpers.predictions import open_library, write_case

SCHEMA = Path(__file__).parents[3] / "docs" / "schemas" / "evaluation-report.json"


def test_the_schema_in_the_docs_is_that_of_the_model() -> None:
    assert json.loads(SCHEMA.read_text()) == EvaluationReport.model_json_schema(), (
        f"run `python -m landslide.evaluation.results > {SCHEMA.relative_to(Path.cwd())}`"
    )


def test_a_report_comes_back_from_its_file(tmp_path: Path) -> None:
    report = made_up_report()
    report.write(tmp_path)
    assert EvaluationReport.read(tmp_path) == report


def test_a_report_under_another_name_is_read(tmp_path: Path) -> None:
    made_up_report().write(tmp_path)
    (tmp_path / METRICS).rename(tmp_path / "scores.json")
    assert EvaluationReport.read(tmp_path, "scores.json") == made_up_report()


def test_a_missing_report_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"{tmp_path} holds no evaluation \(metrics.json.*Give the folder"):
        EvaluationReport.read(tmp_path)


@pytest.mark.parametrize("field", sorted(EvaluationReport.model_fields))
def test_a_report_that_lacks_a_field_is_refused(tmp_path: Path, field: str) -> None:
    document = made_up_report().model_dump(mode="json")
    del document[field]
    (tmp_path / METRICS).write_text(json.dumps(document))
    with pytest.raises(InputError, match=rf"(?s)metrics.json is no evaluation report of this version.*{field}.*again"):
        EvaluationReport.read(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"ways": []}', "\xff"])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / METRICS).write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="no evaluation report of this version"):
        EvaluationReport.read(tmp_path)


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    document = made_up_report().model_dump(mode="json") | {"way": "paper"}
    (tmp_path / METRICS).write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"(?s)way.*Extra inputs"):
        EvaluationReport.read(tmp_path)


def test_a_report_does_not_change() -> None:
    with pytest.raises(ValidationError):
        made_up_report().threshold = 0.1  # type: ignore[misc]


def test_scores_keep_the_counts_that_they_are_made_of() -> None:
    counts = Counts(tp=6, fp=2, fn=4, tn=88)
    scores = Scores.of(counts)
    assert scores.counts == counts
    assert scores.model_dump() == counts.scores()
    assert scores.pixels == 100
    assert Scores.of(Counts(tn=5)).f1 is None


def test_pooled_scores_are_those_of_all_pixels() -> None:
    cases = {"a": Counts(tp=1, fp=2, fn=3, tn=4), "b": Counts(tp=10, fp=0, fn=1, tn=9)}
    scores = PixelScores.from_counts(cases)
    assert scores.pooled.counts == Counts(tp=11, fp=2, fn=4, tn=13)
    assert {case: one.counts for case, one in scores.cases.items()} == cases


def test_scores_by_landslide_are_found_by_their_share() -> None:
    report = made_up_report()
    assert [report.objects_at(share).share for share in (0.2, 0.5)] == [0.2, 0.5]


def test_the_share_observed_is_of_area_not_of_cases(tmp_path: Path) -> None:
    """Ten pixels of a hundred of a small case count, and 900 of 1,000 of a large one."""
    for case, shape, counted in (("large", (20, 50), 900), ("small", (10, 10), 10)):
        write_case(tmp_path, case, [np.zeros(shape, bool)], [np.zeros((1, *shape))])
        leave_out(tmp_path / case, counted)
    library = open_library(tmp_path, ["large", "small"], ["member"])
    assert observed_shares(library) == {"large": 0.9, "small": 0.1}
    assert observed_share(library, library.cases) == pytest.approx(910 / 1100)


def leave_out(folder: Path, counted: int) -> None:
    """Let the first so many pixels of a case count."""
    path = folder / "truth" / "truth.json"
    truth = json.loads(path.read_text())
    truth["parts"][0]["pixels"] = counted
    path.write_text(json.dumps(truth))
    for file in (folder / "truth" / "scene0.pixels.npy", folder / "0" / "scene0.npy"):
        np.save(file, np.load(file)[:counted])
