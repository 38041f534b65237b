"""What makes first-order solvers converge on 0/1 patterns: noise weights and per-bin whitening.

All patterns of a sequence share a large common part, so the T samples of a bin are nearly parallel and a plain
gradient method needs thousands of steps for their differences. Dividing by the noise and multiplying every bin's
T samples by the inverse of their own T×T covariance takes that away, without changing what is minimised.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import electrons_variance
from napari_dmu.microscope.forward import Microscope


def signal_variance(signal: Tensor, acquisition: Acquisition) -> Tensor:
    """Variance of every sample of a measured signal, from the sample itself.

    Parameters
    ----------
    signal
        (..., T, y, x) as ``counts_to_signal`` gives it (0 … d², with noise).

    Returns
    -------
    Tensor
        Same shape, in squared units of the signal. The mean electrons that the shot noise is taken from are never
        less than one, so that a dark sample does not count as certain.
    """
    electrons_per_unit = acquisition.quantum_efficiency * acquisition.photons
    # The signal at which one electron is expected, what is there without a specimen counted in.
    dark = acquisition.quantum_efficiency * acquisition.background + acquisition.dark_electrons
    least = (1.0 - dark) / electrons_per_unit
    return electrons_variance(signal.clamp_min(max(least, 0.0)), acquisition) / electrons_per_unit**2


def pattern_gram(microscope: Microscope, covariance: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Covariance of the T samples of a bin, for every bin of one period: (m, m, T, T), m = P/d.

    Parameters
    ----------
    microscope
        Its aligned windows are used; with a registration error the result is close, and good for a preconditioner.
    covariance
        Of the specimen, applied to images (N, side, side); independent pixels of variance 1 where not given.
    """
    windows = microscope.windows()
    exposures, m, _, side, _ = windows.shape
    flat = windows.flatten(0, 2)
    spread = flat if covariance is None else covariance(flat)
    left = windows.permute(1, 2, 0, 3, 4).reshape(m, m, exposures, side**2)
    right = spread.reshape(windows.shape).permute(1, 2, 0, 3, 4).reshape(m, m, exposures, side**2)
    return left @ right.transpose(-1, -2)


def bin_preconditioner(gram: Tensor, deviation: Tensor, *, scale: float, shift: float) -> Tensor:
    """Inverse of ``shift + scale · gram / noise`` for every bin.

    Parameters
    ----------
    gram
        (m, m, T, T) from ``pattern_gram``.
    deviation
        (T, y, x) standard deviation of the samples.

    Returns
    -------
    Tensor
        (y, x, T, T), symmetric positive definite.
    """
    exposures, rows, columns = deviation.shape
    cells = gram.shape[0]
    row = torch.arange(rows, device=gram.device) % cells
    column = torch.arange(columns, device=gram.device) % cells
    inverse = deviation.permute(1, 2, 0).reciprocal()
    blocks = gram[row[:, None], column[None, :]] * (inverse[..., :, None] * inverse[..., None, :])
    # Condition numbers reach 1e5; the inverse is taken in double precision, elsewhere where the device has none.
    where = "cpu" if gram.device.type == "mps" else gram.device
    exact = scale * blocks.to(device=where, dtype=torch.float64)
    exact += shift * torch.eye(exposures, dtype=torch.float64, device=where)
    return torch.cholesky_inverse(torch.linalg.cholesky(exact)).to(gram)


def per_bin(matrices: Tensor, samples: Tensor) -> Tensor:
    """Multiply the T samples of every bin: (y, x, T, T) and (T, y, x) → (T, y, x)."""
    return (matrices @ samples.permute(1, 2, 0)[..., None])[..., 0].permute(2, 0, 1)


def total(values: Tensor) -> float:
    """Sum in double precision where the device has it."""
    return float(values.sum() if values.device.type == "mps" else values.sum(dtype=torch.float64))
