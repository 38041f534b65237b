"""From light on the detector to counts, and back to a linear signal (docs/model.md).

The chain of both models: photo-electrons and dark electrons → multiplication (EMCCD register, PMT) → full well →
read noise → gain, offset, rounding, full scale. The exact sampler is for evaluation and simulation. The
reparametrised one has the same mean and variance and a gradient; ``torch.poisson`` has none, so patterns trained
through it would silently learn nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dmu.microscope.acquisition import Acquisition

# A sample is at the full well when it lies within this many read noises of it: the read noise comes after the well.
WELL_MARGIN = 3.0
# Electrons². Below it the square root's slope would blow up where a detector without read noise sees no light.
_LEAST_VARIANCE = 1e-3
# With read noise above one count, rounding is uniform noise to 1e-7 whatever the electrons do.
_ROUNDING_TERMS = 8


def electrons_mean(signal: Tensor, acquisition: Acquisition) -> Tensor:
    """Expected electrons per detector pixel, dark ones included, for a signal of 0 … d² (same shape)."""
    photons = acquisition.photons * signal + acquisition.background
    return acquisition.quantum_efficiency * photons + acquisition.dark_electrons


def electrons_variance(signal: Tensor, acquisition: Acquisition) -> Tensor:
    """Variance of a sample in electrons², referred to the input, for a signal of 0 … d² (same shape)."""
    shot = acquisition.excess_noise * electrons_mean(signal.clamp_min(0), acquisition)
    return shot + acquisition.read_noise**2 + rounding_variance(acquisition)


def rounding_variance(acquisition: Acquisition, read_noise: Tensor | None = None) -> Tensor:
    """Variance that digitising adds, in electrons².

    In general gain²/12. Where whole electrons fall on whole counts (1/gain whole, no multiplication) only the
    read noise is rounded: a photon counter without read noise rounds nothing at all.

    Parameters
    ----------
    read_noise
        Electrons, any shape, instead of the acquisition's.
    """
    gain = acquisition.electrons_per_count
    uniform = gain**2 / 12
    read = torch.as_tensor(acquisition.read_noise if read_noise is None else read_noise)
    if not read.is_floating_point():
        read = read.to(torch.get_default_dtype())
    if acquisition.excess_noise > 1.0 or not float(1.0 / gain).is_integer():
        return torch.full_like(read, uniform)
    # E[round(z)²] = Σ_j (2j − 1) P(|z| > j − ½) for z ~ Normal(0, (read/gain)²).
    steps = torch.arange(1, _ROUNDING_TERMS + 1, dtype=read.dtype, device=read.device)
    sigma = (read / gain)[..., None].clamp_min(1e-6)
    rounded = ((2 * steps - 1) * torch.erfc((steps - 0.5) / (sigma * 2**0.5))).sum(-1) * gain**2 - read**2
    return torch.where(read / gain < 1.0, rounded, torch.full_like(read, uniform))


def count_dtype(acquisition: Acquisition) -> type[np.unsignedinteger]:
    """Smallest unsigned integer type that holds the digitiser's counts, at least 16 bits."""
    return np.uint16 if acquisition.bits <= 16 else np.uint32


def sample_counts(
    signal: NDArray[np.floating], acquisition: Acquisition, *, seed: int, index: int = 0
) -> NDArray[np.unsignedinteger]:
    """Exact detector: Poisson electrons, multiplication, full well, Gaussian read noise, digitiser.

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

    Notes
    -----
    A multiplication with excess noise factor F² turns n electrons into Gamma(n / (F² − 1), F² − 1), referred to
    the input: mean n and, over Poisson n, variance F² times the mean. For F² = 2 this is the exponential gain of
    an EMCCD register (A. G. Basden et al., MNRAS 345 (2003) 985).
    """
    # Children keep their place: the third stream changes nothing for a detector without multiplication.
    streams = _seed_sequence(seed, index).spawn(3)
    shot, read, multiply = (np.random.Generator(np.random.Philox(s)) for s in streams)
    lit = np.maximum(np.asarray(signal, dtype=np.float64), 0.0)
    mean = acquisition.quantum_efficiency * (acquisition.photons * lit + acquisition.background)
    electrons: NDArray[Any] = shot.poisson(mean + acquisition.dark_electrons)
    spread = acquisition.excess_noise - 1.0
    if spread > 0.0:
        electrons = multiply.gamma(electrons / spread, spread)
    if acquisition.full_well is not None:
        electrons = np.minimum(electrons, acquisition.full_well)
    measured = electrons + acquisition.read_noise * read.standard_normal(mean.shape)
    counts = np.rint(measured / acquisition.electrons_per_count + acquisition.offset)
    digitised: NDArray[np.unsignedinteger] = np.clip(counts, 0, acquisition.max_count).astype(count_dtype(acquisition))
    return digitised


def _seed_sequence(seed: int, index: int) -> np.random.SeedSequence:
    """Of a plane's noise; what is above 32 bits of a seed goes last.

    A number is taken apart into words of 32 bits without a sign of where it ends, so that (2³², 0) would be (0, 1).
    """
    low, high = seed % 2**32, seed // 2**32
    return np.random.SeedSequence([low, index, high] if high else [seed, index])


def saturation_count(acquisition: Acquisition) -> int:
    """Count from which a sample is saturated: full scale, or within the read noise of the full well."""
    if acquisition.full_well is None:
        return acquisition.max_count
    well = acquisition.full_well - WELL_MARGIN * acquisition.read_noise
    return max(0, min(acquisition.max_count, round(well / acquisition.electrons_per_count + acquisition.offset)))


def saturated_fraction(counts: NDArray[np.unsignedinteger], acquisition: Acquisition) -> float:
    """Fraction of the detector samples that sit at full scale or at the full well."""
    return float(np.mean(np.asarray(counts) >= saturation_count(acquisition)))


def counts_to_signal(counts: Tensor, acquisition: Acquisition) -> Tensor:
    """Unbiased linear signal (0 … d²) from counts; noise may make it negative and it is not clipped."""
    efficiency = acquisition.quantum_efficiency
    photons = (counts - acquisition.offset) * (acquisition.electrons_per_count / efficiency)
    return (photons - (acquisition.background + acquisition.dark_electrons / efficiency)) / acquisition.photons


def noisy_signal(
    signal: Tensor,
    acquisition: Acquisition,
    *,
    generator: torch.Generator | None = None,
    photons: Tensor | None = None,
    read_noise: Tensor | None = None,
) -> Tensor:
    """Training detector: the linear signal with Gaussian noise of the exact mean and variance, differentiable.

    Saturation is kept (full well, and full scale where the gain is given), so that training avoids it; the floor
    of the digitiser is not, because electrons are never negative and the offset is there for the read noise.

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
    efficiency, background, dark = acquisition.quantum_efficiency, acquisition.background, acquisition.dark_electrons
    peak = acquisition.photons if photons is None else photons
    read = acquisition.read_noise if read_noise is None else read_noise
    mean = efficiency * (peak * signal.clamp_min(0) + background) + dark
    shot = acquisition.excess_noise * mean
    # Rounding may take a small read noise away altogether; in single precision a trace below zero would be left.
    readout = (read**2 + rounding_variance(acquisition, read_noise).to(signal)).clamp_min(0)
    noise = torch.empty_like(signal).normal_(generator=generator)
    if acquisition.full_well is None and acquisition.gain is None:
        return signal + noise * (shot + readout).clamp_min(_LEAST_VARIANCE).sqrt() / (efficiency * peak)
    electrons = mean + noise * shot.clamp_min(_LEAST_VARIANCE).sqrt()
    if acquisition.full_well is not None:
        electrons = electrons.clamp_max(acquisition.full_well)
    read_out = torch.empty_like(signal).normal_(generator=generator)
    electrons = electrons + read_out * readout.sqrt()
    if acquisition.gain is not None:
        electrons = electrons.clamp_max((acquisition.max_count - acquisition.offset) * acquisition.gain)
    return ((electrons - dark) / efficiency - background) / peak
