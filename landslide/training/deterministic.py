"""Bilinear interpolation and adaptive average pooling with deterministic gradients on a GPU.

On a GPU torch sums the gradients of both with atomic additions, in no fixed order. FPN, PSPNet, PAN and both DeepLabs
then differ from run to run, by up to 0.03 of F1 after a short training; the other four are reproducible in bfloat16.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    Resize = Callable[[Tensor, tuple[int, int]], Tensor]


class DeterministicOps(TorchFunctionMode):
    """Replaces both by float32 products of the image (n, channel, y, x) with one matrix along each side.

    The matrices are cached, so that a step that has run before can be captured as a CUDA graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self._matrices: dict[tuple[object, ...], Tensor] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is functional.interpolate:
            image, size, factor, mode, corners = _interpolation(*args, **(kwargs or {}))
            if mode == "bilinear":
                size = size or [int(side * factor) for side in image.shape[-2:]]
                resize = partial(functional.interpolate, mode="bilinear", align_corners=corners)
                return self._product(image, size, resize, corners)
        if func is functional.adaptive_avg_pool2d:
            image, size = _pooling(*args, **(kwargs or {}))
            if size not in (1, (1, 1)):
                return self._product(image, size, functional.adaptive_avg_pool2d, "pool")
        return func(*args, **(kwargs or {}))

    def _product(self, image: Tensor, size: Sequence[int], resize: Resize, key: object) -> Tensor:
        sides = zip(image.shape[-2:], size, strict=True)
        rows, columns = (self._matrix(before, after, resize, key, image.device) for before, after in sides)
        with torch.autocast(image.device.type, enabled=False):
            return rows @ image.float() @ columns.T

    def _matrix(self, before: int, after: int, resize: Resize, key: object, device: torch.device) -> Tensor:
        """The matrix (after, before) that resizes one side: the identity with its rows resized."""
        if (before, after, key) not in self._matrices:
            with torch.no_grad():
                identity = torch.eye(before, device=device)[None, None]
                self._matrices[before, after, key] = resize(identity, (after, before))[0, 0]
        return self._matrices[before, after, key]


def _interpolation(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None,
    *_: Any, **__: Any,
) -> tuple[Tensor, Any, Any, str, Any]:  # fmt: skip
    """The arguments of `functional.interpolate`, positional or by name."""
    return input, size, scale_factor, mode, align_corners


def _pooling(input: Tensor, output_size: Any) -> tuple[Tensor, Any]:
    """The arguments of `functional.adaptive_avg_pool2d`, positional or by name."""
    return input, output_size
