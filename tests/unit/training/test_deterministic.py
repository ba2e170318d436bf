"""Interpolation and pooling as products of matrices, beside torch's own."""

from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from landslide.models.architectures import ARCHITECTURES, build
from landslide.models.inference import precision
from landslide.training.deterministic import DeterministicOps

UNORDERED = ("upsample_bilinear2d", "_adaptive_avg_pool2d")  # and their gradients

POOLING = ("FPN", "PSPNet", "PAN", "DeepLabV3", "DeepLabV3Plus")  # or interpolating


def both(call: Any) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Result and gradient without and with the mode."""
    found = []
    for mode in (None, DeterministicOps()):
        torch.manual_seed(1)
        picture = torch.randn(2, 3, 12, 20, requires_grad=True)
        if mode is None:
            result = call(picture)
        else:
            with mode:
                result = call(picture)
        result.backward(torch.linspace(-1, 1, result.numel()).view_as(result))
        found.append([result.detach(), picture.grad])
    return found[0], found[1]


@pytest.mark.parametrize(
    "call",
    [
        lambda p: functional.interpolate(p, scale_factor=2.0, mode="bilinear", align_corners=True),
        lambda p: functional.interpolate(p, size=(30, 17), mode="bilinear", align_corners=True),
        lambda p: functional.interpolate(p, size=(30, 17), mode="bilinear", align_corners=False),
        lambda p: functional.interpolate(p[..., :1, :1], size=(9, 9), mode="bilinear", align_corners=False),
        torch.nn.UpsamplingBilinear2d(scale_factor=4),
        torch.nn.AdaptiveAvgPool2d((6, 6)),
        torch.nn.AdaptiveAvgPool2d((3, 2)),
        torch.nn.AdaptiveAvgPool2d(1),
        lambda p: functional.interpolate(p, scale_factor=2.0, mode="nearest"),
    ],
)
def test_the_same_result_and_gradient(call: Any) -> None:
    for plain, ordered in zip(*both(call), strict=True):
        assert ordered.dtype == torch.float32
        assert torch.allclose(plain, ordered, atol=1e-5)


class Called(TorchDispatchMode):
    """Which operations torch comes down to."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_bfloat16_around_it_does_not_round_it() -> None:
    picture = torch.randn(1, 2, 8, 8)
    with precision("cpu", "bf16"), DeterministicOps():
        result = functional.interpolate(picture, scale_factor=2, mode="bilinear", align_corners=True)
    assert torch.allclose(
        result, functional.interpolate(picture, (16, 16), mode="bilinear", align_corners=True), atol=1e-6
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_architecture_adds_up_in_any_order(architecture: str) -> None:
    torch.manual_seed(1)
    network, values = build(architecture, "resnet18", 3).eval(), torch.randn(1, 3, 128, 128)
    usual, ordered, warm = Called(), Called(), DeterministicOps()
    with usual:
        plain = network(values)
        plain.sum().backward()
    with warm:
        network(values)
    with ordered, warm:
        result = network(values)
        result.sum().backward()
    assert torch.allclose(result, plain, atol=1e-3)
    assert any(name.startswith(UNORDERED) for name in usual.names) == (architecture in POOLING)
    assert not [name for name in ordered.names if name.startswith(UNORDERED)]
