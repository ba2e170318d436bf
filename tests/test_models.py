import pytest
import segmentation_models_pytorch as smp
import torch

from landslide.models import ARCHITECTURES, LEAST, LOSSES, STRIDE, build, grid, masked_loss


def example(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 1, 16, 16, generator=generator)
    return logits, (torch.rand(3, 1, 16, 16, generator=generator) > 0.7).float()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_maps_bands_to_logits(architecture: str) -> None:
    network = build(architecture, "resnet18", 5).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 5, LEAST, LEAST + STRIDE)).shape == (1, 1, LEAST, LEAST + STRIDE)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_equal_the_published_ones_on_fully_valid_input(name: str) -> None:
    logits, target = example()
    kind, options = LOSSES[name]
    published = getattr(smp.losses, kind)(**options)(logits, target)
    ours = masked_loss(name)(logits, target, torch.ones_like(target, dtype=torch.bool))
    assert torch.isclose(ours, published, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_ignored_pixels_count_for_nothing(name: str) -> None:
    logits, target = example()
    valid = torch.rand(target.shape, generator=torch.Generator().manual_seed(1)) > 0.4
    spoilt = torch.where(valid, logits, torch.tensor(1e4))
    flipped = torch.where(valid, target, 1 - target)
    loss = masked_loss(name)
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
    loss = masked_loss(name)(logits, target, torch.zeros_like(target, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_the_published_grid_has_ninety_members() -> None:
    members = list(grid(ARCHITECTURES, list(LOSSES), (1e-3, 1e-2), ("slope",)))
    assert len({member.name for member in members}) == 90
