"""The device to train on: `cpu`, `cuda` or `cuda:1`."""

import torch

from landslide.errors import InputError


def choose_device(wanted: str) -> str:
    """Replace `auto` by `cuda` or `cpu`; InputError for a GPU that torch does not see."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if is_gpu(wanted):
        count, number = torch.cuda.device_count(), int(wanted.partition(":")[2] or 0)
        if number >= count:
            raise InputError(
                f"device {wanted!r} does not exist: torch sees {count} GPU(s). Use `device: auto` or `cpu`"
            )
    return wanted


def is_gpu(device: str) -> bool:
    """Whether this is the name of a GPU, such as `cuda` or `cuda:1`."""
    return device.startswith("cuda")


def device_name(device: str) -> str:
    """The model of a GPU, such as `NVIDIA H100 80GB HBM3`."""
    return torch.cuda.get_device_name(device)


def has_room(device: str, size: int) -> bool:
    """Whether the device is a GPU with `size` bytes of free memory."""
    return is_gpu(device) and size <= torch.cuda.mem_get_info(device)[0]
