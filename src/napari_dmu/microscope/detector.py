"""From light on the detector to counts, and back to a linear signal (DESIGN §3).

The exact sampler is for evaluation and simulation. The reparametrised one has the same mean and variance and a
gradient; ``torch.poisson`` has none, so patterns trained through it would silently learn nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dmu.microscope.acquisition import Acquisition


def electrons_mean(signal: Tensor, acquisition: Acquisition) -> Tensor:
    """Expected electrons per detector pixel for a signal of 0 … d² (same shape)."""
    return acquisition.quantum_efficiency * (acquisition.photons * signal + acquisition.background)


def count_dtype(acquisition: Acquisition) -> type[np.unsignedinteger]:
    """Smallest unsigned integer type that holds the digitiser's counts, at least 16 bits."""
    return np.uint16 if acquisition.bits <= 16 else np.uint32


def sample_counts(
    signal: NDArray[np.floating], acquisition: Acquisition, *, seed: int, index: int = 0
) -> NDArray[np.unsignedinteger]:
    """Exact detector: Poisson electrons, Gaussian read noise, digitiser.

    Parameters
    ----------
    signal
        (T, y, x), noise-free, in units of one fully lit specimen pixel (0 … d²).
    seed, index
        The noise depends on these two alone: ``index`` is the plane's number in its stack.

    Returns
    -------
    ndarray
        (T, y, x) counts, uint16 or uint32.
    """
    shot, read = (np.random.Generator(np.random.Philox(s)) for s in np.random.SeedSequence([seed, index]).spawn(2))
    lit = np.maximum(np.asarray(signal, dtype=np.float64), 0.0)
    mean = acquisition.quantum_efficiency * (acquisition.photons * lit + acquisition.background)
    electrons = shot.poisson(mean) + acquisition.read_noise * read.standard_normal(mean.shape)
    counts = np.rint(electrons / acquisition.electrons_per_count + acquisition.offset)
    return np.clip(counts, 0, acquisition.max_count).astype(count_dtype(acquisition))


def saturated_fraction(counts: NDArray[np.unsignedinteger], acquisition: Acquisition) -> float:
    """Fraction of the detector samples that sit at full scale."""
    return float(np.mean(np.asarray(counts) >= acquisition.max_count))


def counts_to_signal(counts: Tensor, acquisition: Acquisition) -> Tensor:
    """Unbiased linear signal (0 … d²) from counts; noise may make it negative and it is not clipped."""
    photons = (counts - acquisition.offset) * (acquisition.electrons_per_count / acquisition.quantum_efficiency)
    return (photons - acquisition.background) / acquisition.photons


def noisy_signal(
    signal: Tensor,
    acquisition: Acquisition,
    *,
    generator: torch.Generator | None = None,
    photons: Tensor | None = None,
    read_noise: Tensor | None = None,
) -> Tensor:
    """Training detector: the linear signal with Gaussian noise of the exact mean and variance, differentiable.

    Parameters
    ----------
    signal
        (N, T, y, x), noise-free.
    photons, read_noise
        (N, 1, 1, 1), one value per example instead of the acquisition's.

    Returns
    -------
    Tensor
        (N, T, y, x), the same quantity that ``counts_to_signal`` gives.
    """
    efficiency = acquisition.quantum_efficiency
    peak = acquisition.photons if photons is None else photons
    read = acquisition.read_noise if read_noise is None else read_noise
    variance = efficiency * (peak * signal.clamp_min(0) + acquisition.background) + read**2
    noise = torch.empty_like(signal).normal_(generator=generator)
    return signal + noise * variance.sqrt() / (efficiency * peak)
