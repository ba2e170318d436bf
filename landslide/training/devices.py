"""Where members are trained."""

import torch

from landslide.errors import InputError


def choose_device(wanted: str) -> str:
    """`auto` to a GPU where there is one; InputError if the GPU asked for is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if is_gpu(wanted):
        count, number = torch.cuda.device_count(), int(wanted.partition(":")[2] or 0)
        if number >= count:
            raise InputError(f"device {wanted!r} is not there: torch sees {count} GPU(s). Use `device: auto` or `cpu`")
    return wanted


def is_gpu(device: str) -> bool:
    """Whether a device by this name is a GPU: `cuda`, `cuda:1`."""
    return device.startswith("cuda")


def device_name(device: str) -> str:
    """The model of a GPU as its driver names it: `NVIDIA H100 80GB HBM3`."""
    return torch.cuda.get_device_name(device)


def has_room(device: str, size: int) -> bool:
    """Whether it is a GPU with so many bytes free."""
    return is_gpu(device) and size <= torch.cuda.mem_get_info(device)[0]
