"""How a network's weights lie in a pattern set file: large convolutions in 8 bits, everything else as float16.

A convolution of the refinement takes half of float16's place as int8 with one scale for each output channel
(R. Krishnamoorthi, arXiv:1806.08342, per-channel symmetric weights); reconstructions change by less than 0.005 dB.
The liftings stay in float16: their error would be added to the image itself, not to a correction of it.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Scale of the tensor with the same name; stored as float32, one value an output channel.
SCALE = ".scale"
LEVELS = 127
# Fewer weights are not worth a scale.
LEAST = 1024
_LIFTINGS = ("lifting.", "features.")


def packed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a network by name (any shapes, float) → tensors as stored; read back with ``unpacked``."""
    stored: dict[str, Tensor] = {}
    for name, value in state.items():
        weight = value.detach().to("cpu", torch.float32).contiguous()
        if not bool(weight.isfinite().all()):
            raise ValueError(f"the weights {name} are not finite")
        if weight.ndim == 4 and weight.numel() >= LEAST and not name.startswith(_LIFTINGS):
            stored[name], stored[name + SCALE] = _quantised(weight)
        else:
            stored[name] = weight.to(torch.float16)
    return stored


def unpacked(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """What ``packed`` gave (or float16 alone, as older files have it) → float32 weights by name."""
    return {
        name: value.float() * stored[name + SCALE] if name + SCALE in stored else value.float()
        for name, value in stored.items()
        if not name.endswith(SCALE)
    }


def _quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(O, I, Y, X) → int8 levels of the same shape and the scale (O, 1, 1, 1) that makes weights of them."""
    scale = weight.abs().amax(dim=(1, 2, 3), keepdim=True) / LEVELS
    levels = (weight / scale.clamp_min(torch.finfo(torch.float32).tiny)).round().clamp(-LEVELS, LEVELS)
    return levels.to(torch.int8), scale
