"""What the commands print."""

from pathlib import Path
from typing import Any

from flows.cli.console import console, session, show, show_rows


def show_plan(cases: list[Path], as_json: bool) -> None:
    with session(verbose=False):
        from flows.cli.estimate import ALLOWANCES, plan_rows
        from landslide.cases.case import load_case

        rows = plan_rows([load_case(path) for path in cases])
    if as_json:
        show({"plan": rows, "eecu_hours": sum(row["EECU-hours"] for row in rows), "allowances": ALLOWANCES}, True, "")
        return
    told = ("case", "S1", "S2", "scored", "way", "tiles", "MB", "EECU-hours")  # what a terminal is wide enough for
    show_rows([{name: row[name] for name in told} for row in rows], "What Earth Engine would be asked for")
    tiers = ", ".join(f"{name} {hours:,}" for name, hours in ALLOWANCES.items())
    total = sum(row["EECU-hours"] for row in rows)
    console.print(
        f"About {total:.2g} EECU-hours in all, within an order of magnitude. Non-commercial projects have a month: "
        f"{tiers}.", highlight=False,
    )  # fmt: skip


def show_scores(results: dict[str, Path], as_json: bool) -> None:
    """Print what `metrics.json` of each folder says first."""
    import json

    rows: list[dict[str, Any]] = []
    for name, folder in results.items():
        metrics = folder / "metrics.json"
        scores = json.loads(metrics.read_text()) if metrics.exists() else None
        pooled = scores["pooled"] if scores else {}
        rows.append({
            "ensemble": name,
            "members": scores["size"] if scores else None,
            **{score: pooled.get(score) for score in ("f1", "precision", "recall", "iou", "mcc")},
            **(_believable(scores) if scores else {}),
            "median member F1": scores["median_member_f1"] if scores else None,
            "best dNDVI threshold F1": (scores["baseline_dndvi"] or {}).get("f1") if scores else None,
            "folder": folder,
        })  # fmt: skip
    if as_json:
        show({"results": rows}, True, "")
        return
    for row in rows:
        show(row, False, "Scores on the test cases" if row["f1"] is not None else "Trained; no test case to score")


def _believable(scores: dict[str, Any]) -> dict[str, str | None]:
    """How sure the F1 is, and what was found, landslide by landslide."""
    low, high = scores["intervals"]["f1"]["landslides"] or (None, None)
    found = next(one for one in scores["objects"] if one["share"] == 0.5)
    half, delivered = found["half_detected_m2"], scores["ways"][0]
    gained = None if scores["way"] == "paper" else delivered["gain_interval"]
    return {
        "chosen": f"{scores['way']}, cut at {scores['threshold']:.2f}",
        "F1 over the published way": gained and f"{delivered['gain']:+.3f} ({gained[0]:+.3f} to {gained[1]:+.3f})",
        "calibration error (ECE)": None if delivered["ece"] is None else f"{delivered['ece']:.3f}",
        "F1, 95 % over landslides": None if low is None else f"{low:.3f} to {high:.3f}",
        "landslides found, half mapped": f"{found['found']} of {found['landslides']}",
        "false alarms among mapped": f"{found['false_alarms']} of {found['patches']}",
        "found half of the time": None if half is None else f"those of {half:,.0f} m²",
    }


def show_answer(folder: Path, as_json: bool) -> None:
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
    import csv

    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if as_json:
        show({"rows": rows, "folder": folder}, True, "")
        return
    told = [name for name in rows[0] if name not in ("precision", "recall")]  # what a terminal is wide enough for
    show_rows([{name: _rounded(row[name]) for name in told} for row in rows], title)
    console.print(f"Picture: {folder}", highlight=False)


def _rounded(text: str) -> str | float | None:
    """A cell of a CSV file as it is shown."""
    try:
        return float(text) if text else None
    except ValueError:
        return text


def show_map(out: Path, as_json: bool) -> None:
    import json

    show({**json.loads((out / "summary.json").read_text()), "report": out / "report.html"}, as_json, "Landslide map")
