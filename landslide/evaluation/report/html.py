"""The report of an experiment: one HTML file that opens offline, with its pictures inline and no script.

It shows what `metrics.json` of each band set says. What a document does not hold is left out or said, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from landslide import __version__
from landslide.ensembles.select import PAPER
from landslide.geo.grid import PIXEL
from landslide.plotting import text as words
from landslide.plotting.html import environment, inline
from landslide.plotting.text import bounds, number

Document = Mapping[str, Any]
"""A band set's `metrics.json`."""
Row = dict[str, Any]

COVER, GALLERY = "cover", "gallery-"
CHARTS = ("curve", "performance", "reliability", "sizes")
TOUCHED, COVERED = 0.2, 0.5
PIXEL_M2, KM2 = float(PIXEL**2), 1e6
SLICES = {f"looks of {sensor}_{side}": f"number of looks, {name} {when} the event"
          for sensor, name in (("s1", "Sentinel-1"), ("s2", "Sentinel-2"))
          for side, when in (("pre", "before"), ("post", "after"))}  # fmt: skip
SLICES |= {"sun": "sunlight"} | {f"radar {way}": f"radar view, {way} orbits" for way in ("ascending", "descending")}
WAYS = {
    PAPER: "the best by F1, equal votes, cut at 0.5",
    "top": "the same members, with a threshold of its own",
    "forward": "one by one while they help, some more than once",
    "diverse": "good and unlike each other, equal votes",
    "stacked": "weights of the least squared error",
    "logistic": "weights of the greatest likelihood",
    "all_members": "every member, equal votes",
}


def write(
    path: Path,
    title: str,
    documents: Mapping[str, Document],
    figures: Mapping[str, Mapping[str, Path]],
    reproduce: str,
    sizes: Path | None = None,
) -> None:
    """Write the report of an experiment.

    `documents` and `figures` are by band set; a figure's name is its file's, such as `curve.png` or
    `gallery-best-1.png`, and one that is not there is left out. `reproduce` is the experiment's file and the commands;
    `sizes` a picture of F1 over the number of members, of all band sets.
    """
    board = ranked(documents)
    bands = [_band(row, documents[row["name"]], figures.get(row["name"], {})) for row in board]
    page = environment(Path(__file__).parent, autoescape=True).get_template("report.html")
    text = page.render(
        title=title,
        best=board[0] if board and board[0]["f1"] is not None else None,
        board=board,
        bands=bands,
        unseen=_unseen(documents, [row["name"] for row in board]),
        reproduce=reproduce.strip(),
        sizes=None if sizes is None else inline(sizes),
        version=__version__,
    )
    path.write_text(text, encoding="utf-8")


def ranked(documents: Mapping[str, Document]) -> list[Row]:
    """Band sets by pooled F1 on the test cases, best first, those without one last."""
    rows = [standing(name, document) for name, document in documents.items()]
    return sorted(rows, key=lambda row: -1.0 if row["f1"] is None else row["f1"], reverse=True)


def standing(name: str, document: Document) -> Row:
    """What is compared of a band set. `interval` is over events where there is one, else over landslides."""
    pooled, cases = document.get("pooled") or {}, document.get("cases") or {}
    wide, narrow = (interval(document.get("intervals"), "f1", over) for over in ("events", "landslides"))
    return {
        "name": name,
        **{score: number(pooled.get(score)) for score in ("f1", "precision", "recall", "iou", "mcc")},
        "ap": number(document.get("average_precision")),
        "interval": wide or narrow,
        "over": "events" if wide else "landslides" if narrow else None,
        "narrow": narrow,
        "events": len(cases),
        "members": document.get("size"),
        "touched": objects_at(document, TOUCHED),
        "covered": objects_at(document, COVERED),
        "ece": number(_reliability(document, "after").get("ece")),
        "median": number(document.get("median_member_f1")),
        "baseline": number((document.get("baseline_dndvi") or {}).get("f1")),
        "observed": seen_share(cases, document.get("observed") or {}),
    }


def interval(intervals: Document | None, score: str, over: str) -> list[float] | None:
    """Of a score, over `events` or `landslides`; None where it cannot be told."""
    return bounds(((intervals or {}).get(score) or {}).get(over))


def objects_at(document: Document, share: float) -> Document | None:
    """Scores by landslide, found where at least `share` of it is mapped."""
    return next((row for row in document.get("objects") or [] if row.get("share") == share), None)


def pixels(counts: Document) -> int:
    """Pixels that counted."""
    return sum(counts.get(name) or 0 for name in ("tp", "fp", "fn", "tn"))


def seen_share(cases: Document, observed: Mapping[str, float]) -> float | None:
    """The share of all ground of the cases that counted; None where one of them does not say."""
    counted = {name: pixels(counts) for name, counts in cases.items()}
    if not counted or any(not observed.get(name) or not seen for name, seen in counted.items()):
        return None
    return sum(counted.values()) / sum(seen / observed[name] for name, seen in counted.items())


def false_alarms(slices: Document | None) -> list[Row]:
    """Area mapped in error on each slice, in all and for each km² of it that was observed; the most for a km² first."""
    rows: list[Row] = []
    for label, counts in (slices or {}).items():
        area, alarm = pixels(counts) * PIXEL_M2, (counts.get("fp") or 0) * PIXEL_M2
        if area:
            rows.append({"label": label, "observed_m2": area, "m2": alarm, "per_km2": alarm / area * KM2})
    total, most = sum(row["m2"] for row in rows), max((row["per_km2"] for row in rows), default=0)
    shares = [{"share": row["m2"] / total if total else 0, "height": row["per_km2"] / most if most else 0}
              for row in rows]  # fmt: skip
    return sorted((row | more for row, more in zip(rows, shares, strict=True)), key=lambda row: -row["per_km2"])


def _band(row: Row, document: Document, figures: Mapping[str, Path]) -> Row:
    """All that the report says of one band set."""
    pictures = {Path(name).stem: inline(path) for name, path in figures.items() if path.is_file()}
    slices = document.get("slices") or {}
    ways = _ways(document)
    return row | {
        "way": document.get("way"),
        "scale": document.get("scale"),
        "threshold": number(document.get("threshold")),
        "calibration": (document.get("calibration") or {}).get("kind"),
        "ways": ways,
        "chosen": next((way for way in ways if way["chosen"]), None),
        "paper": next((way for way in ways if way["name"] == PAPER), None),
        "reach": _reach(ways),
        "scores": _scores(document),
        "reliability": {when: _reliability(document, when) for when in ("before", "after")},
        "sizes": _sizes(document),
        "confidence": _confidence(document),
        "cover": false_alarms(slices.get(COVER)),
        "slices": {SLICES.get(name, name): _slice(parts) for name, parts in slices.items() if name != COVER and parts},
        "cases": _cases(document),
        "voters": document.get("members") or [],
        "hindsight": number((document.get("baseline_dndvi") or {}).get("threshold")),
        "charts": {name: pictures[name] for name in CHARTS if name in pictures},
        "gallery": _gallery(pictures),
    }


def _reliability(document: Document, when: str) -> Document:
    return (document.get("reliability") or {}).get(when) or {}


def _scores(document: Document) -> list[Row]:
    """Scores by pixel with both intervals."""
    pooled, intervals = document.get("pooled") or {}, document.get("intervals")
    names = (("precision", "Precision"), ("recall", "Recall"), ("f1", "F1"), ("iou", "IoU"), ("mcc", "MCC"))
    rows = [
        {
            "label": label,
            "value": number(pooled.get(name)),
            "events": interval(intervals, name, "events"),
            "landslides": interval(intervals, name, "landslides"),
        }
        for name, label in names
    ]
    return [row for row in rows if row["value"] is not None]


def _ways(document: Document) -> list[Row]:
    """Ways of choosing members in the order given; `chosen` is the delivered one."""
    rows = []
    for way in document.get("ways") or []:
        same_scale = document.get("scale") in (None, way.get("scale"))
        rows.append(
            {
                "name": way.get("way") or "?",
                "words": WAYS.get(str(way.get("way")), ""),
                "chosen": way.get("way") == document.get("way") and same_scale,
                **{name: way.get(name) for name in ("scale", "members", "events_won", "events")},
                **{name: number(way.get(name)) for name in ("effective", "held_out_f1", "threshold", "gain", "ece")},
                "f1": number((way.get("pooled") or {}).get("f1")),
                "interval": bounds(way.get("interval")),
                "gain_interval": bounds(way.get("gain_interval")),
                "reference": way.get("way") == PAPER,
            }
        )
    return rows


def _reach(ways: Iterable[Row]) -> float:
    """The greatest gain or loss, or end of an interval of one, that the ways' bars must show."""
    ends: list[float] = [end for way in ways for end in [way["gain"] or 0, *(way["gain_interval"] or [])]]
    return max(0.01, *map(abs, ends), 0)


def _sizes(document: Document) -> list[Row]:
    """Classes of area with landslides in them, and how many of them were found at each share."""
    touched, covered = (objects_at(document, share) or {} for share in (TOUCHED, COVERED))
    halves = {row.get("low_m2"): row for row in covered.get("sizes") or []}
    rows = []
    for size in touched.get("sizes") or []:
        low, high, there = size["low_m2"], size.get("high_m2"), size.get("landslides")
        if there:
            half = halves.get(low, {}).get("found")
            rows.append({"label": _size(low, high), "landslides": there, "touched": size.get("found"), "covered": half})
    return rows


def _size(low: float, high: float | None) -> str:
    if high is None:
        return f"{words.area(low)} and more"
    return f"{words.area(low)} to {words.area(high)}" if low else f"below {words.area(high)}"


def _confidence(document: Document) -> list[Row]:
    """Classes of confidence, the highest first: mapped patches, and how many of them were landslides."""
    rows: list[Row] = []
    for row in document.get("confidence") or []:
        patches, real = row.get("patches") or 0, row.get("real") or 0
        rows.append(
            {
                "name": row.get("name") or "?",
                "least": number(row.get("least")),
                "below": rows[-1]["least"] if rows else None,
                "patches": patches,
                "real": real,
                "share": real / patches if patches else None,
            }
        )
    return rows


def _slice(parts: Document) -> list[Row]:
    """Scores of each part of a scene, in the order given."""
    alarms = {row["label"]: row["per_km2"] for row in false_alarms(parts)}
    return [
        {
            "label": label,
            **{name: number(counts.get(name)) for name in ("f1", "precision", "recall")},
            "landslide_m2": ((counts.get("tp") or 0) + (counts.get("fn") or 0)) * PIXEL_M2,
            "per_km2": alarms.get(label),
        }
        for label, counts in parts.items()
    ]


def _cases(document: Document) -> list[Row]:
    observed = document.get("observed") or {}
    return [
        {
            "id": name,
            **{score: number(counts.get(score)) for score in ("f1", "precision", "recall", "mcc")},
            "landslide_m2": ((counts.get("tp") or 0) + (counts.get("fn") or 0)) * PIXEL_M2,
            "observed": number(observed.get(name)),
        }
        for name, counts in (document.get("cases") or {}).items()
    ]


def _unseen(documents: Mapping[str, Document], names: list[str]) -> list[Row]:
    """Of each test case, the share observed by each band set in the order of `names`."""
    cases = dict.fromkeys(case for document in documents.values() for case in document.get("observed") or {})
    return [
        {"id": case, "shares": [number((documents[name].get("observed") or {}).get(case)) for name in names]}
        for case in cases
    ]


def _gallery(pictures: Mapping[str, str]) -> list[Row]:
    """Pictures of scenes as `best`, `worst` and the rest, by their names."""
    rows = [{"name": name.removeprefix(GALLERY), "source": source} for name, source in sorted(pictures.items())
            if name.startswith(GALLERY)]  # fmt: skip
    groups: dict[str, list[Row]] = {"best": [], "worst": [], "": []}
    for row in rows:
        groups[next((kind for kind in ("best", "worst") if row["name"].startswith(kind)), "")].append(row)
    return [{"kind": kind, "pictures": some} for kind, some in groups.items() if some]
