"""Physical sanity of an acquisition: what will not work, and what to do instead (docs/model.md)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_dmu.microscope.acquisition import Acquisition, Psf
from napari_dmu.microscope.digits import grouped, written

if TYPE_CHECKING:
    from napari_dmu.microscope.budget import Budget

# Patterns that arrive with less of their contrast than this are mostly blurred away.
LEAST_CONTRAST = 0.5
# An offset below this many read noises cuts the noise of dark samples off at zero, which makes them biased.
OFFSET_IN_READ_NOISES = 3.0
Topic = Literal["pattern", "bin", "saturation", "light", "rounding", "offset", "sampling"]


class Caution(BaseModel):
    """One warning about an acquisition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: Topic = Field(description="What it is about")
    text: str = Field(description="What is wrong, one sentence")
    suggestion: str = Field(description="What to do, one sentence")


def cautions(acquisition: Acquisition, budget: Budget, *, peak_signal: float, limit: float) -> tuple[Caution, ...]:
    """Warnings about an acquisition.

    Parameters
    ----------
    budget
        Its figures.
    peak_signal
        Signal of a white specimen in the brightest bin and exposure, 0 … d².
    limit
        Electrons at which a detector pixel saturates.
    """
    found = [
        _pattern(acquisition, budget),
        _bin(acquisition),
        _saturation(acquisition, budget, peak_signal, limit),
        _light(acquisition, budget),
        _rounding(acquisition, budget, limit),
        _offset(acquisition),
        _sampling("excitation", acquisition.excitation),
        _sampling("emission", acquisition.emission),
    ]
    return tuple(caution for caution in found if caution is not None)


def full_width(kernel: NDArray[np.floating]) -> float:
    """Full width at half maximum of a kernel (K, K) along x, in pixels, by linear interpolation.

    Of its brightest pixel in each column, and from the outermost one on either side: a PSF out of focus is a ring.
    """
    profile = np.pad(kernel.max(axis=0), 1) / kernel.max()
    first, last = np.flatnonzero(profile >= 0.5)[[0, -1]]
    left = first - (profile[first] - 0.5) / (profile[first] - profile[first - 1])
    right = last + (profile[last] - 0.5) / (profile[last] - profile[last + 1])
    return float(right - left)


def _pattern(acquisition: Acquisition, budget: Budget) -> Caution | None:
    if budget.pattern_contrast >= LEAST_CONTRAST:
        return None
    return Caution(
        topic="pattern",
        text=(
            f"The patterns are finer than the excitation can carry: {100 * budget.pattern_contrast:.0f} % of their "
            "contrast reaches the specimen."
        ),
        suggestion=(
            f"Use patterns with features of {budget.finest_feature} specimen pixels or more, or a higher numerical "
            "aperture of the excitation."
        ),
    )


def _bin(acquisition: Acquisition) -> Caution | None:
    from napari_dmu.microscope.optics import psf_kernel

    width = full_width(psf_kernel(acquisition.emission).double().numpy())
    # A PSF of one pixel or less is no blur; the small margin is for the rounding of the kernel.
    if acquisition.bin >= width - 1e-3:
        return None
    return Caution(
        topic="bin",
        text=(
            f"A detector pixel of {acquisition.bin} specimen pixels is narrower than the emission PSF ({width:.3g} "
            "pixels at half maximum): neighbouring samples repeat each other."
        ),
        suggestion=(
            f"Use detector pixels of {int(np.ceil(width))} specimen pixels or more, with more exposures at the same "
            "ratio."
        ),
    )


def _saturation(acquisition: Acquisition, budget: Budget, peak_signal: float, limit: float) -> Caution | None:
    if budget.full_scale_fraction <= 1.0:
        return None
    a = acquisition
    grey = a.quantum_efficiency * (budget.photons_per_bin_peak + a.background) + a.dark_electrons
    specimen = "Even a mid-grey" if grey > limit else "A white"
    photons = ((limit - a.dark_electrons) / a.quantum_efficiency - a.background) / peak_signal
    if photons > 0.0:
        suggestion = (
            f"Lower the light to {_down(photons)} peak photons or less, use smaller detector pixels, or a detector "
            "with a deeper well."
        )
    else:
        suggestion = "Background and dark current alone saturate it: shield the detector or shorten the exposure."
    return Caution(
        topic="saturation",
        text=(
            f"{specimen} specimen saturates the detector: a white one gives {written(budget.full_scale_fraction, 3)} "
            f"times what can be read ({grouped(round(limit))} electrons) in its brightest detector pixel."
        ),
        suggestion=suggestion,
    )


def _light(acquisition: Acquisition, budget: Budget) -> Caution | None:
    a = acquisition
    electrons = a.quantum_efficiency * budget.photons_per_bin
    if electrons >= a.read_noise:
        return None
    # Where photon noise catches up with the read noise, and the signal is not below it either.
    wanted = max(a.read_noise**2 / a.excess_noise, a.read_noise)
    suggestion = "Open the patterns: no light reaches the specimen."
    if electrons > 0.0:
        suggestion = (
            f"Raise the light to {written(a.photons * wanted / electrons, 3)} peak photons, where photon noise takes "
            "over, use larger detector pixels, or a detector with less read noise."
        )
    return Caution(
        topic="light",
        text=(
            f"A detector pixel gets {electrons:.3g} electrons from a mid-grey specimen, below the read noise of "
            f"{a.read_noise:.3g}."
        ),
        suggestion=suggestion,
    )


def _rounding(acquisition: Acquisition, budget: Budget, limit: float) -> Caution | None:
    n = budget.noise
    others = math.hypot(n.shot, n.background, n.dark, n.read)
    if n.quantisation <= others or others == 0.0:
        return None
    gain = _floor(math.sqrt(12) * others)  # a step s rounds with a standard deviation of s/√12
    bits = math.ceil(math.log2(limit / gain + acquisition.offset + 1))
    return Caution(
        topic="rounding",
        text=(
            f"Counts of {written(acquisition.electrons_per_count, 3)} electrons are too coarse: rounding to them adds "
            f"noise of {written(n.quantisation, 3)} electrons, more than all the other noise ({written(others, 3)})."
        ),
        suggestion=f"Use {_down(gain)} electrons per count or less: for the same light a converter of {bits} bits.",
    )


def _offset(acquisition: Acquisition) -> Caution | None:
    a = acquisition
    floor = a.quantum_efficiency * a.background + a.dark_electrons
    room = a.offset * a.electrons_per_count + floor
    if room >= OFFSET_IN_READ_NOISES * a.read_noise:
        return None
    wanted = int(np.ceil(2 * OFFSET_IN_READ_NOISES * a.read_noise / a.electrons_per_count))
    return Caution(
        topic="offset",
        text=f"An offset of {a.offset} counts cuts the read noise of dark samples off at zero, which brightens them.",
        suggestion=f"Use an offset of {wanted} counts or more.",
    )


def _sampling(path: str, psf: Psf) -> Caution | None:
    if psf.kind != "born_wolf":
        return None
    # λ/(2 NA) is the finest period that the objective passes; two pixels must lie in it.
    finest = psf.wavelength / (4 * psf.numerical_aperture) / 1000
    if psf.pixel_size <= finest * (1 + 1e-6):
        return None
    return Caution(
        topic="sampling",
        text=(
            f"A specimen pixel of {psf.pixel_size:g} µm undersamples the {path} PSF, which needs {finest:.3g} µm or "
            "less (λ/4NA)."
        ),
        suggestion=(
            f"Use specimen pixels of {finest:.3g} µm, or take the numerical aperture as "
            f"{psf.wavelength / (4000 * psf.pixel_size):.2g} to model what these pixels can hold."
        ),
    )


def _floor(value: float) -> float:
    """Three significant figures, never above the value."""
    step = 10.0 ** (np.floor(np.log10(value)) - 2)
    return float(np.floor(value / step + 1e-9) * step)


def _down(value: float) -> str:
    return written(_floor(value), 6)
