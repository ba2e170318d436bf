"""The five losses of the grid, over valid pixels alone.

Each takes logits, target (0 or 1) and valid (bool), all of one shape, and gives a scalar. On fully valid input they
equal the losses of segmentation-models-pytorch, which see a batch as one long picture; an ignored pixel counts for
nothing, and where no pixel is valid the loss is 0. No shape depends on the values, so that a GPU can replay a step as
one graph.

A loss is one function and one row of `LOSSES`. torch is imported on use, so that reading an experiment stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

EPSILON = 1e-7  # of a denominator
GAMMA = 2.0  # of the focal loss


def bce(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Binary cross entropy, the mean over pixels."""
    return _mean(_entropy(logits, target), valid)


def focal(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Cross entropy weighted by (1 − p)^γ, p the probability of what is true (Lin et al. 2017, eq. 4, no α)."""
    entropy = _entropy(logits, target)
    return _mean((1 - (-entropy).exp()) ** GAMMA * entropy, valid)


def dice(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """1 − 2 Σpt / Σ(p + t); 0 where the batch holds no landslide."""
    common, both, true = _overlap(logits, target, valid)
    return (1 - 2 * common / both.clamp_min(EPSILON)) * (true > 0)


def jaccard(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """1 − Σpt / Σ(p + t − pt); 0 where the batch holds no landslide."""
    common, both, true = _overlap(logits, target, valid)
    return (1 - common / (both - common).clamp_min(EPSILON)) * (true > 0)


def lovasz(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """The Lovász hinge: the Jaccard index's convex extension over sorted margins (Berman et al. 2018, alg. 1).

    Ignored pixels get the least margin and no share of the truth: sorted last, they change no difference before them.
    """
    margins = (1 - logits * (2 * target - 1)).masked_fill(~valid, -1.0).flatten()
    margins, order = margins.relu().sort(descending=True, stable=True)
    truth = (target * valid).flatten()[order]
    union = truth.sum() + (1 - truth).cumsum(0)
    index = 1 - (truth.sum() - truth.cumsum(0)) / union
    steps = index.diff(prepend=index.new_zeros(1))
    return (margins * steps).sum()


LOSSES: dict[str, Loss] = {"bce": bce, "dice": dice, "jaccard": jaccard, "lovasz": lovasz, "focal": focal}


def _entropy(logits: Tensor, target: Tensor) -> Tensor:
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(logits, target, reduction="none")


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    return values.where(valid, 0.0).sum() / valid.sum().clamp_min(1)


def _overlap(logits: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Σpt, Σ(p + t) and Σt."""
    probability = logits.sigmoid().where(valid, 0.0)
    true = target * valid
    return (probability * true).sum(), (probability + true).sum(), true.sum()
