"""Resolution by Fourier ring correlation (FRC): up to which detail two planes agree."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage

from napari_dmu.errors import SettingsError
from napari_dmu.evaluation.planes import Plane, two_planes

__all__ = ["RingCorrelation", "frc_resolution", "ring_correlation", "sampling_limit"]

# Two acquisitions against each other, and one image against a noise-free truth: the same signal-to-noise ratio.
HALF_DATA, AGAINST_TRUTH = 1 / 7, 0.5
# Below this side there are fewer than four rings, too few to speak of a resolution.
SMALLEST_SIDE = 8
# Neighbouring rings over which the curve is averaged.
SMOOTHING = 3
# Standard deviations by which the rings that count as resolved must, together, lie above what chance gives.
SIGNIFICANCE = 3.0


class RingCorrelation(NamedTuple):
    """FRC curve of two planes.

    Attributes
    ----------
    frequency
        (R,) of each ring's middle, periods per pixel, from one period across the short side up to 0.5.
    correlation
        (R,), −1 … 1.
    samples
        (R,) independent samples that each ring adds. Between unrelated planes the mean over neighbouring rings,
        weighted by them, has zero mean and the variance 1 / Σ samples (one ring alone spreads less).
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]
    samples: NDArray[np.float64]


def frc_resolution(
    image: ArrayLike, other: ArrayLike, pixel_size: float = 1.0, *, threshold: float = HALF_DATA
) -> float:
    """Resolution up to which two planes agree, by Fourier ring correlation.

    The spectra of both planes (mean removed, Hann window) are correlated ring by ring; the curve is averaged over
    three neighbouring rings, and the first frequency at which it falls below ``threshold`` is found by linear
    interpolation. The resolution is the inverse of that frequency.

    Parameters
    ----------
    image, other : array_like, shape (Y, X)
        Real numbers of any type; gain and offset between them do not matter. Two images of one specimen with
        independent noise, or an image and the truth.
    pixel_size : float
        Side of a pixel, in any unit of length (for instance µm).
    threshold : float
        Correlation below which detail counts as lost: 1/7 for two images with independent noise, 0.5 for an image
        against a noise-free truth. With a signal-to-noise ratio s of one image two of them correlate as s/(s + 1);
        their mean and the truth as √(2s/(2s + 1)), which is 0.5 where the former is 1/7.

    Returns
    -------
    float
        Resolution (a period) in the unit of ``pixel_size``; small is good. ``2 * pixel_size``, the limit of the
        sampling, if the curve never falls below the threshold; ``inf`` if nothing is resolved (also when either
        plane is constant, and when the agreement up to there may be chance); ``nan`` if a side is shorter than 8
        pixels.

    Raises
    ------
    SpecimenError
        If a plane is not 2D, is empty, holds NaN or infinity, or if the shapes differ.
    SettingsError
        If ``pixel_size`` is not positive or ``threshold`` is not between 0 and 1.

    Notes
    -----
    FRC in light microscopy, with 1/7: Nieuwenhuizen et al., Nat. Methods 10:557 (2013); Banterle et al., J. Struct.
    Biol. 183:363 (2013). Where 1/7 and 0.5 come from: Rosenthal & Henderson, J. Mol. Biol. 333:721 (2003). What a
    fixed threshold ignores, the number of samples in a ring: van Heel & Schatz, J. Struct. Biol. 151:250 (2005). So
    that noise alone has no resolution, the rings up to the crossing must together lie three standard deviations
    above chance, which nothing coarser than about a quarter of the short side can.

    The window and the averaging spread a sharp band edge over neighbouring rings: it is found too far out, by two to
    three rings (periods across the short side) where the noise has 30 % of the contrast, by four to six where 2 %.

    FRC sees which detail is the same, not its contrast: a blur without noise does not lower it. And two images that
    were made by one network from two noisy measurements also share what the network has imagined: read their FRC as
    how far the image is repeatable, and the FRC against the truth as how far it is right.
    """
    if not (math.isfinite(pixel_size) and pixel_size > 0):
        raise SettingsError(f"The pixel size must be a positive length, not {pixel_size}; check the scale.")
    if not 0 < threshold < 1:
        raise SettingsError(f"The correlation threshold must lie between 0 and 1, not {threshold}; try 1/7.")
    planes = two_planes(image, other)
    side = min(planes[0].shape)
    if side < SMALLEST_SIDE:
        return math.nan
    rings = _correlated(*planes)
    curve = ndimage.uniform_filter1d(rings.correlation, SMOOTHING, mode="nearest")
    below = np.flatnonzero(curve < threshold)
    first = int(below[0]) if below.size else curve.size
    if not _is_significant(rings, first):
        return math.inf
    if first == curve.size:
        return 2.0 * pixel_size
    above, under = float(curve[first - 1]), float(curve[first])
    # Ring k of the curve (counted from 0) is k + 1 periods across the short side.
    ring = first + (above - threshold) / (above - under)
    return float(max(pixel_size * side / ring, 2.0 * pixel_size))


def ring_correlation(image: ArrayLike, other: ArrayLike) -> RingCorrelation:
    """FRC curve of two planes (Y, X) of one shape, for plots; see ``frc_resolution``.

    Raises
    ------
    SpecimenError
        If a plane is not 2D, is empty, holds NaN or infinity, or if the shapes differ.
    """
    return _correlated(*two_planes(image, other))


def sampling_limit(ratio: float, pixel_size: float = 1.0) -> float:
    """Finest period that a plain camera with as many samples can carry: two of its bins, 2·√C·pixel size.

    Raises
    ------
    SettingsError
        If the ratio is not at least 1.
    """
    if not (math.isfinite(ratio) and ratio >= 1):
        raise SettingsError(f"The compression ratio is {ratio}: give a number of 1 or more.")
    return 2.0 * math.sqrt(ratio) * pixel_size


def _is_significant(rings: RingCorrelation, count: int) -> bool:
    """Whether the first ``count`` rings agree more than unrelated planes do by chance.

    The mean over rings, weighted by their samples, has the variance 1 / Σ samples there.
    """
    samples = rings.samples[:count]
    total = float(samples.sum())
    mean = float((samples * rings.correlation[:count]).sum()) / total if total else 0.0
    return mean > SIGNIFICANCE / math.sqrt(total) if total else False


def _correlated(image: Plane, other: Plane) -> RingCorrelation:
    """Rings of width 1 / short side, from ring 1 to the Nyquist frequency."""
    rows, columns = other.shape
    side = min(rows, columns)
    window = np.outer(_hann(rows), _hann(columns))
    a = fft.rfft2(_standardised(image) * window)
    b = fft.rfft2(_standardised(other) * window)
    # rfft2 keeps one of each conjugate pair: columns 0 and Nyquist stand for themselves, others for two.
    weight = np.full(a.shape, 2.0)
    weight[:, 0] = 1.0
    if columns % 2 == 0:
        weight[:, -1] = 1.0
    radius = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :])
    ring = np.rint(radius * side).astype(np.intp).ravel()

    def total(values: Plane) -> Plane:
        sums = np.bincount(ring, (weight * values).ravel())[1 : side // 2 + 1]
        return sums.astype(np.float64)

    power = np.sqrt(total(np.abs(a) ** 2) * total(np.abs(b) ** 2))
    cross = total((a * b.conj()).real)
    correlation: Plane = np.divide(cross, power, out=np.zeros_like(cross), where=power > 0)
    # The window makes neighbouring frequencies alike: (Σw²)² / (n Σw⁴) of them are independent, 0.26 for Hann.
    share = float((window**2).sum() ** 2 / (window.size * (window**4).sum()))
    return RingCorrelation(np.arange(1, side // 2 + 1) / side, correlation, share * total(np.ones(a.shape)))


def _hann(n: int) -> Plane:
    """Symmetric Hann window of ``n`` samples, sampled at pixel centres so that no sample is lost to zero."""
    window: Plane = np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
    return window


def _standardised(plane: Plane) -> Plane:
    """Zero mean and unit spread, so that powers neither over- nor underflow; zeros for a constant plane."""
    if plane.min() == plane.max():  # asked exactly: the mean of equal numbers can be off by a rounding
        return np.zeros_like(plane)
    centred: Plane = plane - plane.mean()
    scaled: Plane = centred / np.abs(centred).max()
    return scaled
