"""The members of an experiment by name, and how each is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from landslide.artifacts.store import Artifact, Request
from landslide.errors import InputError
from landslide.experiment import Experiment
from landslide.models.architectures import ARCHITECTURES
from landslide.models.member import MemberSpec, grid
from landslide.training.records import Schedule, train_request
from landslide.training.tuning.precision import Probe, probe_request, read
from tasks.stage import path, submit
from tasks.train import probe_precision

Reference = dict[str, str]


@dataclass(frozen=True)
class Named:
    """One member of one band set."""

    band_set: str
    spec: MemberSpec

    @property
    def cost(self) -> float:
        """How long it takes, beside others."""
        return ARCHITECTURES[self.spec.architecture]


@dataclass(frozen=True)
class Entry:
    """A member that is to be trained, up to the epoch `until` where that is not None."""

    name: str
    member: Named
    schedule: Schedule
    request: Request

    @property
    def reference(self) -> Reference:
        """The finished member's artifact."""
        return Artifact(stage=self.request.stage, key=self.request.key).model_dump()


def named(settings: Experiment) -> dict[str, Named]:
    """All members, by what people and shards call them: `all/Unet-dice-0.001`."""
    every = [
        Named(band_set, spec)
        for band_set, bands in settings.band_sets.items()
        for spec in grid(
            settings.architectures, settings.losses, settings.learning_rates, bands,
            encoder=settings.encoder, seed=settings.seed,
        )
    ]  # fmt: skip
    return {f"{one.band_set}/{one.spec.name}": one for one in every}


def entries(
    settings: Experiment, tiles: Reference, store: Path, names: Sequence[str], until: int | None, device: str
) -> list[Entry]:
    """The members of these names, the longest first. Within a flow: a probe may have to choose the arithmetic."""
    every, schedules = named(settings), _schedules(settings, device, store)
    longest_first = sorted(names, key=lambda name: -every[name].cost)
    found = []
    for name in longest_first:
        schedule = schedules[every[name].spec.architecture]
        request = train_request(every[name].spec, schedule, tiles["key"], device, until)
        found.append(Entry(name, every[name], schedule, request))
    return found


def _schedules(settings: Experiment, device: str, store: Path) -> dict[str, Schedule]:
    """How the members of each architecture are trained."""
    stated = settings.model_dump(include=set(Schedule.model_fields) - {"threshold"})  # a member's own stays 0.5
    if settings.precision != "auto":
        return dict.fromkeys(settings.architectures, Schedule.model_validate(stated))
    futures = {}
    for architecture in settings.architectures:
        probe = Probe(
            architecture=architecture, encoder=settings.encoder, channels=len(settings.all_bands),
            crop=settings.crop, batch=settings.batch, device=device,
        )  # fmt: skip
        futures[architecture] = submit(probe_precision, probe_request(probe), store, probe=probe)
    return {
        name: Schedule.model_validate(stated | {"precision": read(path(future.result(), store)).choice})
        for name, future in futures.items()
    }


def check_server(for_what: str) -> None:
    """InputError where there is only the temporary server of a single command."""
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise InputError(
            f"{for_what} needs a Prefect server that it can reach. Start one (`prefect server start`), set "
            "PREFECT_API_URL to its address here and there, and run the same again"
        )
