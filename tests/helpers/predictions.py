"""Libraries of made-up predictions, for tests and benchmarks of what is made of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landslide.ensembles.predictions import TRUTH, Library, Truth, TruthPart


def write_case(folder: Path, case: str, truths: Sequence[np.ndarray], predictions: Sequence[np.ndarray]) -> None:
    """A case of one part for each truth (y, x) bool and prediction (member, y, x); every pixel counts."""
    parts = []
    (folder / case / "truth").mkdir(parents=True)
    for number, (truth, probability) in enumerate(zip(truths, predictions, strict=True)):
        name, flat = f"scene{number}", truth.ravel()
        order = np.concatenate([np.flatnonzero(flat), np.flatnonzero(~flat)]).astype("uint32")
        np.save(folder / case / "truth" / f"{name}.pixels.npy", order)
        for member, values in enumerate(probability):
            (folder / case / str(member)).mkdir(exist_ok=True)
            np.save(folder / case / str(member) / f"{name}.npy", values.ravel()[order].astype("float16"))
        height, width = truth.shape
        parts.append(TruthPart(name=name, height=height, width=width, pixels=truth.size, positives=int(truth.sum())))
    written = Truth(case=case, bands=("slope",), parts=parts)
    (folder / case / "truth" / TRUTH).write_text(written.model_dump_json())


def open_library(folder: Path, cases: Sequence[str], names: Sequence[str], order: Sequence[int] = ()) -> Library:
    """What `write_case` wrote; `names` are those of members 0, 1, …, taken in `order`."""
    taken = order or range(len(names))
    return Library.open(
        [names[member] for member in taken],
        {case: folder / case / "truth" for case in cases},
        {case: [folder / case / str(member) for member in taken] for case in cases},
    )


def counts(library: Library, weights: np.ndarray, threshold: float) -> np.ndarray:
    """(4,) tp, fp, fn, tn of the mean under weights (member,), over all cases, plainly."""
    found = np.zeros(4)
    for case in library.cases:
        for block in library.blocks(case):
            above = weights @ block.probabilities.astype("float64") / weights.sum() > threshold
            sides = above & block.truth, above & ~block.truth, ~above & block.truth, ~above & ~block.truth
            found += [np.count_nonzero(side) for side in sides]
    return found


def scene(random: np.random.Generator, shape: tuple[int, int], noise: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """A truth (y, x) of squares and predictions (member, y, x) whose errors are in part their own, by `noise`."""
    truth = np.zeros(shape, bool)
    for _ in range(max(truth.size // 1500, 2)):
        row, column = random.integers(0, shape[0] - 4), random.integers(0, shape[1] - 4)
        truth[row : row + 6, column : column + 6] = True
    common = 4.0 * truth - 2.5 + random.normal(0, 1, shape)
    own = np.asarray(noise)[:, None, None] * random.normal(0, 1, (len(noise), *shape))
    return truth, 1 / (1 + np.exp(-(common + own)))
