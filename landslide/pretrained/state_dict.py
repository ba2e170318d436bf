"""Parameters of segmentation-models-pytorch 0.3, by which the models were published, as today's release names them.

Of the nine architectures with a ResNet encoder one was renamed since: the decoder of DeepLabV3 was a row of three
layers and is now one with names. Measured against 0.3.3, on random weights: every architecture gives the same logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from landslide.errors import InputError
from landslide.models.architectures import build
from landslide.models.member import MemberSpec
from landslide.pretrained.checkpoint import TensorInfo

Value = TypeVar("Value")
RENAMED = {  # by architecture: the beginnings of names, then and now
    "DeepLabV3": {"decoder.0.": "decoder.aspp.", "decoder.1.": "decoder.conv.", "decoder.2.": "decoder.bn."},
}
NAMES_LISTED = 4  # names of an error's list
FIRST = "encoder.conv1.weight"  # of a ResNet


def renamed(architecture: str, weights: Mapping[str, Value]) -> dict[str, Value]:
    """The weights by today's names."""
    return {_today(architecture, name): value for name, value in weights.items()}


def check(spec: MemberSpec, weights: Mapping[str, TensorInfo], path: Path) -> None:
    """InputError unless a network of this specification has just these parameters, in these shapes and types."""
    import torch

    first = weights.get(FIRST)
    if first is not None and len(first.shape) > 1 and first.shape[1] != len(spec.bands):
        raise InputError(
            f"{path} has a first layer for {first.shape[1]} bands but its hparams.yaml names {len(spec.bands)}. "
            "Put the model's own hparams.yaml beside its events"
        )
    with torch.device("meta"):
        network = build(spec.architecture, spec.encoder, len(spec.bands))
    wanted = {name: _described(tensor.shape, str(tensor.dtype)) for name, tensor in network.state_dict().items()}
    given = {name: _described(info.shape, info.storage.dtype) for name, info in weights.items()}
    if differences := [
        f"{name} is {given.get(name, 'missing')} instead of {wanted.get(name, 'absent')}"
        for name in sorted(wanted | given)
        if given.get(name) != wanted.get(name)
    ]:
        told = "; ".join(differences[:NAMES_LISTED])
        raise InputError(
            f"{path} holds no weights of a {spec.architecture} with {spec.encoder} and {len(spec.bands)} bands, in "
            f"{len(differences)} places: {told}. Put the model's own hparams.yaml beside its events"
        )


def _described(shape: tuple[int, ...], dtype: str) -> str:
    return f"{dtype.removeprefix('torch.')} {tuple(shape)}"


def _today(architecture: str, name: str) -> str:
    for then, now in RENAMED.get(architecture, {}).items():
        if name.startswith(then):
            return now + name.removeprefix(then)
    return name
