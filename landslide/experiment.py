"""Experiments: which cases teach, validate and test, and which grid of members is trained.

The defaults are the protocol of arXiv 2310.05959. A preset replaces defaults; what the file says replaces both.
"""

from collections.abc import Collection, Mapping
from itertools import combinations, pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pyproj import Geod
from shapely.affinity import translate
from shapely.ops import nearest_points

from landslide.bands import BAND_SETS, BANDS, directions, known
from landslide.cases import Case, Identifier, LocalPath, Role, Strict, load, load_case
from landslide.errors import InputError
from landslide.evaluation.thresholds import Rule
from landslide.grid import area
from landslide.losses import LOSSES
from landslide.models import ARCHITECTURES, LEAST, STRIDE

EVENT_KM = 100.0  # on one day within this distance: one storm, one earthquake

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "quick": {
        "band_sets": ["all"],
        "architectures": ["Linknet", "Unet"],
        "losses": ["bce", "dice", "jaccard"],
        "learning_rates": [1e-3],
        "encoder": "mobilenet_v2",
        "epochs": 10,
        "min_epochs": 1,
        "patience": 10,
        "plateau": 3,
        "samples": 320,
        "crop": 64,
        "batch": 8,
        "background": 0.2,
        "ensemble_size": 6,
        "selection": "auto",
    },
}

FAST: dict[str, Any] = {"precision": "auto", "validate_every": 2, "least_rate": 1e-3}  # see docs/training.md

ROLES: tuple[Role, ...] = ("train", "validation", "test")


def _named_sets(value: object) -> object:
    """A list of built-in names stands for a mapping from each to its bands."""
    if not isinstance(value, list):
        return value
    unknown = [name for name in value if name not in BAND_SETS]
    if unknown:
        raise ValueError(f"unknown band set(s) {unknown}; built in are {', '.join(BAND_SETS)}; or map a name to bands")
    return {name: BAND_SETS[name] for name in value}


def _whole(bands: tuple[str, ...]) -> tuple[str, ...]:
    """A direction turns with the picture only as a whole."""
    directions(bands)
    return bands


def _one_of(known_names: Collection[str], noun: str) -> AfterValidator:
    def check(name: str) -> str:
        if name not in known_names:
            raise ValueError(f"unknown {noun} {name!r}; known are {', '.join(known_names)}")
        return name

    return AfterValidator(check)


def _way(name: str) -> str:
    """A way of choosing members."""
    from landslide.evaluation.choosing import AUTO, PAPER  # scipy's optimisers
    from landslide.evaluation.selection import WAYS

    if name not in (ways := (PAPER, AUTO, *WAYS)):
        raise ValueError(f"unknown way {name!r} of choosing members; known are {', '.join(ways)}")
    return name


Architecture = Annotated[str, _one_of(ARCHITECTURES, "architecture")]
Loss = Annotated[str, _one_of(LOSSES, "loss")]
Bands = Annotated[tuple[str, ...], AfterValidator(known), AfterValidator(_whole), Field(min_length=1)]


class Split(Strict):
    """Case ids per role, where an experiment wants other roles than the cases state."""

    train: list[str]
    validation: list[str]
    test: list[str] = []

    @model_validator(mode="after")
    def _disjoint(self) -> Self:
        names = [*self.train, *self.validation, *self.test]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{sorted(twice)} stand(s) on two sides of the split; an event belongs to one")
        return self


class Experiment(Strict):
    """A grid of members on a set of cases.

    `epochs`, `min_epochs`, `patience` and `plateau` count epochs of `samples` crops; `crop` is in pixels;
    `background` is the share of crops without a landslide; `separation_km` is the least distance between cases of
    different roles; `within_event` lets such cases be of one event: of one date and less than 100 km apart; `per_gpu`
    is how many members train on one GPU at a time, `auto` as many as a trial finds worth it.

    What follows changes the protocol; `mode: fast` is a set of it. `precision` is the arithmetic, `auto` being bfloat16
    where a probe shows that the processor gains by it; `rate` the course of the learning rate; `least_rate` ends a
    member whose rate has fallen below this share of its first; `average` is the decay, a step, of an average of the
    weights, which is then what is validated and kept; `validate_every` counts epochs; `collapsed_after` so many epochs
    a member ends that maps no better than a map that is landslide all over; `compiled` lets torch fuse a network's
    small kernels, which pays for long members on a GPU; `halve_at` are epochs after which the worse half of each
    architecture stops.

    `selection` is how members become an ensemble, all of it on validation cases. `paper` is the best `ensemble_size`,
    equal votes, cut at 0.5; `auto` is `stacked` where three or more cases validate, else `paper`. Every other way is
    calibrated by `calibration` and cut by the rule `threshold`: a number, `f1` (or another F-beta), `cost 5` (of a
    miss, in false alarms), `precision 0.8`.
    """

    id: Identifier
    title: str = ""
    preset: Literal["paper", "quick"] = "paper"
    mode: Literal["reference", "fast"] = "reference"
    cases: Annotated[list[LocalPath], Field(min_length=1)]
    split: Split | None = None
    band_sets: Annotated[dict[Identifier, Bands], BeforeValidator(_named_sets), Field(min_length=1)] = {
        name: BAND_SETS[name] for name in ("s1", "s2", "s1s2", "all")
    }
    architectures: Annotated[tuple[Architecture, ...], Field(min_length=1)] = tuple(ARCHITECTURES)
    losses: Annotated[tuple[Loss, ...], Field(min_length=1)] = tuple(LOSSES)
    learning_rates: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = (1e-3, 1e-2)
    encoder: str = "resnet34"
    epochs: Annotated[int, Field(ge=1)] = 1000
    min_epochs: Annotated[int, Field(ge=1)] = 50
    patience: Annotated[int, Field(ge=1)] = 50
    plateau: Annotated[int, Field(ge=1)] = 10
    samples: Annotated[int, Field(ge=1)] = 1000
    crop: Annotated[int, Field(ge=2 * STRIDE, multiple_of=STRIDE)] = 256
    batch: Annotated[int, Field(ge=2)] = 4
    background: Annotated[float, Field(ge=0, le=1)] = 0.0
    seed: Annotated[int, Field(ge=0)] = 42
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    rate: Literal["plateau", "one-cycle"] = "plateau"
    least_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    average: Annotated[float, Field(ge=0, lt=1)] = 0.0
    validate_every: Annotated[int, Field(ge=1)] = 1
    collapsed_after: Annotated[int, Field(ge=0)] = 0
    compiled: bool = False
    halve_at: tuple[Annotated[int, Field(ge=1)], ...] = ()
    per_gpu: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    ensemble_size: Annotated[int, Field(ge=1)] = 20
    selection: Annotated[str, AfterValidator(_way)] = "paper"
    calibration: Literal["none", "platt", "isotonic"] = "platt"
    threshold: Rule = "f1"
    separation_km: Annotated[float, Field(ge=0)] = 5.0
    within_event: bool = False

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        mode = FAST if data.get("mode") == "fast" else {}
        return {**PRESETS.get(str(data.get("preset", "paper")), {}), **mode, **data}

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        if "PAN" in self.architectures and self.crop < LEAST:
            raise ValueError(f"PAN needs a crop of {LEAST} or more, not {self.crop}")
        return self

    @model_validator(mode="after")
    def _rungs_rise(self) -> Self:
        rungs = (*self.halve_at, self.epochs)
        if any(later <= earlier for earlier, later in pairwise(rungs)):
            raise ValueError(f"halve_at {list(self.halve_at)} must rise and stay below the {self.epochs} epochs")
        if unseen := [epoch for epoch in self.halve_at if epoch % self.validate_every]:
            raise ValueError(f"halve_at {unseen} is no multiple of validate_every {self.validate_every}")
        return self

    def under(self, name: str, **changes: object) -> "Experiment":
        """The same experiment with changes, under its id and a name."""
        return self.model_copy(update={"id": f"{self.id}-{name}"[-64:].lstrip("-"), **changes})

    @property
    def all_bands(self) -> tuple[str, ...]:
        """Every band that some band set needs, each once, in the order of the table of bands."""
        wanted = {band for bands in self.band_sets.values() for band in bands}
        return tuple(band for band in BANDS if band in wanted)


def load_experiment(path: Path) -> tuple[Experiment, dict[Role, list[Case]]]:
    """Read an experiment and its cases by role; InputError names the file and what is wrong with it."""
    experiment = load(Experiment, path)
    cases = [load_case(case) for case in experiment.cases]
    ids = [case.id for case in cases]
    if twice := sorted({name for name in ids if ids.count(name) > 1}):
        raise InputError(f"{path}: two cases are called {twice}. Give each its own id")
    roles = _roles(experiment, cases, path)
    for role in ROLES[:2]:
        if not roles[role]:
            raise InputError(
                f"{path}: no case has the role {role}. Set `role:` in a case or `split:` in the experiment"
            )
    refuse_dependent(roles, experiment, path)
    return experiment, roles


def distance_km(one: Case, other: Case) -> float | None:
    """Kilometres between the areas of two cases at their nearest, 0 where they meet; None where one has no place."""
    if one.aoi is None or other.aoi is None:
        return None
    here, there = area(one).geom, area(other).geom
    turns = (nearest_points(here, translate(there, turn)) for turn in (-360, 0, 360))  # 180° is no border
    a, b = min(turns, key=lambda ends: ends[0].distance(ends[1]))
    return float(Geod(ellps="WGS84").inv(a.x, a.y, b.x, b.y)[2]) / 1000


def refuse_dependent(roles: Mapping[Any, list[Case]], experiment: Experiment, path: Path) -> None:
    """Cases of different roles must be apart, and of different events; archives may have neither place nor date.

    InputError names the file `path`, and the two cases.
    """
    cases = [(role, case) for role, group in roles.items() for case in group]
    for (role, case), (other_role, other) in combinations(cases, 2):
        distance = None if role == other_role else distance_km(case, other)
        if distance is None:
            continue
        pair = f"{path}: cases {case.id} ({role}) and {other.id} ({other_role}) are"
        if distance < experiment.separation_km:
            raise InputError(
                f"{pair} {distance:.1f} km apart, less than {experiment.separation_km:g} km. Give them one role, or "
                "set `separation_km:`"
            )
        same_date = case.event_date is not None and case.event_date == other.event_date
        if same_date and distance < EVENT_KM and not experiment.within_event:
            raise InputError(
                f"{pair} of one event: both of {case.event_date} and {distance:.1f} km apart, less than {EVENT_KM:g} "
                "km. Give them one role, or set `within_event: true` to split one event knowingly"
            )


def _roles(experiment: Experiment, cases: list[Case], path: Path) -> dict[Role, list[Case]]:
    if experiment.split is None:
        return {role: [case for case in cases if case.role == role] for role in ROLES}
    named: dict[str, list[str]] = experiment.split.model_dump()
    by_id = {case.id: case for case in cases}
    if unknown := [name for names in named.values() for name in names if name not in by_id]:
        raise InputError(f"{path}: split names {unknown}, but the cases are {sorted(by_id)}. Correct the ids")
    return {role: [by_id[name] for name in named[role]] for role in ROLES}
