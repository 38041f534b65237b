"""The one torch device that a piece of work runs on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_dmu.errors import DeviceError

if TYPE_CHECKING:
    import torch

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


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
    except (RuntimeError, TypeError) as error:
        raise DeviceError(f"There is no device called {name!r}: choose auto, cpu, cuda or mps.") from error
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(device.type, False):
        raise DeviceError(f"The device {name!r} is not available here: choose auto or cpu.")
    return device


@contextlib.contextmanager
def memory_explained() -> Iterator[None]:
    """Turn running out of memory, on whatever device, into a ``DeviceError``; around a block or a function."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # CUDA has a class of its own; the CPU's and Apple's allocators differ in their words alone.
        known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if not known and not any(words in str(error) for words in _OUT_OF_MEMORY):
            raise
        raise DeviceError(
            "The device ran out of memory: close other programs on it, choose cpu, or take a smaller part of the image."
        ) from error


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
