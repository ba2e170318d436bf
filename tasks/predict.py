"""Members and a prepared case to the library of predictions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect import task
from pydantic import BaseModel

from landslide.datasets.normalisation import Normalisation
from landslide.datasets.stack import Stack
from landslide.ensembles.predictions import Library, predict, predict_request, truth_request, write_truth
from landslide.models.inference import OVERLAP, WINDOW
from landslide.models.member import TrainedMember, load_member
from landslide.progress import track
from tasks.stage import obtain, path

Reference = dict[str, str]


class Shelf(BaseModel):
    """What the library has of one case: references of the prepared case, of its truth, and of the prediction of each
    member in the order of rank.
    """

    stack: Reference
    truth: Reference
    predictions: list[Reference]

    @property
    def prediction_keys(self) -> list[str]:
        """Of the predictions."""
        return [prediction["key"] for prediction in self.predictions]


@task(name="predict", task_run_name="predict {case}", persist_result=False)
def predict_case(
    case: str,
    stack: Reference,
    members: Sequence[TrainedMember],
    bands: tuple[str, ...],
    normalisation: Normalisation,
    device: str,
    store: Path,
) -> Shelf:
    """Every member's probabilities of a case; each is an artifact of its own, so that none is computed twice."""
    prepared = Stack.open(path(stack, store))
    truth = obtain(truth_request(stack["key"], bands), store, lambda folder: write_truth(prepared, bands, folder))
    known, predictions = path(truth, store), []
    for member in track(members, f"Predicting {case}"):

        def build(folder: Path, member: TrainedMember = member) -> None:
            network = load_member(member.spec, member.weights, device)
            predict(network, prepared, known, normalisation, WINDOW, OVERLAP, folder)

        request = predict_request(member.key, truth["key"], normalisation, WINDOW, OVERLAP)
        predictions.append(obtain(request, store, build))
    return Shelf(stack=stack, truth=truth, predictions=predictions)


def open_library(members: Sequence[str], shelves: Mapping[str, Shelf], store: Path) -> Library:
    """The library of several cases; `members` are keys in the order of rank."""
    return Library.open(
        members,
        {case: path(shelf.truth, store) for case, shelf in shelves.items()},
        {case: [path(one, store) for one in shelf.predictions] for case, shelf in shelves.items()},
    )
