"""The task that predicts a case with every member."""

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
    """Predict a case with every member. Each member's probabilities are an artifact.

    Args:
        case: The case's id, for messages.
        stack: The case's stack.
        members: The members in the order of rank.
        bands: The band set. A pixel counts if all of its bands are observed.
        normalisation: The normalisation of the training cases.
        device: Where the networks run.
        store: The store of the predictions.
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
