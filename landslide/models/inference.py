"""Windowed, overlapping, blended inference of a scene of any size in bounded memory.

Windows of one size walk over the scene, the smallest that covers it in as many; where they overlap, logits are averaged
with a weight that falls towards each window's edge, so that no seam shows. Only one row of windows is held at a time. A
scene that fits one window is one pass, padded to the network's stride: the published protocol.

Windows go in channels-last, which takes most networks up to 15 % less of a processor's time. bfloat16 halves it where
the processor has it, and moves single probabilities by a tenth and more; whoever wants it says so.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from landslide.models.architectures import PAN_MIN_SIDE, STRIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray
    from torch import nn

    from landslide.geo.grid import Roi

    Read = Callable[[Roi], NDArray[np.float32]]

Kind = Literal["fp32", "bf16"]

WINDOW = 512
OVERLAP = 64


def side(length: int, window: int, overlap: int) -> int:
    """Pixels of a window along one side of a scene: `window` at most, and no more of the networks' strides than as many
    windows need to overlap by `overlap`; the whole scene where it fits.
    """
    if length <= window:
        return length
    count = _count(length, window, overlap)
    least = -(-(length + (count - 1) * overlap) // count)
    return min(window, least + -least % STRIDE)


def starts(length: int, window: int, overlap: int) -> list[int]:
    """First pixels of the windows along one side: evenly spaced, the last one ending at the scene's edge."""
    count, free = _count(length, window, overlap), length - side(length, window, overlap)
    return [0] if count == 1 else [round(i * free / (count - 1)) for i in range(count)]


def _count(length: int, window: int, overlap: int) -> int:
    """Windows along one side."""
    return 1 if length <= window else -(-(length - overlap) // (window - overlap))


def taper(size: int, overlap: int) -> NDArray[np.float32]:
    """Blending weight along one side of a window: rises over the overlap, 1 inside, never 0."""
    pixel = np.arange(size, dtype="float32") + 0.5
    weight: NDArray[np.float32] = np.minimum(np.minimum(pixel, size - pixel) / max(overlap, 1), 1)
    return weight


def precision(device: torch.device | str, kind: str) -> AbstractContextManager[object]:
    """The arithmetic of a forward pass: `bf16` where autocast takes it for safe, or `fp32`, as it comes."""
    if kind == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, torch.bfloat16, cache_enabled=False)


def probability_rows(
    network: nn.Module,
    read: Read,
    shape: tuple[int, int],
    window: int = WINDOW,
    overlap: int = OVERLAP,
    kind: Kind = "fp32",
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """`logit_rows` through the sigmoid: probabilities 0-1."""
    for rows, logits in logit_rows(network, read, shape, window, overlap, kind):
        yield rows, torch.sigmoid(torch.from_numpy(logits)).numpy()


def logit_rows(
    network: nn.Module,
    read: Read,
    shape: tuple[int, int],
    window: int = WINDOW,
    overlap: int = OVERLAP,
    kind: Kind = "fp32",
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Rows of logits (rows, width), float32, from top to bottom, each row once.

    `read(roi)` gives the normalised input (band, y, x) without NaN; `shape` is (height, width) in pixels. The network
    is used as it stands (call `eval()` first), on its own device, in the arithmetic of `kind`, `fp32` or `bf16`.
    """
    height, width = shape
    rows, columns = starts(height, window, overlap), starts(width, window, overlap)
    tall, wide = side(height, window, overlap), side(width, window, overlap)
    weight = np.outer(taper(tall, overlap), taper(wide, overlap)).astype("float32")
    total, weights = np.zeros((tall, width), "float32"), np.zeros((tall, width), "float32")
    for index, row in enumerate(rows):
        for column in columns:
            part = np.s_[:, column : column + wide]
            values = read((slice(row, row + tall), slice(column, column + wide)))
            total[part] += weight * _forward(network, values, kind)
            weights[part] += weight
        done = (rows[index + 1] if index + 1 < len(rows) else height) - row
        yield slice(row, row + done), np.divide(total[:done], weights[:done], dtype="float32")
        total, weights = _shifted(total, done), _shifted(weights, done)


def _shifted(rows: NDArray[np.float32], done: int) -> NDArray[np.float32]:
    """The rows still open move to the top, fresh ones follow."""
    moved = np.zeros_like(rows)
    moved[: len(rows) - done] = rows[done:]
    return moved


def _forward(network: nn.Module, values: NDArray[np.float32], kind: Kind) -> NDArray[np.float32]:
    height, width = values.shape[1:]
    padding = (0, missing(width), 0, missing(height))
    device = next(network.parameters()).device
    batch = torch.nn.functional.pad(torch.from_numpy(values)[None], padding)
    batch = batch.to(device, memory_format=torch.channels_last)
    with torch.inference_mode(), precision(device, kind):
        logits: NDArray[np.float32] = network(batch)[0, 0, :height, :width].float().cpu().numpy()
    return logits


def missing(side: int) -> int:
    """Pixels to add to a side so that every architecture can take it."""
    return max(PAN_MIN_SIDE - side, -side % STRIDE)
