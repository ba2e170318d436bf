"""Where members disagree: spread and mutual information of each pixel, of blocks (member, pixel).

Both say how much the answer would change with another member; neither says how hard the pixel is for all of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from landslide.evaluation.scores import Floats

Single = NDArray[np.float32]


def spread(probabilities: NDArray[np.floating], weights: Floats) -> Single:
    """(pixel,) standard deviation √Σ w (p − p̄)², 0 to 0.5, of (member, pixel) under weights (member,) that sum to 1.

    It is that of the members themselves (no n − 1), as in a map's band `spread`.
    """
    values, weight = np.asarray(probabilities, "float32"), np.asarray(weights, "float32")
    return np.asarray(np.sqrt(weight @ (values - weight @ values) ** 2))


def mutual_information(probabilities: NDArray[np.floating], weights: Floats) -> Single:
    """(pixel,) bits, 0 to 1: entropy of the mean less the mean of entropies, H(Σ w p) − Σ w H(p).

    The knowledge (epistemic) part of the uncertainty, what seeing the right member would tell of the pixel (Depeweg et
    al. 2018, Decomposition of Uncertainty; Smith and Gal 2018, Understanding Measures of Uncertainty). `probabilities`
    are (member, pixel), `weights` (member,) sum to 1.
    """
    values, weight = np.asarray(probabilities, "float32"), np.asarray(weights, "float32")
    known = weight @ entropy(values)
    return np.asarray(np.maximum(entropy(weight @ values) - known, 0))  # rounding leaves −10⁻⁷ where all agree


def entropy(probability: NDArray[np.floating]) -> NDArray[np.floating]:
    """Bits of a yes or no, −p log₂ p − (1 − p) log₂ (1 − p), in the shape and precision given; 0 at 0 and at 1."""
    values = np.clip(probability, 0, 1)  # weights that sum to 1 in float32 do so within rounding
    return np.asarray((entr(values) + entr(1 - values)) / np.log(2).astype(values.dtype))


def placed(values: NDArray[np.floating], pixels: NDArray[np.uint32], shape: tuple[int, int]) -> Single:
    """(y, x) of values (pixel,) at flat indices; NaN, not observed, elsewhere."""
    picture = np.full(shape, np.nan, "float32")
    picture.ravel()[pixels] = values
    return picture
