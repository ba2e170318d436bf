"""The report of an experiment: one HTML file that opens offline, with its pictures inline and no script."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from landslide.ensembles.select import PAPER
from landslide.evaluation.results import Bounds, EvaluationReport, ObjectResult, Scores, SelectorResult
from landslide.geo.grid import PIXEL
from landslide.metrics.objects import SHARES, SizeClass
from landslide.plotting.html import data_uri, environment
from landslide.plotting.text import area

COVER = "cover"
CHARTS = ("curve", "performance", "reliability", "sizes")
GALLERY = "gallery-"
SLICE_NAMES = {
    f"looks of {sensor}_{side}": f"number of looks, {name} {when} the event"
    for sensor, name in (("s1", "Sentinel-1"), ("s2", "Sentinel-2"))
    for side, when in (("pre", "before"), ("post", "after"))
} | {
    "sun": "sunlight",
    "radar ascending": "radar view, ascending orbits",
    "radar descending": "radar view, descending orbits",
}
DESCRIPTIONS = {
    PAPER: "the best by F1, equal weights, threshold 0.5",
    "top": "the same members, with a fitted threshold",
    "forward": "added one by one while they help, some more than once",
    "diverse": "good and unlike each other, equal weights",
    "stacked": "weights of the least squared error",
    "logistic": "weights of the greatest likelihood",
    "all_members": "every member, equal weights",
}


@dataclass(frozen=True)
class FalseAlarms:
    """Area mapped in error on one slice of the scenes.

    Args:
        label: The name of the slice.
        m2_per_km2: m² for each km² of it that counted.
        share: Of the false alarms of all slices.
        relative: `m2_per_km2` over the greatest of all slices.
    """

    label: str
    m2_per_km2: float
    share: float
    relative: float


@dataclass(frozen=True)
class BandSet:
    """A band set of the experiment: its report, and the pictures of its folder as data URIs.

    `gallery` are pictures of scenes by name, grouped as `best`, `worst` and others.
    """

    name: str
    report: EvaluationReport
    charts: Mapping[str, str]
    gallery: Mapping[str, Mapping[str, str]]

    @property
    def interval(self) -> Bounds | None:
        """Of the pooled F1: over events if there is one, else over landslides."""
        return self.report.intervals.f1.events or self.report.intervals.f1.landslides

    @property
    def interval_over(self) -> str | None:
        """What `interval` is over."""
        f1 = self.report.intervals.f1
        return "events" if f1.events else "landslides" if f1.landslides else None

    @property
    def detected(self) -> ObjectResult:
        """Scores by landslide, at least a fifth mapped."""
        return self.report.objects_at(SHARES[0])

    @property
    def covered(self) -> ObjectResult:
        """Scores by landslide, at least half mapped."""
        return self.report.objects_at(SHARES[1])

    @property
    def sizes(self) -> list[tuple[SizeClass, SizeClass]]:
        """Size classes that have landslides, a fifth mapped and half mapped."""
        pairs = zip(self.detected.sizes, self.covered.sizes, strict=True)
        return [(fifth, half) for fifth, half in pairs if fifth.landslides]

    @property
    def delivered(self) -> SelectorResult:
        """The delivered selector."""
        return self.report.selectors[0]

    @property
    def paper(self) -> SelectorResult | None:
        """The published selector; None where it was not evaluated."""
        return next((result for result in self.report.selectors if result.selector == PAPER), None)

    @property
    def greatest_gain(self) -> float:
        """The greatest absolute gain or end of its interval, to scale the bars by; not below 0.01."""
        gains: list[float] = [0.01]
        for one in self.report.selectors:
            gains += [one.gain or 0.0, *(one.gain_interval or ())]
        return max(abs(gain) for gain in gains)

    @property
    def baseline_f1(self) -> float | None:
        """F1 of the best dNDVI threshold."""
        baseline = self.report.baseline_dndvi
        return None if baseline is None else baseline.pooled.f1

    @property
    def land_cover(self) -> list[FalseAlarms]:
        """False alarms by land cover; empty where the cases have none."""
        return false_alarms(self.report.slices.get(COVER, {}))

    @property
    def slices(self) -> dict[str, dict[str, Scores]]:
        """The other slices, by a name for people."""
        slices = self.report.slices.items()
        return {SLICE_NAMES.get(name, name): parts for name, parts in slices if name != COVER and parts}


def write(
    path: Path,
    title: str,
    reports: Mapping[str, EvaluationReport],
    figures: Mapping[str, Mapping[str, Path]],
    reproduce: str,
    sizes: Path | None = None,
) -> None:
    """Write the report of an experiment.

    Args:
        path: The HTML file.
        title: Of the experiment.
        reports: By band set.
        figures: By band set, pictures by the names of their files, such as `curve.png` or `gallery-best-1.png`; one
            that does not exist is left out.
        reproduce: The experiment's file and the command.
        sizes: A picture of F1 over the number of members, of all band sets.
    """
    bands = ranked([_band_set(name, report, figures.get(name, {})) for name, report in reports.items()])
    text = (
        environment(Path(__file__).parent)
        .get_template("report.html")
        .render(
            title=title,
            best=bands[0] if bands and bands[0].report.pooled.f1 is not None else None,
            bands=bands,
            cases=list(dict.fromkeys(case for band in bands for case in band.report.cases)),
            paper=PAPER,
            descriptions=DESCRIPTIONS,
            size_class=size_class,
            pixel_m2=PIXEL**2,
            reproduce=reproduce.strip(),
            sizes=None if sizes is None else data_uri(sizes.read_bytes()),
        )
    )
    path.write_text(text, encoding="utf-8")


def ranked(bands: list[BandSet]) -> list[BandSet]:
    """Band sets by pooled F1 on the test cases, best first, those with an undefined F1 last."""
    return sorted(
        bands, key=lambda band: -1.0 if band.report.pooled.f1 is None else band.report.pooled.f1, reverse=True
    )


def false_alarms(slices: Mapping[str, Scores]) -> list[FalseAlarms]:
    """Area mapped in error on each slice that has pixels, the most for a km² first."""
    counted = {label: scores for label, scores in slices.items() if scores.pixels}
    densities = {label: 1e6 * scores.fp / scores.pixels for label, scores in counted.items()}
    total, greatest = sum(scores.fp for scores in counted.values()), max(densities.values(), default=0.0)
    rows = [
        FalseAlarms(
            label=label,
            m2_per_km2=density,
            share=counted[label].fp / total if total else 0.0,
            relative=density / greatest if greatest else 0.0,
        )
        for label, density in densities.items()
    ]
    return sorted(rows, key=lambda row: -row.m2_per_km2)


def size_class(size: SizeClass) -> str:
    """A size class of landslides, such as `1000 m² to 3000 m²`."""
    if size.high_m2 is None:
        return f"{area(size.low_m2)} and more"
    return f"{area(size.low_m2)} to {area(size.high_m2)}" if size.low_m2 else f"below {area(size.high_m2)}"


def _band_set(name: str, report: EvaluationReport, figures: Mapping[str, Path]) -> BandSet:
    pictures = {Path(file).stem: data_uri(path.read_bytes()) for file, path in figures.items() if path.is_file()}
    gallery: dict[str, dict[str, str]] = {}
    for kind in ("best", "worst", ""):
        for stem in sorted(pictures):
            scene = stem.removeprefix(GALLERY)
            if stem.startswith(GALLERY) and _kind(scene) == kind:
                gallery.setdefault(kind, {})[scene] = pictures[stem]
    return BandSet(name, report, {chart: pictures[chart] for chart in CHARTS if chart in pictures}, gallery)


def _kind(scene: str) -> str:
    """`best`, `worst`, or nothing, by the name of a picture."""
    return next((kind for kind in ("best", "worst") if scene.startswith(kind)), "")
