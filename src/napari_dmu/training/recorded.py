"""A decoder's passes in training: recorded once on a GPU, then replayed.

The network is so small that launching its hundreds of kernels one by one takes the host ten times as long as the GPU
needs to compute them. A CUDA graph launches all of a pass at once
(https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs). Elsewhere nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from napari_dmu.reconstruction.refinement import Decoder
from napari_dmu.training.precision import autocast

# Shapes of the signal that are recorded, each with memory of its own; crops that end early have a few.
MOST_SHAPES = 6


class Passes(nn.Module):
    """A decoder as training calls it: in half precision where that is fast, image and lifted image alone."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, signal: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Signal (N, T, y, x), noise level (N, 1, 1, 1) → (N, 1, Y, X) twice, float32."""
        with autocast(signal.device):
            image, lifted, _features = self.decoder(signal, noise)
        return image.float(), lifted.float()


class RecordedDecoder:
    """``Passes`` of a decoder whose weights change in place; on a GPU, the next call overwrites what one returns."""

    def __init__(self, decoder: Decoder) -> None:
        self.shape = decoder.shape
        self._direct = Passes(decoder)
        self._recorded: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(self, signal: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As ``Passes.forward``."""
        key = (signal.shape, signal.requires_grad)
        if key not in self._recorded:
            if signal.device.type != "cuda" or len(self._recorded) == MOST_SHAPES or not torch.is_grad_enabled():
                return self._direct(signal, noise)  # type: ignore[no-any-return]
            passes = Passes(self._direct.decoder)  # of its own: recording replaces its forward
            like = signal.detach().clone().requires_grad_(signal.requires_grad), noise.detach().clone()
            self._recorded[key] = torch.cuda.make_graphed_callables(passes, like, allow_unused_input=True)
        return self._recorded[key](signal, noise)  # type: ignore[no-any-return]
