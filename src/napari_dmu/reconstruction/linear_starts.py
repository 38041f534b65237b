"""Binary patterns that a search on the linear estimate starts from."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.patterns import Patterns, make_patterns
from napari_dmu.reconstruction.linear_estimate import LinearEstimate
from napari_dmu.reconstruction.linear_floor import block_components

Start = Literal["plain", "raster", "hadamard", "random", "components", "blocks"]


def start_patterns(start: Start, acquisition: Acquisition, estimate: LinearEstimate, *, seed: int = 0) -> Patterns:
    """Binary patterns to start from, (T, P, P) uint8.

    ``"components"`` are the signs of the principal components (Karhunen–Loève) of the specimens' own covariance in a
    bin; ``"blocks"`` is random noise of blocks a quarter of a bin wide.
    """
    a = acquisition
    if start == "components":
        return component_patterns(a, estimate)
    if start == "blocks":
        block = max(1, a.bin // 4)
        draws = np.random.Generator(np.random.Philox(seed)).random((a.exposures, *2 * (-(-a.period // block),)))
        wide = draws.repeat(block, axis=1).repeat(block, axis=2)[:, : a.period, : a.period]
        return (wide < 0.5).astype(np.uint8)
    return make_patterns(start, exposures=a.exposures, period=a.period, bin=a.bin, seed=seed)


def component_patterns(acquisition: Acquisition, estimate: LinearEstimate) -> Patterns:
    """Signs of the T leading principal components of a bin: (T, P, P) uint8; the first one is all on."""
    a, pixel = acquisition, estimate.pixel
    _, vectors = block_components(estimate.statistics, a.bin // pixel, a.exposures)
    # Whichever sign the solver chose.
    vectors = vectors * torch.sign(vectors.sum((-2, -1), keepdim=True) + 1e-9)
    tile = (vectors > 0).to(torch.uint8).numpy().repeat(pixel, axis=1).repeat(pixel, axis=2)
    return np.tile(tile, (1, a.period // a.bin, a.period // a.bin))


def dithered(grey: Tensor) -> Tensor:
    """Binary patterns whose local means are those of grey ones (R. W. Floyd, L. Steinberg, Proc. SID 17:75, 1976).

    Scanned twice along each row of periods, so that the second period starts with what the first one left over.
    """
    period = grey.shape[-1]
    out = np.zeros(grey.shape)
    for t, tile in enumerate(grey.numpy()):
        work = np.pad(np.tile(tile, (2, 2)), 1)
        for row in range(1, 2 * period + 1):
            for column in range(1, 2 * period + 1):
                old = work[row, column]
                new = 1.0 if old >= 0.5 else 0.0
                work[row, column] = new
                left = old - new
                work[row, column + 1] += left * 7 / 16
                work[row + 1, column - 1 : column + 2] += left * np.array([3, 5, 1]) / 16
        out[t] = work[period + 1 : 2 * period + 1, period + 1 : 2 * period + 1]
    return torch.from_numpy((out > 0.5).astype(np.float64))
