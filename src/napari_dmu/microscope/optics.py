"""Point spread functions and the convolutions of both light paths (DESIGN §3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from napari_dmu.microscope.acquisition import Psf


def gaussian_kernel(sigma: float, *, truncate: float = 4.0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Sampled Gaussian of unit sum.

    Parameters
    ----------
    sigma
        Standard deviation (specimen pixels); 0 gives a single one.
    truncate
        Radius of the kernel in units of ``sigma``.

    Returns
    -------
    Tensor
        (K,) with odd K, unit sum; the two-dimensional kernel is its outer product.
    """
    radius = math.ceil(truncate * sigma)
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (x / sigma) ** 2) if sigma > 0 else torch.ones(1, dtype=torch.float64)
    return (weights / weights.sum()).to(dtype)


def psf_kernel(psf: Psf, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Kernel of a point spread function: (K, K), odd K, unit sum, centred."""
    profile = gaussian_kernel(0.0 if psf.kind == "none" else psf.sigma, dtype=torch.float64)
    return torch.outer(profile, profile).to(dtype)


def convolve_periodic(pattern: Tensor, kernel: Tensor) -> Tensor:
    """True convolution of a periodic pattern with a centred kernel.

    Parameters
    ----------
    pattern
        (..., P, P), one period.
    kernel
        (K, K), odd K; K may exceed P, the kernel is then folded onto the period.

    Returns
    -------
    Tensor
        (..., P, P).
    """
    period_y, period_x = pattern.shape[-2:]
    radius_y, radius_x = kernel.shape[0] // 2, kernel.shape[1] // 2
    rows = (torch.arange(kernel.shape[0], device=pattern.device) - radius_y) % period_y
    columns = (torch.arange(kernel.shape[1], device=pattern.device) - radius_x) % period_x
    folded = torch.zeros(period_y, period_x, dtype=pattern.dtype, device=pattern.device)
    folded.index_put_((rows[:, None], columns[None, :]), kernel.to(pattern), accumulate=True)
    spectrum = torch.fft.rfft2(pattern) * torch.fft.rfft2(folded)
    result: Tensor = torch.fft.irfft2(spectrum, s=(period_y, period_x))
    return result


def reflect_index(start: int, stop: int, size: int, device: torch.device | None = None) -> Tensor:
    """Indices that extend an axis of ``size`` samples by reflection about its end samples.

    Any extent is allowed, also beyond one mirror image and for a single sample (``numpy.pad`` mode "reflect").
    """
    index = torch.arange(start, stop, device=device)
    if size == 1:
        return torch.zeros_like(index)
    index = index.remainder(2 * size - 2)
    return torch.where(index < size, index, 2 * size - 2 - index)
