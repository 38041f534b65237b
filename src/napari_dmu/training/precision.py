"""Half precision where the hardware multiplies it."""

from __future__ import annotations

from functools import lru_cache

import torch


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for the networks where the device multiplies it in hardware; float32 elsewhere.

    That is any CUDA device and CPUs with matrix tiles (AMX), on which a training step takes half the time. Other
    CPUs emulate bfloat16 and are a hundred times slower with it.
    """
    able = multiplies_bfloat16(device)
    return torch.autocast(device.type if able else "cpu", torch.bfloat16, enabled=able)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 on the device."""
    return device.type == "cuda" or (device.type == "cpu" and _has_tiles())


@lru_cache(maxsize=1)
def _has_tiles() -> bool:
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
