"""The one torch device that a piece of work runs on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from napari_dmu.errors import DeviceError

if TYPE_CHECKING:
    import torch


def resolve_device(name: str = "auto") -> torch.device:
    """Device by name: ``auto`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    DeviceError
        Where the name is unknown or the device is not there.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"There is no device called {name!r}: choose auto, cpu, cuda or mps.") from error
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(device.type, False):
        raise DeviceError(f"The device {name!r} is not available here: choose auto or cpu.")
    return device


def device_report() -> dict[str, str]:
    """What computes here, for a bug report: names and values."""
    import torch

    report = {
        "torch": torch.__version__,
        "cpu threads": f"{torch.get_num_threads()} of {os.cpu_count()}",
        "cuda": "no",
        "mps": "yes" if torch.backends.mps.is_available() else "no",
        "auto": str(resolve_device("auto")),
    }
    if torch.cuda.is_available():
        report["cuda"] = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return report
