"""The five losses of the training grid, computed over valid pixels only.

Each takes logits, target (0 or 1) and valid (bool), all of one shape, and returns a scalar. A loss is computed over all
pixels of the batch together. If all pixels are valid, it equals the loss of segmentation-models-pytorch; ignored pixels
contribute nothing, and without any valid pixel the loss is 0. No tensor's shape depends on the values, so a step can be
captured as a CUDA graph.

To add a loss, write a function and add it to `LOSSES`. torch is imported on use, so that an experiment loads fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

EPSILON = 1e-7  # smallest denominator
GAMMA = 2.0  # exponent of the focal loss


def bce(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean binary cross entropy."""
    return _mean(_entropy(logits, target), valid)


def focal(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean cross entropy weighted by (1 − p)^γ, p the probability of the true class (Lin et al. 2017, eq. 4, no α)."""
    entropy = _entropy(logits, target)
    return _mean((1 - (-entropy).exp()) ** GAMMA * entropy, valid)


def dice(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """1 − 2 Σpt / Σ(p + t); 0 if the batch has no landslide pixel."""
    intersection, total, positives = _sums(logits, target, valid)
    return (1 - 2 * intersection / total.clamp_min(EPSILON)) * (positives > 0)


def jaccard(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """1 − Σpt / Σ(p + t − pt); 0 if the batch has no landslide pixel."""
    intersection, total, positives = _sums(logits, target, valid)
    return (1 - intersection / (total - intersection).clamp_min(EPSILON)) * (positives > 0)


def lovasz(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """The Lovász hinge, the convex extension of the Jaccard index over sorted errors (Berman et al. 2018, alg. 1).

    Ignored pixels get a negative error and a target of 0: they are sorted last and their hinge is 0.
    """
    errors = (1 - logits * (2 * target - 1)).masked_fill(~valid, -1.0).flatten()
    errors, order = errors.relu().sort(descending=True, stable=True)
    truth = (target * valid).flatten()[order]
    union = truth.sum() + (1 - truth).cumsum(0)
    jaccard_loss = 1 - (truth.sum() - truth.cumsum(0)) / union
    gradient = jaccard_loss.diff(prepend=jaccard_loss.new_zeros(1))
    return (errors * gradient).sum()


LOSSES: dict[str, Loss] = {"bce": bce, "dice": dice, "jaccard": jaccard, "lovasz": lovasz, "focal": focal}


def _entropy(logits: Tensor, target: Tensor) -> Tensor:
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(logits, target, reduction="none")


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    return values.where(valid, 0.0).sum() / valid.sum().clamp_min(1)


def _sums(logits: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Σpt, Σ(p + t) and Σt over valid pixels, p the probability and t the target."""
    probability = logits.sigmoid().where(valid, 0.0)
    truth = target * valid
    return (probability * truth).sum(), (probability + truth).sum(), truth.sum()
