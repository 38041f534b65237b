"""Losses of the content-aware stage: L1 and structural similarity, no adversary."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from napari_dmu.microscope.optics import gaussian_kernel

C1, C2 = 0.01**2, 0.03**2


@lru_cache(maxsize=512)
def _band(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Matrix (size − 10, size) that smooths an axis with 11 taps of a Gaussian of σ = 1.5, full overlap only."""
    profile = gaussian_kernel(1.5, truncate=5 / 1.5)
    band = torch.zeros(size - profile.numel() + 1, size)
    for row in range(band.shape[0]):
        band[row, row : row + profile.numel()] = profile
    return band.to(device=device, dtype=dtype)


def _smooth(image: Tensor) -> Tensor:
    """11×11 Gaussian of σ = 1.5: (N, 1, Y, X) → (N, 1, Y − 10, X − 10).

    Two matrix products: the backward pass of a one-channel convolution costs the CPU more than the whole network.
    """
    rows = _band(image.shape[-2], image.device, image.dtype)
    columns = _band(image.shape[-1], image.device, image.dtype)
    return rows @ image @ columns.T


def structural_similarity(image: Tensor, truth: Tensor) -> Tensor:
    """Mean SSIM for data of range 1: (N, 1, Y, X) twice → scalar.

    Source: Z. Wang et al., IEEE Trans. Image Process. 13 (2004) 600, eq. 13.
    """
    moments = _smooth(torch.cat([image, truth, image**2, truth**2, image * truth]))
    mean_i, mean_t, square_i, square_t, product = moments.chunk(5)
    variance = square_i + square_t - mean_i**2 - mean_t**2
    covariance = product - mean_i * mean_t
    luminance = (2 * mean_i * mean_t + C1) / (mean_i**2 + mean_t**2 + C1)
    structure = (2 * covariance + C2) / (variance + C2)
    return (luminance * structure).mean()


def content_loss(
    image: Tensor, lifted: Tensor, truth: Tensor, *, ssim: float, lifting: float, rms: float = 0.0
) -> Tensor:
    """L1 + ``rms``·RMS + ``ssim``·(1 − SSIM) + ``lifting``·L1 of the lifted image; all (N, 1, Y, X).

    L1 alone asks for the median of what a pixel may be: where cells are guessed more than seen, that is all or
    nothing. The root of each image's mean square asks for the mean, which is what PSNR scores.
    """
    loss = functional.l1_loss(image, truth) + lifting * functional.l1_loss(lifted, truth)
    if rms:
        loss = loss + rms * ((image - truth) ** 2).mean(dim=(1, 2, 3)).add(1e-8).sqrt().mean()
    if ssim:
        loss = loss + ssim * (1 - structural_similarity(image, truth))
    return loss
