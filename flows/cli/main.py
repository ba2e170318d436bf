"""The command line. Exit status 0 on success, 1 on failure, 2 on unusable input.

Heavy packages are imported by the commands that need them.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.cli.console import FAILURE, console, session, show, show_rows
from flows.cli.output import show_answer, show_map, show_plan, show_scores, show_table

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False
)

StoreOption = Annotated[Path, typer.Option(help="Folder of artifacts; made if missing.", envvar="LANDSLIDE_STORE")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show Prefect's own log.")]
CasesArgument = Annotated[list[Path], typer.Argument(help="Case files (YAML).", metavar="CASE.yaml...")]


@app.callback()
def landslide() -> None:
    """From an event, a place and a date, to a landslide map."""


@app.command()
def simulate(
    world: Annotated[Path, typer.Argument(help="Folder to make.")],
    events: Annotated[int, typer.Option(min=3, help="How many events; the last one is for testing.")] = 6,
    size: Annotated[int, typer.Option(min=64, help="Side of each event's area in pixels of 10 m.")] = 384,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    cloudiness: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Mean cloud cover of a Sentinel-2 scene; without it as at the site."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a synthetic world: a STAC catalogue of COGs, inventories, land cover, case files and an experiment."""
    with session(verbose=False):
        from landslide.simulation.world import simulate_world

        made = simulate_world(world, events, size, seed, cloudiness)
    result = {"world": made.folder, "catalog": made.catalog, "experiment": made.experiment, "cases": len(made.cases)}
    show(result, as_json, "Simulated world")


@app.command()
def prepare(
    cases: CasesArgument,
    store: StoreOption = Path("store"),
    plan: Annotated[bool, typer.Option("--plan", help="Only estimate what Earth Engine would export.")] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Find scenes, export layers and join them to a stack, for each case."""
    if plan:
        show_plan(cases, as_json)
        return
    with session(verbose):
        from landslide.cases.case import load_case

        loaded = [load_case(path) for path in cases]
        from flows.prepare_cases import prepare_cases, summary
        from landslide.artifacts.store import ArtifactStore

        stacks, artifacts = prepare_cases(loaded, store), ArtifactStore.at(store)
        rows = summary(stacks, artifacts)
    if as_json:
        folders = {name: artifacts.path(stack) for name, stack in stacks.items()}
        show({name: {**stack.model_dump(), "path": folders[name]} for name, stack in stacks.items()}, True, "")
    else:
        show_rows([row | {"artifact": None} for row in rows], "Layers of the prepared cases")


@app.command()
def preview(
    case: Annotated[Path, typer.Argument(help="Case file (YAML).", metavar="CASE.yaml")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("map.html"),
) -> None:
    """Look at an Earth Engine case before exporting it: composites, change, terrain, outlines, in a page."""
    with session(verbose=False):
        from landslide.cases.case import load_case
        from landslide.sources.earthengine.preview import write_preview

        write_preview(load_case(case), out)
    console.print(f"{out}: open it in a browser; its layers are drawn by Earth Engine as you look", highlight=False)


@app.command()
def train(
    experiment: Annotated[Path, typer.Argument(help="Experiment file (YAML).")],
    store: StoreOption = Path("store"),
    dask: Annotated[
        str | None, typer.Option(help="Train on a Dask cluster: tcp://HOST:PORT, or a class's full name.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of workers of such a class.")] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, max=200, help="Train in this many runs of the deployment train-shard.")
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Train an experiment's grid of members, assemble ensembles, score them on the test cases."""
    with session(verbose):
        from landslide.experiment import load_experiment

        load_experiment(experiment)
        from flows.training.train_ensemble import train_ensemble

        results = train_ensemble(experiment, store, dask, workers, shards)
    show_scores(results, as_json)


@app.command(name="import")
def import_(
    models: Annotated[Path, typer.Argument(help="The paper's trained models: one of its four folders, or all.")],
    data: Annotated[Path, typer.Option(help="Folder of the paper's data, with train_val/.")],
    out: Annotated[Path, typer.Option(help="Folder for the ensembles, one a band set; earlier ones are replaced.")],
    size: Annotated[int, typer.Option(min=1, help="Members of each ensemble, best first; there are 90.")] = 20,
    bands: Annotated[
        str | None, typer.Option(help="Names of a scene's 15 bands in the archive's order: vv_pre,vv_post,…")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn the models published with the method's paper into ensembles."""
    with session(verbose=False):
        from landslide.pretrained import import_models

        names = None if bands is None else [name.strip() for name in bands.split(",")]
        written = import_models(models, data, out, size, names)
    rows = [
        {
            "ensemble": one.info.name, "bands": len(one.info.bands), "members": len(one.info.members),
            "best validation F1": one.info.members[0].validation_f1, "folder": one.folder,
        }
        for one in written
    ]  # fmt: skip
    if as_json:
        show({"ensembles": rows}, True, "")
    else:
        show_rows(rows, "Imported ensembles")


@app.command()
def evaluate(
    ensemble: Annotated[Path, typer.Argument(help="Folder of a trained ensemble.")],
    cases: CasesArgument,
    store: StoreOption = Path("store"),
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Score a trained ensemble on cases that have an inventory."""
    with session(verbose):
        from landslide.cases.case import load_case
        from landslide.ensembles.ensemble import Ensemble

        opened, loaded = Ensemble.open(ensemble), [load_case(path) for path in cases]
        from flows.evaluate_ensemble import evaluate_ensemble

        folder = evaluate_ensemble(ensemble, loaded, store)
    show_scores({opened.info.name: folder}, as_json)


@app.command(name="leave-one-out")
def leave_one_out_(
    experiment: Annotated[Path, typer.Argument(help="Experiment file (YAML).")],
    store: StoreOption = Path("store"),
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Test every event once, by an ensemble that never saw it: a table for each event and pooled."""
    with session(verbose):
        from landslide.experiment import load_experiment

        load_experiment(experiment)
        from flows.studies.leave_one_event_out import leave_one_out

        folder = leave_one_out(experiment, store)
    show_table(folder, folder / "events.csv", as_json, "Each event, left out")


@app.command()
def ablation(
    study: Annotated[
        Literal["polarisation", "orbits", "clouds"], typer.Argument(help="VV or VH; ascending or descending; cloud.")
    ],
    subject: Annotated[Path, typer.Argument(help="Experiment file (YAML); for clouds, an ensemble's folder.")],
    world: Annotated[Path | None, typer.Option(help="For clouds: the simulated world that it was trained on.")] = None,
    store: StoreOption = Path("store"),
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Compare options of the method: what each polarisation, orbit direction or cloudiness does to the scores."""
    with session(verbose):
        from flows.studies.ablations import ablate_clouds, ablate_orbits, ablate_polarisation
        from landslide.errors import InputError

        if study == "clouds":
            if world is None:
                raise InputError("clouds are added to a simulated world: give it with --world")
            folder = ablate_clouds(subject, world, store)
        else:
            folder = (ablate_polarisation if study == "polarisation" else ablate_orbits)(subject, store)
    show_answer(folder, as_json)


@app.command(name="map")
def map_(
    case: Annotated[Path, typer.Argument(help="Case file (YAML).", metavar="CASE.yaml")],
    ensemble: Annotated[Path, typer.Option(help="Folder of a trained ensemble.")],
    out: Annotated[Path, typer.Option(help="Folder for the map's files; replaced if it is an earlier map.")],
    store: StoreOption = Path("store"),
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Map an event: probabilities, polygons, a STAC item, a picture and a report."""
    with session(verbose):
        from landslide.cases.case import load_case
        from landslide.ensembles.ensemble import Ensemble

        loaded = load_case(case)
        Ensemble.open(ensemble)
        from flows.map_event import map_event
        from landslide.artifacts.publish import refuse_foreign

        refuse_foreign(out)
        map_event(loaded, ensemble, out, store)
    show_map(out, as_json)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
    source: Annotated[
        Literal["stac", "earthengine"],
        typer.Option(help="Where scenes come from: a catalogue, or a simulated service."),
    ] = "stac",
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Run the whole pipeline on a small simulated world: no account, no network, no GPU."""
    with session(verbose):
        from flows.cli.demo import run_demo

        result = run_demo(out, source)
    show(result, as_json, "Landslides on an event that no model was trained on")


@app.command()
def doctor(store: StoreOption = Path("store"), as_json: JsonOption = False) -> None:
    """Check what is installed, reachable and writable, and how to install what is missing."""
    from flows.cli.doctor import examine

    findings = examine(store)
    if as_json:
        show({"findings": findings, "ok": all(finding["state"] != "missing" for finding in findings)}, True, "")
    else:
        show_rows(findings, "This installation")
    if any(finding["state"] == "missing" for finding in findings):
        console.print("Something needed is missing: see above.")
        raise typer.Exit(FAILURE)


def main() -> None:
    """Entry point."""
    app()
