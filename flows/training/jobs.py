"""The members of an experiment by name, and their training stages."""

from collections.abc import Sequence
from dataclasses import dataclass

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.errors import InputError
from landslide.experiment import Experiment
from landslide.models.architectures import ARCHITECTURES
from landslide.models.member import MemberSpec, grid
from landslide.training.records import Schedule
from landslide.training.train_member import TrainMember
from landslide.training.tuning.precision import MeasurePrecision, Probe, read_probe
from tasks.stage import submit
from tasks.train import measure_precision


@dataclass(frozen=True)
class GridMember:
    """One member of one band set."""

    band_set: str
    spec: MemberSpec

    @property
    def name(self) -> str:
        """Its name in the experiment, such as `all/Unet-dice-0.001`."""
        return f"{self.band_set}/{self.spec.name}"

    @property
    def cost(self) -> float:
        """GFLOP of a training step."""
        return ARCHITECTURES[self.spec.architecture]


@dataclass(frozen=True)
class TrainingJob:
    """A member and the stage that trains it."""

    member: GridMember
    stage: TrainMember

    @property
    def name(self) -> str:
        return self.member.name


def grid_members(settings: Experiment) -> dict[str, GridMember]:
    """All members of an experiment by name, band set by band set."""
    members = [
        GridMember(band_set, spec)
        for band_set, bands in settings.band_sets.items()
        for spec in grid(
            settings.architectures, settings.losses, settings.learning_rates, bands,
            encoder=settings.encoder, seed=settings.seed,
        )
    ]  # fmt: skip
    return {member.name: member for member in members}


def jobs(
    settings: Experiment, tiles: Artifact, store: ArtifactStore, names: Sequence[str], until: int | None, device: str
) -> list[TrainingJob]:
    """The training of some members, the most expensive first. Needs a flow run: `precision: auto` submits a probe.

    Args:
        settings: The experiment.
        tiles: The training store.
        store: The store of the probe's result.
        names: The names of the members.
        until: The last epoch; None trains to the end.
        device: Where they train.
    """
    members, schedules = grid_members(settings), _schedules(settings, device, store)
    by_cost = sorted((members[name] for name in names), key=lambda member: -member.cost)
    return [
        TrainingJob(
            member, TrainMember.of(member.name, member.spec, schedules[member.spec.architecture], tiles, device, until)
        )
        for member in by_cost
    ]


def _schedules(settings: Experiment, device: str, store: ArtifactStore) -> dict[str, Schedule]:
    stated = settings.model_dump(include=set(Schedule.model_fields) - {"threshold"})  # members are validated at 0.5
    if settings.precision != "auto":
        return dict.fromkeys(settings.architectures, Schedule.model_validate(stated))
    futures = {}
    for architecture in settings.architectures:
        probe = Probe(
            architecture=architecture, encoder=settings.encoder, channels=len(settings.all_bands),
            crop=settings.crop, batch=settings.batch, device=device,
        )  # fmt: skip
        futures[architecture] = submit(measure_precision, MeasurePrecision.of(probe), store)
    return {
        name: Schedule.model_validate(stated | {"precision": read_probe(store.path(future.result())).choice})
        for name, future in futures.items()
    }


def check_server(purpose: str) -> None:
    """InputError without a Prefect server that other processes can reach."""
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise InputError(
            f"{purpose} needs a Prefect server that other processes can reach. Start one (`prefect server start`), set "
            "PREFECT_API_URL to its address on all machines, and run the same command again"
        )
