"""Interpolation and pooling whose gradients add up in one order on a GPU, too.

torch's own gradients of bilinear interpolation and of overlapping average pooling are added up there by whichever
thread comes first. FPN, PSPNet, PAN and both DeepLabs then end elsewhere each time, by up to 0.03 of F1 after a short
training; the other four repeat bit by bit in bfloat16.
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


class Ordered(TorchFunctionMode):
    """Within it both are products of a picture (n, channel, y, x) with a matrix a side, in float32.

    Matrices are kept from one call to the next, so that a step that has run before can be captured as a graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self._matrices: dict[tuple[object, ...], Tensor] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func is functional.interpolate:
            picture, size, factor, mode, corners = _interpolation(*args, **given)
            if mode == "bilinear":
                wanted = size or [int(side * factor) for side in picture.shape[-2:]]
                resize = partial(functional.interpolate, mode="bilinear", align_corners=corners)
                return self._product(picture, wanted, resize, corners)
        if func is functional.adaptive_avg_pool2d:
            picture, size = _pooling(*args, **given)
            if size not in (1, (1, 1)):
                return self._product(picture, size, functional.adaptive_avg_pool2d, "pool")
        return func(*args, **given)

    def _product(self, picture: Tensor, size: Sequence[int], resize: Resize, key: object) -> Tensor:
        height, width = picture.shape[-2:]
        down = self._matrix(height, size[0], resize, key, picture.device)
        across = self._matrix(width, size[1], resize, key, picture.device)
        with torch.autocast(picture.device.type, enabled=False):
            return down @ picture.float() @ across.T

    def _matrix(self, before: int, after: int, resize: Resize, key: object, device: torch.device) -> Tensor:
        """(after, before): what resizing the rows of an identity makes of it."""
        if (before, after, key) not in self._matrices:
            with torch.no_grad():
                identity = torch.eye(before, device=device)[None, None]
                self._matrices[before, after, key] = resize(identity, (after, before))[0, 0]
        return self._matrices[before, after, key]


def _interpolation(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: Any = None,
    *_: Any,
    **__: Any,
) -> tuple[Tensor, Any, Any, str, Any]:
    """What `functional.interpolate` is asked for, however its arguments are given."""
    return input, size, scale_factor, mode, align_corners


def _pooling(input: Tensor, output_size: Any) -> tuple[Tensor, Any]:
    """The same of `functional.adaptive_avg_pool2d`."""
    return input, output_size
