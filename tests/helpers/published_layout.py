"""Small archives in the layout of the published one: models as the published program writes them, and scenes."""

import functools
import struct
import sys
import types
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
import torch
import yaml
from torch import nn

from landslide.geo.raster import allow_no_georeference
from landslide.models.architectures import build

ENCODER = "resnet18"  # half of the resnet34 that the published models have
CRC = 0x82F63B78


def listconfig(values: list[int]) -> object:
    """An object of a class that the pickle will name omegaconf.listconfig.ListConfig, with state as omegaconf's has."""
    module = types.ModuleType("omegaconf.listconfig")
    module.ListConfig = type("ListConfig", (), {"__module__": module.__name__})
    sys.modules[module.__name__] = module
    sys.modules.setdefault("omegaconf", types.ModuleType("omegaconf"))
    made = module.ListConfig()
    made.__dict__ |= {"_content": values, "_metadata": {"ref_type": dict, "flags": {"readonly": None}}}
    return made


def content(network: nn.Module, state: Mapping[str, torch.Tensor] | None = None, **more: object) -> dict[str, object]:
    """What a checkpoint holds; `state` in place of the network's own parameters."""
    holder = nn.Module()
    holder.net = network
    weights = holder.state_dict()
    if state is not None:
        for name in [*weights]:
            del weights[name]
        weights.update({f"net.{name}": value for name, value in state.items()})
    moments = {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(7), "exp_avg_sq": torch.ones(7)}}
    return {
        "epoch": 3,
        "global_step": 1000,
        "pytorch-lightning_version": "1.9.1",
        "state_dict": weights,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {"EarlyStopping{'monitor': 'val/f1'}": {"best_score": torch.tensor(0.5), "patience": 50}},
        "optimizer_states": [{"state": moments, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0]}]}],
        "lr_schedulers": [{"factor": 0.1, "best": float("inf"), "mode": "min"}],
        "hparams_name": "kwargs",
        "hyper_parameters": {
            "net": network,
            "loss": nn.BCEWithLogitsLoss(),
            "optimizer": functools.partial(torch.optim.Adam, lr=1e-3, weight_decay=0.0),
            "scheduler": functools.partial(torch.optim.lr_scheduler.ReduceLROnPlateau, mode="min", patience=10),
        },
        "datamodule_hyper_parameters": {"channels": listconfig([0, 1]), "batch_size": 4},
        **more,
    }


def network(architecture: str, channels: int, encoder: str = ENCODER, seed: int = 0) -> nn.Module:
    """A network with random weights, biases and running statistics, ready for inference."""
    made = build(architecture, encoder, channels).eval()
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in made.state_dict().items():
        if tensor.is_floating_point():
            around = 1.0 if "running_var" in name else 0.0
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.1 + around)
    return made


def model(
    folder: Path,
    architecture: str = "PSPNet",
    channels: list[int] | None = None,
    scores: tuple[float, ...] = (0.1, 0.5),
    loss: str = "SoftBCEWithLogitsLoss",
    encoder: str | None = ENCODER,
    state: Mapping[str, torch.Tensor] | None = None,
    checkpoint: str = "epoch_003.ckpt",
    made: nn.Module | None = None,
) -> nn.Module:
    """A model's folder; the network that its checkpoint holds, unless `state` replaces its parameters."""
    count = 15 if channels is None else len(channels)
    made = made or network(architecture, count, encoder or "resnet34")
    net = {"_target_": f"segmentation_models_pytorch.{architecture}", "in_channels": count, "classes": 1}
    settings = {
        "model": {
            "_target_": "src.models.landslide_module.LandslideLitModule",
            "net": net | {"encoder_weights": None} | ({"encoder_name": encoder} if encoder else {}),
            "loss": {"_target_": f"segmentation_models_pytorch.losses.{loss}", "mode": "binary"},
            "optimizer": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.001, "weight_decay": 0.0},
        },
        "data": {"batch_size": 4} | ({} if channels is None else {"channels": channels}),
        "seed": 42,
    }
    tensorboard = folder / "tensorboard/version_0"
    tensorboard.mkdir(parents=True)
    (tensorboard / "hparams.yaml").write_text(yaml.safe_dump(settings))
    events = [record(event(b"brain.Event:2", field=3)), *(record(scalar("val/f1_best", score)) for score in scores)]
    (tensorboard / "events.out.tfevents.1689845082.airflow.1022171.0").write_bytes(b"".join(events))
    (folder / "checkpoints").mkdir()
    torch.save(content(made, state), folder / "checkpoints" / checkpoint)
    return made


def scene(folder: Path, name: str, values: np.ndarray) -> None:
    """A scene (band, y, x), float32 and interleaved by pixel, and its label."""
    for kind, planes in (("input", values), ("label", values[:1] > 0)):
        (folder / kind).mkdir(exist_ok=True, parents=True)
        count, height, width = planes.shape
        with (
            allow_no_georeference(),
            rasterio.open(
                folder / kind / f"{name}_{kind}.tif", "w", driver="GTiff", count=count, height=height, width=width,
                dtype="float32", interleave="pixel",
            ) as raster,
        ):  # fmt: skip
            raster.write(planes.astype("float32"))


def varint(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])


def event(data: bytes, field: int = 5) -> bytes:
    """An event of one field, after its time."""
    return b"\x09" + struct.pack("<d", 1.7e9) + varint(field << 3 | 2) + varint(len(data)) + data


def scalar(tag: str, number: float, tensor: bool = False) -> bytes:
    """An event with one number, as a plain value or as a tensor."""
    plain = b"\x15" + struct.pack("<f", number)
    packed = b"\x08\x01\x12\x00\x2a\x04" + struct.pack("<f", number)  # float, shape (), float_val
    rest = b"\x42" + varint(len(packed)) + packed if tensor else plain
    value = b"\x0a" + varint(len(tag)) + tag.encode() + rest
    return event(b"\x0a" + varint(len(value)) + value)


def checksum(data: bytes) -> bytes:
    """The masked CRC-32C, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (CRC if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    """An event as it lies in a file."""
    length = struct.pack("<Q", len(data))
    return length + checksum(length) + data + checksum(data)
