"""Error bars: how far each pixel of a reconstruction may be from the truth.

A small network on the frozen decoder predicts a quantile of the absolute error. Its scale is then multiplied by one
conformal factor, measured on images that no network was trained on, so that the interval image ± factor · scale
covers the nominal share of the pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from napari_dmu.reconstruction.refinement import UShape
from napari_dmu.reconstruction.shapes import ErrorShape

# Least scale (density): far below any real error, so that nothing is divided by zero and no pixel counts as certain.
FLOOR = 1e-4
# Scale with which an untrained head starts (density).
START = 0.03
# Errors below this (density) are all alike to the loss.
SMALL = 1e-3
# Least mean density that a mean error bar is compared with.
DARK = 0.01


class ErrorHead(nn.Module):
    """From the decoder's image and features and the noise level to a positive scale of every pixel's error.

    Parameters
    ----------
    features
        Channels of the decoder's features.
    stride
        Specimen pixels per pixel of the feature grid.
    shape
        Hyper-parameters.
    """

    def __init__(self, features: int, stride: int, shape: ErrorShape) -> None:
        super().__init__()
        self.shape = shape
        self.stride = stride
        # 1×1: the features have seen their surroundings already.
        self.enter = nn.Conv2d(features + stride**2 + 1, shape.widths[0], 1)
        self.body = UShape(shape.widths, shape.blocks)
        self.leave = nn.Conv2d(shape.widths[0], stride**2, 3, padding=1)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.weight)
        nn.init.constant_(self.leave.bias, float(torch.log(torch.expm1(torch.tensor(START)))))

    def forward(self, image: Tensor, features: Tensor, noise: Tensor) -> Tensor:
        """Predict.

        Parameters
        ----------
        image
            (N, 1, Y, X), the decoder's image.
        features
            (N, C, Y/stride, X/stride), the decoder's features.
        noise
            (N, 1, 1, 1), relative noise level, see ``refinement.noise_level``.

        Returns
        -------
        Tensor
            (N, 1, Y, X), fluorescence density, at least ``FLOOR``.
        """
        grid = functional.pixel_unshuffle(image, self.stride)
        level = noise.expand(-1, 1, *grid.shape[-2:]).to(grid)
        inputs = torch.cat([features.to(grid), grid, level], dim=1).contiguous(memory_format=torch.channels_last)
        raw = functional.pixel_shuffle(self.leave(self.body(self.enter(inputs))), self.stride)
        # In half precision a small scale would be rounded coarsely.
        return FLOOR + functional.softplus(raw if raw.dtype == torch.float64 else raw.float())


def relative_spread(error: NDArray[np.floating], image: NDArray[np.floating]) -> float:
    """Mean error bar over mean density of a plane, both (Y, X) in fluorescence density.

    Compared with ``Trust.spread_limit``. An image that is all but dark counts as one of density 0.01.
    """
    return float(np.mean(error)) / max(float(np.mean(image)), DARK)


def interval_loss(scale: Tensor, error: Tensor, level: float) -> Tensor:
    """Pinball loss on logarithms: least where ``scale`` is the ``level`` quantile of the absolute error.

    A quantile stays one under any rising function, so the logarithm changes nothing about what is learned, but lets
    dark pixels, whose errors are small, count as much as bright ones. Source of the pinball loss: R. Koenker,
    G. Bassett, Econometrica 46 (1978) 33.

    Parameters
    ----------
    scale
        (N, 1, Y, X), positive.
    error
        (N, 1, Y, X), image − truth.
    level
        0 … 1.

    Returns
    -------
    Tensor
        Scalar.
    """
    excess = (error.abs() + SMALL).log() - (scale + SMALL).log()
    return torch.maximum(level * excess, (level - 1) * excess).mean()
