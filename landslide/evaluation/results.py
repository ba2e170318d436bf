"""The evaluate stage: scores of ranked members on labelled cases, as `metrics.json`, `curve.csv` and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from landslide.artifacts.store import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from landslide.ensembles.select import Choice
    from landslide.evaluation.evaluate import Evaluation
    from landslide.models.member import TrainedMember

VERSION = 4
METRICS, CURVE = "metrics.json", "curve.csv"


def evaluate_request(
    title: str, stacks: Mapping[str, str], predictions: Mapping[str, Sequence[str]], choices: Sequence[Choice]
) -> Request:
    """What an evaluation depends on: of each case the prepared case's key and those of the predictions, in the order of
    the members' rank; the choices, of which the first is delivered.
    """
    inputs = {f"case/{name}": key for name, key in stacks.items()}
    inputs |= {f"{case}/{rank:03d}": key for case, keys in predictions.items() for rank, key in enumerate(keys, 1)}
    parameters = {"title": title, "choices": [choice.model_dump(mode="json") for choice in choices]}
    return Request(stage="evaluate", version=VERSION, parameters=parameters, inputs=inputs)


def document(evaluation: Evaluation, members: Sequence[TrainedMember]) -> dict[str, Any]:
    """`metrics.json`: the delivered ensemble first, then what it stands beside."""
    baseline, chosen = evaluation.baseline, evaluation.chosen
    return {
        "size": evaluation.size,
        "way": chosen.selector,
        "scale": chosen.scale,
        "calibration": chosen.calibration and chosen.calibration.model_dump(mode="json"),
        "threshold": chosen.threshold,
        **evaluation.scored.document(),
        **evaluation.delivered.document(),
        "ways": [way.model_dump(mode="json") for way in evaluation.ways],
        "observed": evaluation.observed,
        "median_member_f1": evaluation.median_member_f1(),
        "baseline_dndvi": baseline
        and {"threshold": baseline[0], "f1": baseline[1].pooled.f1, **baseline[1].document()},
        "curve": [
            {"k": k, "interval": evaluation.intervals.get(k), **row.document()}
            for k, row in enumerate(evaluation.curve, 1)
        ],
        "members": [
            {
                "rank": rank,
                "name": member.spec.name,
                "validation_f1": member.validation_f1,
                "f1": row.pooled.f1,
                **row.document(),
            }
            for rank, (member, row) in enumerate(zip(members, evaluation.members, strict=True), 1)
        ],
    }
