import pytest
import torch

from landslide.errors import InputError
from landslide.models.architectures import ARCHITECTURES, PAN_MIN_SIDE, STRIDE, build, check_encoder
from landslide.models.losses import LOSSES
from landslide.models.member import grid


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_maps_bands_to_logits(architecture: str) -> None:
    network = build(architecture, "resnet18", 5).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 5, PAN_MIN_SIDE, PAN_MIN_SIDE + STRIDE)).shape == (
            1,
            1,
            PAN_MIN_SIDE,
            PAN_MIN_SIDE + STRIDE,
        )


def test_an_encoder_that_is_not_there_is_named_with_its_neighbours() -> None:
    check_encoder("resnet34")
    check_encoder("tu-convnext_tiny")
    with pytest.raises(InputError, match=r"unknown encoder 'resnet43'; similar names are .*resnet34"):
        check_encoder("resnet43")


def test_the_published_grid_has_ninety_members() -> None:
    members = list(grid(ARCHITECTURES, list(LOSSES), (1e-3, 1e-2), ("slope",)))
    assert len({member.name for member in members}) == 90
