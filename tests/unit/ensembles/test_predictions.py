from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from landslide.artifacts.stage import Artifact
from landslide.datasets.normalisation import Normalisation, observed
from landslide.datasets.stack import IGNORE, Stack
from landslide.ensembles import combine
from landslide.ensembles.predictions import Library, PredictCase, Truth, WriteTruth, predict, single, write_truth
from landslide.errors import BandError, InputError
from landslide.evaluation.size_curve import all_sizes, greatest_sum
from landslide.metrics import pixel, ranking
from landslide.metrics.pixel import Counts
from landslide.models.inference import probability_rows
from landslide.models.member import MemberSpec, TrainedMember
from tests.helpers.predictions import counts, open_library, scene, write_case
from tests.helpers.stacks import BANDS, toy_stack

NORMALISATION = Normalisation(mean=(0.0,) * len(BANDS), std=(2.0,) * len(BANDS))


def network(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Conv2d(len(BANDS), 1, 3, padding=1).eval()


def stored(folder: Path, stacks: list[Stack], members: int) -> Library:
    """Truths and predictions of tiny networks, as the two stages write them."""
    truths, predictions = {}, {}
    for stack in stacks:
        case = stack.info.case.id
        truths[case], predictions[case] = folder / case / "truth", [folder / case / str(i) for i in range(members)]
        truths[case].mkdir(parents=True)
        write_truth(stack, BANDS, truths[case])
        for seed, place in enumerate(predictions[case]):
            place.mkdir()
            predict(network(seed), stack, truths[case], NORMALISATION, 64, 16, place)
    return Library.open([f"m{i}" for i in range(members)], truths, predictions)


def plain(stack: Stack, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and probability float16 (pixel,) of what counts, and where that is (y, x), without a library."""
    label = stack.label("scene")
    with stack.reader("scene") as reader:
        whole = (slice(0, label.shape[0]), slice(0, label.shape[1]))
        counted = observed(reader.read(BANDS, whole)) & (label != IGNORE)
        rows = probability_rows(
            network(seed), lambda roi: NORMALISATION.apply(reader.read(BANDS, roi)), label.shape, 64, 16
        )
        probability = np.concatenate([block for _, block in rows])
    return label[counted] == 1, probability[counted].astype("float16"), counted


def test_the_library_holds_what_the_networks_say_where_it_counts(tmp_path: Path) -> None:
    stacks = [toy_stack(tmp_path / name, name, 96, seed) for seed, name in enumerate(("a", "b"))]
    library = stored(tmp_path / "library", stacks, 3)
    assert (library.cases, library.members) == (("a", "b"), ("m0", "m1", "m2"))
    for stack in stacks:
        case = stack.info.case.id
        found = list(library.blocks(case, 1000))
        assert max(len(block.pixels) for block in found) == 1000
        pixels = np.concatenate([block.pixels for block in found])
        truth = np.concatenate([block.truth for block in found])
        probabilities = np.concatenate([block.probabilities for block in found], axis=1)
        assert (np.diff(truth.astype(int)) <= 0).all()  # landslides first
        order = np.argsort(pixels)
        for seed in range(3):
            true, probability, counted = plain(stack, seed)
            assert (pixels[order] == np.flatnonzero(counted)).all()
            assert (truth[order] == true).all()
            assert (probabilities[seed, order] == probability).all()
        assert library.parts(case)[0].positives == true.sum()


def test_every_size_scores_as_scikit_learn_of_the_plain_mean(tmp_path: Path) -> None:
    stack = toy_stack(tmp_path / "a", "a", 96, 5)
    sizes = all_sizes(stored(tmp_path / "library", [stack], 4), 0.5, size=777)
    found = [plain(stack, seed) for seed in range(4)]
    probabilities = np.stack([probability for _, probability, _ in found]).astype("float32")
    for k in range(1, 5):
        mean, truth = probabilities[:k].mean(axis=0), found[0][0]
        assert pixel.f1(sizes.curve["a"])[k - 1] == metrics.f1_score(truth, mean > 0.5)
        assert pixel.f1(sizes.alone["a"])[k - 1] == metrics.f1_score(truth, probabilities[k - 1] > 0.5)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 9), st.floats(0.05, 0.95), st.integers(3, 400))
def test_counts_of_every_size_are_those_of_numpy(
    tmp_path_factory: pytest.TempPathFactory, seed: int, members: int, threshold: float, size: int
) -> None:
    folder, random = tmp_path_factory.mktemp("sizes"), np.random.default_rng(seed)
    truth, probability = scene(random, (20, 30), [1.0] * members)
    probability.flat[:: max(members, 2)] = threshold  # right on it
    stored_as = probability.astype("float16").astype("float32")
    write_case(folder, "a", [truth], [probability])
    library = open_library(folder, ["a"], [f"m{i}" for i in range(members)])
    sizes = all_sizes(library, threshold, size)
    weights = np.tril(np.ones((members, members))) / np.arange(1, members + 1)[:, None]
    (block,) = library.blocks("a")
    by_product = combine.weighted_means(block, weights, ["probability"] * members) > threshold
    everywhere = np.ones_like(truth)
    for k in range(1, members + 1):
        expected = Counts.of(stored_as[:k].mean(axis=0) > threshold, truth, everywhere)
        assert tuple(sizes.curve["a"][k - 1]) == (expected.tp, expected.fp, expected.fn, expected.tn)
        assert abs(np.count_nonzero(by_product[k - 1]) - sizes.curve["a"][k - 1][:2].sum()) <= 1
        alone = Counts.of(stored_as[k - 1] > threshold, truth, everywhere)
        assert tuple(sizes.alone["a"][k - 1]) == (alone.tp, alone.fp, alone.fn, alone.tn)


def test_by_hand(tmp_path: Path) -> None:
    truth = np.array([[True, False, True]])
    write_case(tmp_path, "a", [truth], [np.array([[[0.9, 0.2, 0.4]], [[0.2, 0.9, 0.6]], [[0.6, 0.1, 0.75]]])])
    sizes = all_sizes(open_library(tmp_path, ["a"], ["x", "y", "z"]), 0.5)
    assert sizes.alone["a"].tolist() == [[1, 0, 1, 1], [1, 1, 1, 0], [2, 0, 0, 1]]
    # means 0.9 0.2 0.4 | 0.55 0.55 0.5 | 0.57 0.4 0.58: what equals the threshold is not mapped
    assert sizes.curve["a"].tolist() == [[1, 0, 1, 1], [1, 1, 1, 0], [2, 0, 0, 1]]


@given(st.integers(1, 500), st.floats(1 / 128, 127 / 128, width=32))
def test_the_greatest_sum_whose_mean_is_not_mapped(k: int, threshold: float) -> None:
    bound, count, cut = greatest_sum(k, np.float32(threshold)), np.float32(k), np.float32(threshold)
    assert bound / count <= cut < np.nextafter(bound, np.float32(np.inf)) / count


def test_half_to_single_is_exact_for_every_probability() -> None:
    half = np.arange(np.float16(1).view("uint16") + 1, dtype="uint16").view("float16")
    assert (single(half) == half.astype("float32")).all()


def test_histograms_of_averages_cut_as_counts_do(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for case in "ab":
        write_case(tmp_path, case, *zip(*(scene(random, (30, 40), [1, 2, 3]) for _ in range(2)), strict=True))
    library, weights = open_library(tmp_path, ["a", "b"], ["x", "y", "z"]), np.array([[0.5, 0.3, 0.2], [0, 0, 1]])
    found = combine.histograms(library, weights, ["probability"] * 2)
    fp, tp = np.moveaxis(ranking.mapped_above(found["a"] + found["b"])[..., ranking.BINS // 4], -1, 0)
    for way in range(2):
        expected = counts(library, weights[way], 0.25)
        assert (tp[way], fp[way]) == tuple(expected[:2])
    assert found["a"].sum((1, 2)).tolist() == [2 * 30 * 40] * 2


def test_logits_are_averaged_where_a_way_says_so(tmp_path: Path) -> None:
    truth, probability = scene(np.random.default_rng(0), (20, 30), [1, 2, 3])
    probability[0, 0, :3] = 0, 1, 0.5
    write_case(tmp_path, "a", [truth], [probability])
    (block,) = open_library(tmp_path, ["a"], ["x", "y", "z"]).blocks("a")
    weights = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.0, 0.0, 1.0]])
    means = combine.weighted_means(block, weights, ["logit", "probability", "logit"])
    p = block.probabilities.astype("float64")
    with np.errstate(divide="ignore"):
        logits = np.clip(np.log(p / (1 - p)), -8, 8)
    assert means[0] == pytest.approx(1 / (1 + np.exp(-weights[0] @ logits)), abs=1e-5)
    assert means[1] == pytest.approx(weights[1] @ p, abs=1e-6)
    assert means[2] == pytest.approx(p[2], abs=1e-3)


def test_the_keys_hold_all_that_a_result_depends_on() -> None:
    stack = Artifact(stage="stack", key="case")
    truth = WriteTruth(stack=stack, bands=BANDS)
    assert truth.key != WriteTruth(stack=stack, bands=BANDS[:2]).key
    spec = MemberSpec(architecture="Unet", loss="dice", learning_rate=0.001, bands=BANDS)
    member = TrainedMember(key="member", spec=spec, validation_f1=0.5, weights=Path("weights"))
    stage = PredictCase(
        member=member, stack=stack, truth=truth.artifact, normalisation=NORMALISATION, window=512, overlap=128
    )
    changed = Normalisation(mean=(1.0,) * len(BANDS), std=(2.0,) * len(BANDS))
    changes = (
        {"member": member.model_copy(update={"key": "other"})}, {"truth": Artifact(stage="truth", key="x")},
        {"window": 256}, {"normalisation": changed},
    )  # fmt: skip
    assert len({stage.key, *(stage.model_copy(update=change).key for change in changes)}) == 5
    elsewhere = {"member": member.model_copy(update={"weights": Path("moved")}), "device": "cuda"}
    assert stage.model_copy(update=elsewhere).key == stage.key
    assert stage.packages == ("torch", "segmentation-models-pytorch")


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    stack, bare = toy_stack(tmp_path / "a", "a", 64), toy_stack(tmp_path / "b", "b", 64, labelled=False)
    with pytest.raises(InputError, match="b has no inventory"):
        write_truth(bare, BANDS, tmp_path)
    with pytest.raises(BandError):
        write_truth(stack, ("vh_pre",), tmp_path)
    with pytest.raises(InputError, match=r"truth\.json"):
        Truth.open(tmp_path)
    write_case(tmp_path, "c", [np.eye(4, dtype=bool)], [np.full((2, 4, 4), 0.3)])
    with pytest.raises(InputError, match="each once"):
        open_library(tmp_path, ["c"], ["same", "same"])
    with pytest.raises(InputError, match="1 predictions of 2 members"):
        Library.open(["x", "y"], {"c": tmp_path / "c" / "truth"}, {"c": [tmp_path / "c" / "0"]})
    np.save(tmp_path / "c" / "1" / "scene0.npy", np.zeros(15, "float16"))
    with pytest.raises(InputError, match=r"holds float16 \(15,\)"):
        open_library(tmp_path, ["c"], ["x", "y"])
    (tmp_path / "c" / "1" / "scene0.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match=r"scene0\.npy"):
        open_library(tmp_path, ["c"], ["x", "y"])


def test_a_member_that_says_nan_is_refused(tmp_path: Path) -> None:
    stack, broken = toy_stack(tmp_path / "a", "a", 64), network(0)
    torch.nn.init.constant_(broken.bias, torch.nan)
    (tmp_path / "truth").mkdir()
    write_truth(stack, BANDS, tmp_path / "truth")
    with pytest.raises(InputError, match="NaN"):
        predict(broken, stack, tmp_path / "truth", NORMALISATION, 64, 16, tmp_path)
