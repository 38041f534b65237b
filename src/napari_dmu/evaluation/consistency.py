"""Does a reconstruction explain the data? It is measured again and compared, in units of the expected noise.

For every sample i, with the counts turned into electrons e_i, the electrons μ_i that the detector would give of the
reconstruction on average, and their variance v_i (shot noise with its excess, dark current, background, read noise,
quantisation):

    χ² = mean over samples of (e_i − μ_i)² / v_i

1 is what the specimen itself would give (Pearson's χ² over the number of samples; P. R. Bevington, D. K. Robinson,
Data Reduction and Error Analysis for the Physical Sciences, 3rd ed. 2003, ch. 4 and 11). A reconstruction that was
computed from the same samples may lie below, because it can follow their noise.

A trained decoder is never exact, and in strong light its error is above the noise in every image. The *misfit* is χ²
with the decoder's usual error counted in: v_i + (tolerance · s_i)², where s_i are the electrons from the specimen alone
and the tolerance was measured on images like the training images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import (
    counts_to_signal,
    electrons_mean,
    electrons_variance,
    saturation_count,
)

# Electrons². Without a floor, one electron where next to none is expected would outweigh all other samples.
LEAST_VARIANCE = 0.1
# The tolerance is searched for up to this: a signal that is off by its own size ten times fits nothing.
MOST_TOLERANCE = 10.0

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Residuals:
    """What the samples of one plane say against an image; flat arrays over the samples that are not saturated.

    Attributes
    ----------
    square
        Squared difference between data and image (electrons²).
    variance
        Expected of noise alone (electrons²).
    light
        Electrons that the image sends to the sample, background and dark current left out.
    fourth
        Fourth cumulant of the noise (electrons⁴); it widens the spread of χ² where electrons are few.
    used
        (T, y, x), False where a sample is saturated.
    """

    square: Array
    variance: Array
    light: Array
    fourth: Array
    used: NDArray[np.bool_]

    def chi_square(self, tolerance: float = 0.0) -> float:
        """Mean of the squared differences over their expected size; NaN where every sample is saturated."""
        if self.square.size == 0:
            return math.nan
        return float(np.mean(self.square / (self.variance + (tolerance * self.light) ** 2)))

    def standard_error(self) -> float:
        """Standard deviation of χ² (tolerance 0) of the specimen itself over repeated measurements.

        The square of a noise with variance v and fourth cumulant c has the variance 2v² + c.
        """
        if self.square.size == 0:
            return math.nan
        return float(np.sqrt(np.sum(2.0 + self.fourth / self.variance**2)) / self.square.size)

    def map(self, tolerance: float = 0.0) -> NDArray[np.float32]:
        """χ² of every bin, (y, x): the mean over its exposures; NaN where all of them are saturated."""
        terms = np.zeros(self.used.shape)
        terms[self.used] = self.square / (self.variance + (tolerance * self.light) ** 2)
        count = self.used.sum(axis=0)
        mean = np.full(count.shape, np.nan)
        np.divide(terms.sum(axis=0), count, out=mean, where=count > 0)
        return mean.astype(np.float32)


@dataclass(frozen=True)
class Consistency:
    """How well an image explains one plane of data.

    Attributes
    ----------
    chi_square
        Reduced χ² against noise alone: 1 is expected of the specimen itself.
    standard_error
        Standard deviation of that 1.
    misfit
        χ² with the tolerance counted in.
    chi_square_map, misfit_map
        (y, x), one value a detector pixel, mean over the exposures.
    saturated
        Fraction of the samples that were left out because they are saturated.
    """

    chi_square: float
    standard_error: float
    misfit: float
    chi_square_map: NDArray[np.float32]
    misfit_map: NDArray[np.float32]
    saturated: float


def residuals(counts: NDArray[np.generic], signal: NDArray[np.floating], acquisition: Acquisition) -> Residuals:
    """Compare measured counts with the signal that an image would give.

    Parameters
    ----------
    counts
        (T, y, x), as measured.
    signal
        (T, y, x), noise-free: ``Microscope.forward`` of the image (0 … d²). Below zero there is no light.
    acquisition
        Light and detector of the measurement.

    Raises
    ------
    SettingsError
        Where the two shapes differ.

    Notes
    -----
    Saturated samples tell only that there is at least so much light, and are left out. Predictions are cut off where
    the detector saturates, as the detector itself does, so that an image that is too bright is not blamed for what
    cannot be measured.
    """
    if counts.shape != signal.shape or counts.ndim != 3:
        raise SettingsError(
            f"The counts have shape {counts.shape} but the image gives {signal.shape}: "
            "compare an image with the measurement that it was made of."
        )
    lit = torch.from_numpy(np.maximum(np.asarray(signal, dtype=np.float64), 0.0))
    seen = torch.from_numpy(np.asarray(counts, dtype=np.float64))
    used = np.asarray(counts) < saturation_count(acquisition)
    unit = acquisition.quantum_efficiency * acquisition.photons  # electrons per unit of signal
    most = (saturation_count(acquisition) - acquisition.offset) * acquisition.electrons_per_count
    mean = electrons_mean(lit, acquisition)
    # Unbiased signal to electrons with the dark ones: the inverse of counts_to_signal's own shifts.
    measured = unit * counts_to_signal(seen, acquisition) + electrons_mean(torch.zeros_like(lit), acquisition)
    variance = electrons_variance(lit, acquisition).clamp_min(LEAST_VARIANCE)
    square = (measured - mean.clamp_max(most)) ** 2
    # Compound Poisson with gamma-distributed gains: F² − 1 = s, E[gain⁴] = (1 + s)(1 + 2s)(1 + 3s).
    spread = acquisition.excess_noise - 1.0
    fourth = mean * ((1 + spread) * (1 + 2 * spread) * (1 + 3 * spread))
    return Residuals(
        square=square.numpy()[used],
        variance=variance.numpy()[used],
        light=(unit * lit).numpy()[used],
        fourth=fourth.numpy()[used],
        used=used,
    )


def consistency(
    counts: NDArray[np.generic], signal: NDArray[np.floating], acquisition: Acquisition, *, tolerance: float = 0.0
) -> Consistency:
    """χ² of one plane; see ``residuals`` for the parameters.

    Parameters
    ----------
    tolerance
        Usual error of the decoder, relative to the signal; 0 judges by noise alone.
    """
    found = residuals(counts, signal, acquisition)
    return Consistency(
        chi_square=found.chi_square(),
        standard_error=found.standard_error(),
        misfit=found.chi_square(tolerance),
        chi_square_map=found.map(),
        misfit_map=found.map(tolerance),
        saturated=1.0 - float(found.used.mean()),
    )


def usual_tolerance(examples: Sequence[Residuals]) -> float:
    """The relative error of the signal that makes the median misfit of examples 1.

    Parameters
    ----------
    examples
        Of images like those that a decoder was trained on, but held back.

    Returns
    -------
    float
        0 where noise alone explains the differences; otherwise the root of
        median over examples of χ²(tolerance) = 1, which falls steadily with the tolerance (bisection). The median,
        because a relative error says nothing of a field that is all but empty, and one such field would rule a mean.
    """
    usable = [example for example in examples if example.square.size]

    def excess(tolerance: float) -> float:
        return float(np.median([example.chi_square(tolerance) for example in usable])) - 1.0

    if not usable or excess(0.0) <= 0.0:
        return 0.0
    low, high = 0.0, MOST_TOLERANCE
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    return high


def usual_limit(figures: Sequence[float], *, quantile: float = 0.99, least: float = 1.0) -> float:
    """The figure up to which an image counts as usual: a quantile of examples, never below ``least`` (1 is a misfit of
    noise alone).

    With n examples the value of rank ⌈(n + 1)·quantile⌉ is taken, and the largest where there are too few: a new
    image of the same kind lies above it with a probability of 1 − quantile at most (split conformal prediction;
    V. Vovk, A. Gammerman, G. Shafer, Algorithmic Learning in a Random World, 2005).
    """
    values = np.sort([value for value in figures if math.isfinite(value)])
    if values.size == 0:
        return math.inf
    rank = min(math.ceil((values.size + 1) * quantile), values.size)
    return max(least, float(values[rank - 1]))
