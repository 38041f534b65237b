"""Full precision where a GPU would round."""

from __future__ import annotations

import contextlib

import torch


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[None]:
    """Convolutions of float32 in float32: NVIDIA GPUs otherwise round what they multiply to TF32, 10 bits.

    That is far above the noise of a bright sample, and a forward model that rounds has no exact adjoint. Elsewhere
    nothing is rounded and nothing changes. See https://docs.pytorch.org/docs/stable/notes/cuda.html.
    """
    if device.type != "cuda":
        return contextlib.nullcontext()
    now = torch.backends.cudnn
    kept = {"enabled": now.enabled, "benchmark": now.benchmark, "deterministic": now.deterministic}
    return torch.backends.cudnn.flags(**kept, allow_tf32=False)
