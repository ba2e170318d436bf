"""Progress of a grid: members done, running and failed, the best one, the estimated time left."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from time import monotonic

from flows.training.jobs import TrainingJob
from landslide.artifacts.store import ArtifactStore
from landslide.training.records import trained_member


class GridProgress:
    """The progress of a grid. `running` returns the number of members in training."""

    def __init__(
        self, jobs: Sequence[TrainingJob], store: ArtifactStore, running: Callable[[], int] = lambda: 0
    ) -> None:
        self._jobs, self._store, self._running = jobs, store, running
        self._started = monotonic()
        self._cached = {job.name for job in jobs if store.folder(job.stage.artifact).exists()}
        self._left = sum(job.member.cost for job in jobs if job.name not in self._cached)
        self._done = 0.0  # cost of the members trained in this run
        self._scores: dict[str, float | None] = {}  # of the members that have ended; None = failed or diverged
        self._failed: list[str] = []

    def add(self, job: TrainingJob, finished: bool) -> None:
        if job.name not in self._cached:
            self._done += job.member.cost
            self._left -= job.member.cost
        self._scores[job.name] = None
        if finished:
            member = trained_member(job.stage.key, self._store.path(job.stage.artifact))
            self._scores[job.name] = member.validation_f1
        else:
            self._failed.append(job.name)

    def __str__(self) -> str:
        """`2 running, 1 failed, best F1 0.612 all/Unet-dice-0.001, about 0:41:10 left`."""
        counts = {"running": self._running(), "failed": len(self._failed)}
        parts = [f"{count} {name}" for name, count in counts.items() if count]
        scored = {name: score for name, score in self._scores.items() if score is not None}
        if scored:
            best = max(scored, key=lambda name: scored[name])
            parts.append(f"best F1 {scored[best]:.3f} {best}")
        if self._done and self._left > 0:
            seconds = round((monotonic() - self._started) * self._left / self._done)
            parts.append(f"about {timedelta(seconds=seconds)} left")
        return ", ".join(parts)

    def markdown(self) -> str:
        """A table of the grid: members that have ended and the best F1, by band set and architecture."""
        band_sets = list(dict.fromkeys(job.member.band_set for job in self._jobs))
        architectures = list(dict.fromkeys(job.member.spec.architecture for job in self._jobs))
        lines = [f"**{len(self._scores)} of {len(self._jobs)} members**: {self}", ""]
        lines += [f"| ended, best F1 | {' | '.join(band_sets)} |", "|---" * (len(band_sets) + 1) + "|"]
        for architecture in architectures:
            cells = [self._cell(band_set, architecture) for band_set in band_sets]
            lines.append(f"| {architecture} | {' | '.join(cells)} |")
        if self._failed:
            lines += ["", f"Failed: {', '.join(self._failed)}"]
        return "\n".join(lines)

    def _cell(self, band_set: str, architecture: str) -> str:
        names = [
            job.name
            for job in self._jobs
            if job.member.band_set == band_set and job.member.spec.architecture == architecture
        ]
        ended = [name for name in names if name in self._scores]
        scores = [score for name in ended if (score := self._scores[name]) is not None]
        return f"{len(ended)}/{len(names)}" + (f", {max(scores):.3f}" if scores else "")
