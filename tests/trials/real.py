"""Trials on real scenes, through the flows a user runs: `python -m tests.trials.real --data FOLDER [--only TRIAL]`.

Landslide4Sense chips train and validate an ensemble; ensembles of simulated events map Hokkaido 2018 and are scored on
Kaikōura 2016. What came out, and what is wrong with it, stands in docs/real-data.md. Stages that are done already are
taken from the store.
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import rasterio
import typer
import yaml
from rasterio.warp import transform_bounds

from flows.cli.console import UNUSABLE, fail, session, show, show_rows
from landslide.errors import InputError
from landslide.evaluation.results import EvaluationReport, Scores

WORLD = {"events": 6, "size": 320, "seed": 7}
CHIPS = {"train": ["1", "2", "3", "16", "27", "28", "38"], "validation": ["40", "41", "45", "72"]}
COLOUR = ["rg_change", "brightness_change"]


class Trial(StrEnum):
    """A trial, by the name of its data's folder without the year."""

    LANDSLIDE4SENSE = "landslide4sense"
    HOKKAIDO = "hokkaido"
    KAIKOURA = "kaikoura"


def real(
    data: Annotated[Path, typer.Option(help="Folder of the real scenes, see docs/real-data.md.")],
    out: Annotated[Path, typer.Option(help="Folder for cases, store, maps and pictures.")] = Path("runs/real"),
    only: Annotated[Trial | None, typer.Option(help="One trial instead of all.")] = None,
) -> None:
    """Run the trials; exit status 2 where the data are missing."""
    folders = {
        Trial.LANDSLIDE4SENSE: data / "landslide4sense",
        Trial.HOKKAIDO: data / "hokkaido-2018",
        Trial.KAIKOURA: data / "kaikoura-2016",
    }
    runs = {Trial.LANDSLIDE4SENSE: landslide4sense, Trial.HOKKAIDO: hokkaido, Trial.KAIKOURA: kaikoura}
    chosen = [only] if only else list(Trial)
    for trial in chosen:
        if not folders[trial].is_dir():
            fail(InputError(f"{folders[trial]} is not there. Give the folder of the real scenes as --data"), UNUSABLE)
    with session(verbose=False):
        for trial in chosen:
            runs[trial](folders[trial].resolve(), out.resolve())


def landslide4sense(data: Path, out: Path) -> None:
    """Nine architectures with the dice loss, 400 steps of four whole chips; F1 per ensemble size on four chips."""
    from flows.evaluate_ensemble import evaluate_ensemble
    from flows.training.train_ensemble import train_ensemble
    from landslide.cases.case import load_case

    folder, store = out / "landslide4sense", out / "store"
    cases = {role: _write(folder / f"{role}.yaml", _chips(data, role)) for role in CHIPS}
    experiment = _write(folder / "experiment.yaml", {
        "id": "landslide4sense", "title": "Landslide4Sense, nine architectures",
        "cases": ["train.yaml", "validation.yaml"], "band_sets": ["landslide4sense"], "losses": ["dice"],
        "learning_rates": [0.001], "epochs": 8, "min_epochs": 8, "patience": 8, "lr_patience": 8,
        "samples_per_epoch": 200, "crop": 128, "batch": 4, "background_fraction": 0.1, "ensemble_size": 9,
    })  # fmt: skip
    ensemble = train_ensemble(experiment, store)["landslide4sense"] / "ensemble"
    report = EvaluationReport.read(evaluate_ensemble(ensemble, [load_case(cases["validation"])], store))
    show_rows(
        [
            {"k": row.k, "F1": row.pooled.f1, "added": member.name, "its own F1": member.pooled.f1}
            for row, member in zip(report.curve, report.members, strict=True)
        ],
        "Landslide4Sense, validation chips: F1 over ensemble size",
    )


def hokkaido(data: Path, out: Path) -> None:
    """A map of the 2018 event by an ensemble of simulated events, with what visible bands and a DEM allow."""
    from flows.map_event import map_event
    from landslide.cases.case import load_case
    from tests.trials.pictures import before_and_after

    case = load_case(_write(out / "hokkaido-2018" / "case.yaml", _hokkaido(data)))
    result = map_event(case, _simulated(out)["visible"] / "ensemble", out / "hokkaido-2018" / "map", out / "store")
    before_and_after(result, data, out / "hokkaido-2018")
    show(json.loads((result / "summary.json").read_text()), False, case.title)


def kaikoura(data: Path, out: Path) -> None:
    """The ready-made changes of the 2016 event against its few outlines: NDVI alone, and beside it the colours."""
    from flows.evaluate_ensemble import evaluate_ensemble
    from flows.map_event import map_event
    from flows.prepare_cases import prepare_cases
    from landslide.artifacts.store import ArtifactStore
    from landslide.cases.case import load_case
    from tests.trials.pictures import changes

    case = load_case(_write(out / "kaikoura-2016" / "case.yaml", _kaikoura(data)))
    results, store = _simulated(out), out / "store"
    rows, maps = [], {}
    for band_set in ("dndvi", "colour"):
        ensemble = results[band_set] / "ensemble"
        report = EvaluationReport.read(evaluate_ensemble(ensemble, [case], store))
        maps[band_set] = map_event(case, ensemble, out / "kaikoura-2016" / f"map-{band_set}", store)
        rows.append(_row(band_set, report.pooled) | {"members": report.size})
    best = report.baseline_dndvi
    rows.append(_row(f"dNDVI below {best.threshold:.2f}", best.pooled) | {"members": None})
    changes(case, maps, ArtifactStore(store).path(prepare_cases([case], store)[case.id]), out / "kaikoura-2016")
    show_rows(rows, f"{case.title}: scores against an incomplete inventory")


def _simulated(out: Path) -> dict[str, Path]:
    """Ensembles of simulated events: the folder of results of each band set."""
    from flows.training.train_ensemble import train_ensemble
    from landslide.bands import BAND_SETS
    from landslide.simulation.world import simulate_world

    world = simulate_world(out / "world", **WORLD)
    sets = {name: list(BAND_SETS[name]) for name in ("visible", "dndvi")} | {"colour": COLOUR}
    experiment = {
        "id": "simulated", "title": "Simulated events, for real scenes", "preset": "quick",
        "cases": [str(case) for case in world.cases], "band_sets": sets,
    }  # fmt: skip
    return train_ensemble(_write(out / "simulated.yaml", experiment), out / "store")


def _chips(data: Path, role: str) -> dict[str, Any]:
    return {
        "id": f"landslide4sense-{role}",
        "title": f"Landslide4Sense, {'training' if role == 'train' else role} chips",
        "source": {"kind": "archive", "format": "landslide4sense", "folder": str(data), "parts": CHIPS[role]},
        "role": role,
    }


def _hokkaido(data: Path) -> dict[str, Any]:
    colours = {"blue": "B2", "green": "B3", "red": "B4"}

    def scene(when: str) -> dict[str, Any]:
        files = {name: data / f"{when}-event" / f"download.{band}.tif" for name, band in colours.items()}
        return {"when": when} | {
            name: {"path": str(path), "scale": 0.0001, "nodata": 0} for name, path in files.items()
        }

    return {
        "id": "hokkaido-2018",
        "title": "Hokkaido Eastern Iburi earthquake, Atsuma",
        "event_date": "2018-09-06",  # the days of the images were not recorded: a year each side
        "pre": {"days": 365},
        "post": {"days": 365},
        "aoi": _extent(data / "post-event" / "download.B4.tif"),
        "source": {
            "kind": "files",
            "sentinel2": [scene("pre"), scene("post")],
            "dem": str(data / "dem" / "download.DSM.tif"),
        },
    }


def _kaikoura(data: Path) -> dict[str, Any]:
    """The file holds NDVI and brightness before minus after, in another unit, and red over green after minus before
    plus 0.5 (as the script that made it says); scale and offset turn them into ours.
    """
    path = data / "diff_landslide_69.tif"
    return {
        "id": "kaikoura-2016",
        "title": "Kaikōura earthquake, change bands",
        "event_date": "2016-11-14",
        "aoi": _extent(path),
        "source": {
            "kind": "files",
            "bands": {
                "dndvi_median": {"path": str(path), "band": "ndvi_change", "scale": -1.0},
                "rg_change": {"path": str(path), "band": "rg", "offset": -0.5},
                "brightness_change": {"path": str(path), "band": "brightness_change", "scale": -0.1},
            },
        },
        "inventory": str(data / "label_landslide_69.shp"),
        "role": "test",
    }


def _extent(path: Path) -> list[float]:
    """West, south, east, north of a raster, in degrees."""
    with rasterio.open(path) as raster:
        return [round(edge, 6) for edge in transform_bounds(raster.crs, "EPSG:4326", *raster.bounds)]


def _write(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return path


def _row(name: str, scores: Scores) -> dict[str, Any]:
    return {"by": name, **{score: getattr(scores, score) for score in ("f1", "precision", "recall", "tp", "fp", "fn")}}


if __name__ == "__main__":
    typer.run(real)
