"""Parameter names of segmentation-models-pytorch 0.3 (the published models), mapped to those of the current release.

Of the nine architectures with a ResNet encoder only DeepLabV3 has changed names: its decoder was a sequence of three
layers. With random weights, every architecture gives the same logits as in 0.3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from landslide.errors import InputError
from landslide.models.architectures import build
from landslide.models.member import MemberSpec
from landslide.pretrained.unpickle import TensorInfo

Value = TypeVar("Value")
RENAMED = {  # by architecture: old and new prefixes
    "DeepLabV3": {"decoder.0.": "decoder.aspp.", "decoder.1.": "decoder.conv.", "decoder.2.": "decoder.bn."}
}
NAMES_LISTED = 4  # in an error message
FIRST = "encoder.conv1.weight"  # first layer of a ResNet


def renamed(architecture: str, weights: Mapping[str, Value]) -> dict[str, Value]:
    """The weights by current names."""
    return {_current(architecture, name): value for name, value in weights.items()}


def check(spec: MemberSpec, weights: Mapping[str, TensorInfo], path: Path) -> None:
    """InputError unless the weights have exactly the names, shapes and dtypes of a network of this specification."""
    import torch

    first = weights.get(FIRST)
    if first is not None and len(first.shape) > 1 and first.shape[1] != len(spec.bands):
        raise InputError(
            f"{path} has a first layer for {first.shape[1]} bands but its hparams.yaml names {len(spec.bands)}. "
            "Put the model's own hparams.yaml into its folder of events"
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
        listed = "; ".join(differences[:NAMES_LISTED])
        raise InputError(
            f"{path} holds no weights of a {spec.architecture} with {spec.encoder} and {len(spec.bands)} bands, in "
            f"{len(differences)} places: {listed}. Put the model's own hparams.yaml into its folder of events"
        )


def _described(shape: tuple[int, ...], dtype: str) -> str:
    return f"{dtype.removeprefix('torch.')} {tuple(shape)}"


def _current(architecture: str, name: str) -> str:
    for old, new in RENAMED.get(architecture, {}).items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name
