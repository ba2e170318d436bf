"""Our losses against those of segmentation-models-pytorch, which know no mask."""

from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide.models.losses import LOSSES

PUBLISHED: dict[str, Any] = {
    "bce": smp.losses.SoftBCEWithLogitsLoss(),
    "dice": smp.losses.DiceLoss("binary"),
    "jaccard": smp.losses.JaccardLoss("binary"),
    "lovasz": smp.losses.LovaszLoss("binary"),
    "focal": smp.losses.FocalLoss("binary"),
}


def with_gradient(loss: Any, logits: torch.Tensor, *others: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.clone().requires_grad_()
    value = loss(logits, *others)
    value.backward()
    return value.detach(), logits.grad


def example(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 1, 16, 16, generator=generator)
    return logits, (torch.rand(3, 1, 16, 16, generator=generator) > 0.7).float()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_equal_the_published_ones_on_fully_valid_input(name: str) -> None:
    for seed, scale in enumerate((0.1, 1.0, 10.0)):
        logits, target = example(seed)
        published = with_gradient(PUBLISHED[name], logits * scale, target)
        ours = with_gradient(LOSSES[name], logits * scale, target, torch.ones_like(target, dtype=torch.bool))
        for one, other in zip(ours, published, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_count_for_nothing(name: str) -> None:
    logits, target = example()
    valid = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) > 0.4
    spoilt = torch.where(valid, logits, torch.tensor(1e4))
    flipped = torch.where(valid, target, 1 - target)
    loss = LOSSES[name]
    assert torch.equal(loss(logits, target, valid), loss(spoilt, flipped, valid))
    logits.requires_grad_()
    loss(logits, target, valid).backward()
    assert logits.grad is not None
    assert (logits.grad[~valid] == 0).all()
    assert (logits.grad[valid] != 0).any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_without_a_valid_pixel_has_a_loss_of_zero(name: str) -> None:
    logits, target = example()
    logits.requires_grad_()
    loss = LOSSES[name](logits, target, torch.zeros_like(target, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), share=st.floats(0.01, 1), positive=st.floats(0, 1))
def test_a_mask_is_as_if_the_other_pixels_were_not_there(name: str, seed: int, share: float, positive: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 1, 9, 9, generator=generator)
    target = (torch.rand(logits.shape, generator=generator) < positive).float()
    valid = torch.rand(logits.shape, generator=generator) < share
    valid[0, 0, 0, 0] = True
    ours, gradient = with_gradient(LOSSES[name], logits, target, valid)
    cut = (logits[valid][None, None, None], target[valid][None, None, None])
    published, expected = with_gradient(PUBLISHED[name], *cut)
    torch.testing.assert_close(ours, published, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gradient[valid], expected.flatten(), atol=1e-6, rtol=1e-4)


def test_every_loss_is_compared() -> None:
    assert set(PUBLISHED) == set(LOSSES)
