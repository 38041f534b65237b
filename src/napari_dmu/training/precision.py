"""Half precision where the hardware multiplies it."""

from __future__ import annotations

from functools import lru_cache

import torch


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for the networks where the device multiplies it in hardware; float32 elsewhere.

    That is any CUDA device and CPUs with matrix tiles (AMX) or bfloat16 dot products (AVX512-BF16), on which a training
    step takes half or three quarters of the time. Other CPUs emulate bfloat16 and are a hundred times slower with it.
    """
    able = multiplies_bfloat16(device)
    # Every weight is used once, so a cache of rounded ones would hold them for nothing; and it cannot be recorded.
    return torch.autocast(device.type if able else "cpu", torch.bfloat16, enabled=able, cache_enabled=False)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is faster than float32 on the device."""
    return device.type == "cuda" or (device.type == "cpu" and _cpu_multiplies())


@lru_cache(maxsize=1)
def _cpu_multiplies() -> bool:
    able = torch.cpu.get_capabilities()
    return any(able.get(unit, False) for unit in ("amx_bf16", "avx512_bf16"))
