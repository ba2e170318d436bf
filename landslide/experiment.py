"""Experiments: which cases teach, validate and test, and which grid of members is trained.

The defaults are the protocol of arXiv 2310.05959. A preset replaces defaults; what the file says replaces both.
"""

import logging
from collections.abc import Collection, Mapping
from itertools import combinations, pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from landslide.bands import BAND_SETS, BANDS, check_bands, direction_pairs
from landslide.cases.case import Case, load_case
from landslide.cases.fields import ROLES, Identifier, LocalPath, Role, Strict, load, with_todays_keys
from landslide.ensembles.thresholds import Rule
from landslide.errors import InputError
from landslide.geo.grid import distance_km
from landslide.models.architectures import ARCHITECTURES, PAN_MIN_SIDE, STRIDE
from landslide.models.losses import LOSSES

log = logging.getLogger(__name__)

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
        "lr_patience": 3,
        "samples_per_epoch": 320,
        "crop": 64,
        "batch": 8,
        "background_fraction": 0.2,
        "ensemble_size": 6,
        "selection": "auto",
    },
}

FAST: dict[str, Any] = {"precision": "auto", "validate_every": 2, "min_lr_ratio": 1e-3}  # see docs/training.md


def _named_sets(value: object) -> object:
    """A list of built-in names stands for a mapping from each to its bands."""
    if not isinstance(value, list):
        return value
    unknown = [name for name in value if name not in BAND_SETS]
    if unknown:
        raise ValueError(f"unknown band set(s) {unknown}; built in are {', '.join(BAND_SETS)}; or map a name to bands")
    return {name: BAND_SETS[name] for name in value}


def _with_whole_directions(bands: tuple[str, ...]) -> tuple[str, ...]:
    """Flips and turns mix northness and eastness, so a band set holds both or neither."""
    direction_pairs(bands)
    return bands


def _one_of(known_names: Collection[str], noun: str) -> AfterValidator:
    def check(name: str) -> str:
        if name not in known_names:
            raise ValueError(f"unknown {noun} {name!r}; known are {', '.join(known_names)}")
        return name

    return AfterValidator(check)


def _selector(name: str) -> str:
    if name == "everything":
        log.warning("selector `everything` is now called `all_members`; the old name is read for the last time")
        return "all_members"
    from landslide.ensembles.select import AUTO, PAPER  # scipy's optimisers
    from landslide.ensembles.selectors import SELECTORS

    if name not in (selectors := (PAPER, AUTO, *SELECTORS)):
        raise ValueError(f"unknown selector {name!r}; known are {', '.join(selectors)}")
    return name


Architecture = Annotated[str, _one_of(ARCHITECTURES, "architecture")]
Loss = Annotated[str, _one_of(LOSSES, "loss")]
Bands = Annotated[
    tuple[str, ...], AfterValidator(check_bands), AfterValidator(_with_whole_directions), Field(min_length=1)
]


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

    Fields that change the published protocol are off by default; `mode: fast` sets some of them.

    Attributes:
        id: Names the folder of results.
        preset: Defaults: `paper` is the protocol of arXiv 2310.05959, `quick` a small grid.
        cases: Case files.
        split: Case ids per role, where they differ from the roles in the case files.
        band_sets: Names of built-in sets, or a mapping from a name to bands.
        encoder: Any encoder of segmentation-models-pytorch.
        epochs: Of `samples_per_epoch` crops each; also the unit of `min_epochs`, `patience` and `lr_patience`.
        crop: Side of a training crop in pixels.
        background_fraction: Share of crops without a landslide.
        precision: Arithmetic of training; `auto` takes bfloat16 where a trial shows that the processor is faster in it.
        lr_schedule: Course of the learning rate.
        min_lr_ratio: A member ends once its rate has fallen below this share of its first.
        ema_decay: Decay per step of an exponential average of the weights, which is then validated and kept; 0 is off.
        validate_every: Epochs between two validations.
        stop_collapsed_after: Epochs after which a member ends that scores no better than a map that is landslide
            everywhere; 0 is off.
        compiled: Compile networks with torch, which pays for long training on a GPU.
        halving_epochs: Epochs after which the worse half of each architecture stops.
        members_per_gpu: Members that train on one GPU at a time; `auto` measures how many pay.
        selection: The selector that turns members into an ensemble, on validation cases alone. `paper` is the best
            `ensemble_size` with equal weights, cut at 0.5; `auto` is `stacked` where three or more cases validate, else
            `paper`.
        calibration: Of every selector but `paper`.
        threshold: Of every selector but `paper`: a number, `f1` (or another F-beta), `cost 5` (of a miss, in false
            alarms), `precision 0.8`.
        separation_km: Least distance between cases of different roles.
        within_event: Let cases of different roles be of one event: one date and less than 100 km apart.
    """

    RENAMED: ClassVar[Mapping[str, str]] = {
        "rate": "lr_schedule",
        "plateau": "lr_patience",
        "least_rate": "min_lr_ratio",
        "average": "ema_decay",
        "samples": "samples_per_epoch",
        "background": "background_fraction",
        "halve_at": "halving_epochs",
        "per_gpu": "members_per_gpu",
        "collapsed_after": "stop_collapsed_after",
    }

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
    lr_patience: Annotated[int, Field(ge=1)] = 10
    samples_per_epoch: Annotated[int, Field(ge=1)] = 1000
    crop: Annotated[int, Field(ge=2 * STRIDE, multiple_of=STRIDE)] = 256
    batch: Annotated[int, Field(ge=2)] = 4
    background_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    seed: Annotated[int, Field(ge=0)] = 42
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    lr_schedule: Literal["plateau", "one-cycle"] = "plateau"
    min_lr_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    validate_every: Annotated[int, Field(ge=1)] = 1
    stop_collapsed_after: Annotated[int, Field(ge=0)] = 0
    compiled: bool = False
    halving_epochs: tuple[Annotated[int, Field(ge=1)], ...] = ()
    members_per_gpu: Annotated[int, Field(ge=1)] | Literal["auto"] = 1
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    ensemble_size: Annotated[int, Field(ge=1)] = 20
    selection: Annotated[str, AfterValidator(_selector)] = "paper"
    calibration: Literal["none", "platt", "isotonic"] = "platt"
    threshold: Rule = "f1"
    separation_km: Annotated[float, Field(ge=0)] = 5.0
    within_event: bool = False

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, data: object) -> object:
        data = with_todays_keys(data, cls.RENAMED)
        if not isinstance(data, Mapping):
            return data
        mode = FAST if data.get("mode") == "fast" else {}
        return {**PRESETS.get(str(data.get("preset", "paper")), {}), **mode, **data}

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        if "PAN" in self.architectures and self.crop < PAN_MIN_SIDE:
            raise ValueError(f"PAN needs a crop of {PAN_MIN_SIDE} or more, not {self.crop}")
        return self

    @model_validator(mode="after")
    def _rungs_rise(self) -> Self:
        rungs = (*self.halving_epochs, self.epochs)
        if any(later <= earlier for earlier, later in pairwise(rungs)):
            raise ValueError(
                f"halving_epochs {list(self.halving_epochs)} must rise and stay below the {self.epochs} epochs"
            )
        if unseen := [epoch for epoch in self.halving_epochs if epoch % self.validate_every]:
            raise ValueError(f"halving_epochs {unseen} is no multiple of validate_every {self.validate_every}")
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
