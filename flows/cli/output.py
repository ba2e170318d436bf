"""The output of the commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cli.console import console, session, show, show_rows

if TYPE_CHECKING:
    from landslide.evaluation.results import EvaluationReport


def show_plan(cases: list[Path], as_json: bool) -> None:
    """The estimate of the cases' exports, one row per layer."""
    with session(verbose=False):
        from flows.cli.estimate import ALLOWANCES, plan_rows
        from landslide.cases.case import load_case

        rows = plan_rows([load_case(path) for path in cases])
    if as_json:
        show({"plan": rows, "eecu_hours": sum(row["EECU-hours"] for row in rows), "allowances": ALLOWANCES}, True, "")
        return
    columns = ("case", "layer", "scenes", "scored", "method", "tiles", "MB", "EECU-hours")  # as wide as a terminal
    show_rows([{name: row[name] for name in columns} for row in rows], "What Earth Engine would export")
    for row in rows:
        if row["missing"]:
            console.print(f"{row['case']}, {row['layer']}: {row['missing']}", markup=False, highlight=False)
    tiers = ", ".join(f"{name} {hours:,}" for name, hours in ALLOWANCES.items())
    total = sum(row["EECU-hours"] for row in rows)
    console.print(
        f"About {total:.2g} EECU-hours in all, within an order of magnitude. Non-commercial projects have a month: "
        f"{tiers}.", highlight=False,
    )  # fmt: skip


def show_scores(results: dict[str, Path], as_json: bool) -> None:
    """The main scores of each ensemble, from its folder of results."""
    from landslide.evaluation.results import METRICS, EvaluationReport

    rows = []
    for name, folder in results.items():
        report = EvaluationReport.read(folder) if (folder / METRICS).exists() else None
        rows.append({"ensemble": name, **(_scores(report) if report else {"f1": None}), "folder": folder})
    if as_json:
        show({"results": rows}, True, "")
        return
    for row in rows:
        show(row, False, "Scores on the test cases" if row["f1"] is not None else "Trained; no test case to score")


def _scores(report: EvaluationReport) -> dict[str, Any]:
    from landslide.ensembles.select import PAPER

    pooled, interval, delivered = report.pooled, report.intervals.f1.landslides, report.selectors[0]
    baseline, objects = report.baseline_dndvi, report.objects_at(0.5)
    half, gain = objects.half_detected_m2, delivered.gain_interval if report.selector != PAPER else None
    return {
        "members": report.size,
        "f1": pooled.f1,
        "precision": pooled.precision,
        "recall": pooled.recall,
        "iou": pooled.iou,
        "mcc": pooled.mcc,
        "selector": f"{report.selector}, threshold {report.threshold:.2f}",
        "F1 over the published selector": gain and f"{delivered.gain:+.3f} ({gain[0]:+.3f} to {gain[1]:+.3f})",
        "calibration error (ECE)": None if delivered.ece is None else f"{delivered.ece:.3f}",
        "F1, 95 % over landslides": interval and f"{interval[0]:.3f} to {interval[1]:.3f}",
        "landslides found, half mapped": f"{objects.found} of {objects.landslides}",
        "false alarms among mapped": f"{objects.false_alarms} of {objects.patches}",
        "half are found at": None if half is None else f"{half:,.0f} m²",
        "median member F1": report.median_member_f1,
        "best dNDVI threshold F1": baseline and baseline.pooled.f1,
    }


def show_answer(folder: Path, as_json: bool) -> None:
    """The table of an ablation study, from its folder of results."""
    import json

    (file,) = folder.glob("*.json")
    answer = json.loads(file.read_text())
    if as_json:
        show({"answer": answer, "folder": folder}, True, "")
        return
    rows = answer if isinstance(answer, list) else [{"option": name, **one} for name, one in answer.items()]
    show_rows([{k: v for k, v in row.items() if not isinstance(v, dict)} for row in rows], file.stem.capitalize())
    console.print(f"Picture: {folder}", highlight=False)


def show_table(folder: Path, table: Path, as_json: bool, title: str) -> None:
    """Print a CSV file of a folder of results.

    Args:
        folder: The folder of results.
        table: The CSV file.
        as_json: Print JSON instead of a table.
        title: The table's title.
    """
    import csv

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if as_json:
        show({"rows": rows, "folder": folder}, True, "")
        return
    columns = [name for name in rows[0] if name not in ("precision", "recall")]  # as wide as a terminal
    show_rows([{name: _number(row[name]) for name in columns} for row in rows], title)
    console.print(f"Picture: {folder}", highlight=False)


def _number(text: str) -> str | float | None:
    """A CSV cell as a number if it is one; None if empty."""
    try:
        return float(text) if text else None
    except ValueError:
        return text


def show_map(out: Path, as_json: bool) -> None:
    """The summary of a map in its folder."""
    import json

    show({**json.loads((out / "summary.json").read_text()), "report": out / "report.html"}, as_json, "Landslide map")
