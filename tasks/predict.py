"""Members and a case's stack to their stored predictions."""

from collections.abc import Sequence

from prefect import task

from landslide.artifacts.stage import Artifact
from landslide.artifacts.store import ArtifactStore
from landslide.datasets.normalisation import Normalisation
from landslide.ensembles.predictions import CasePredictions, PredictCase, WriteTruth
from landslide.models.inference import OVERLAP, WINDOW
from landslide.models.member import TrainedMember
from landslide.progress import track


@task(name="predict", task_run_name="predict {case}", persist_result=False)
def predict_case(
    case: str,
    stack: Artifact,
    members: Sequence[TrainedMember],
    bands: tuple[str, ...],
    normalisation: Normalisation,
    device: str,
    store: ArtifactStore,
) -> CasePredictions:
    """Every member's probabilities of a case, each an artifact of its own, so that none is computed twice.

    Args:
        case: Its id, for people.
        stack: Its stack.
        members: In the order of rank.
        bands: The band set; a pixel counts where all of them were observed.
        normalisation: Of the training cases.
        device: Where the networks run.
        store: Where the predictions are kept.
    """
    truth = store.get_or_build(WriteTruth(stack=stack, bands=bands))
    predictions = [
        store.get_or_build(
            PredictCase(
                member=member, stack=stack, truth=truth, normalisation=normalisation, window=WINDOW, overlap=OVERLAP,
                device=device,
            )
        )
        for member in track(members, f"Predicting {case}")
    ]  # fmt: skip
    return CasePredictions(stack=stack, truth=truth, predictions=tuple(predictions))
