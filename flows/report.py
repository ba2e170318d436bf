"""What an experiment says, over all its band sets: `report.html`, and which size of an ensemble is best."""

import json
import os
from pathlib import Path

import yaml

from landslide.evaluation import page
from landslide.evaluation.questions import draw_sizes_of_all, sizes, write_answer
from landslide.evaluation.results import METRICS
from landslide.experiment import Experiment

REPORT, SIZES = "report.html", "sizes"


def write_report(settings: Experiment, results: dict[str, Path], store: Path) -> None:
    """Both into the experiment's folder of results, from the folder of each band set; nothing without test cases."""
    found = {name: folder for name, folder in results.items() if (folder / METRICS).exists()}
    if not found:
        return
    folder, title = store / "results" / settings.id, settings.title or settings.id
    documents = {name: json.loads((one / METRICS).read_text()) for name, one in found.items()}
    figures = {name: {picture.name: picture for picture in one.glob("*.png")} for name, one in found.items()}
    answers, picture = sizes(documents), folder / f"{SIZES}.png"
    write_answer(answers, SIZES, folder)
    draw_sizes_of_all(answers, title, picture)
    draft = folder / f".{REPORT}"
    page.write(draft, title, documents, figures, _reproduce(settings), picture)
    os.replace(draft, folder / REPORT)


def _reproduce(settings: Experiment) -> str:
    """The experiment's file and the command."""
    stated = yaml.safe_dump(settings.model_dump(mode="json", exclude_defaults=True), sort_keys=False)
    return f"# experiment.yaml\n{stated}\nlandslide train experiment.yaml --store STORE"
