"""Members: what one trained model is, and how it is loaded."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from landslide.artifacts.stage import Keyed, NotInKey
from landslide.errors import InputError
from landslide.models.architectures import build

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn


class MemberSpec(Keyed):
    """What one member is: a point of the grid."""

    architecture: str
    loss: str
    learning_rate: float
    bands: tuple[str, ...]
    encoder: str = "resnet34"
    seed: int = 42

    @property
    def name(self) -> str:
        """A short name for people: `Unet-dice-0.001`."""
        return f"{self.architecture}-{self.loss}-{self.learning_rate:g}"


def grid(
    architectures: Sequence[str], losses: Sequence[str], rates: Sequence[float], bands: Sequence[str], **common: Any
) -> Iterator[MemberSpec]:
    """Every combination, architecture by architecture."""
    for architecture, loss, rate in itertools.product(architectures, losses, rates):
        yield MemberSpec(architecture=architecture, loss=loss, learning_rate=rate, bands=tuple(bands), **common)


def load_member(spec: MemberSpec, path: Path, device: str = "cpu") -> nn.Module:
    """A trained member in evaluation mode; InputError if the weights do not fit the architecture or are damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = build(spec.architecture, spec.encoder, len(spec.bands))
    try:
        network.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError, OSError) as error:
        raise InputError(
            f"{path} holds no weights of a {spec.architecture}: {error}. Train the member again"
        ) from error
    return network.to(device).eval()


class TrainedMember(Keyed):
    """A finished member. `key` names its artifact; `validation_f1` is None where it diverged."""

    key: str
    spec: MemberSpec
    validation_f1: float | None
    weights: Annotated[Path, NotInKey]
