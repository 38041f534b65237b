"""How close an image comes to the truth, plane by plane: PSNR, SSIM, NRMSE and Fourier ring correlation."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy import fft, ndimage

from napari_dmu.errors import SettingsError, SpecimenError
from napari_dmu.microscope.measurement import intensity_range

__all__ = ["ImageQuality", "frc_resolution", "image_quality"]

Plane = NDArray[np.float64]

# Wang et al. 2004: 11 x 11 Gaussian window; scipy's half width is int(truncate * sigma + 0.5) = 5.
SSIM_SIGMA, SSIM_TRUNCATE = 1.5, 3.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
# Below this side there are fewer than four rings, too few to speak of a resolution.
FRC_SMALLEST_SIDE = 8


class ImageQuality(BaseModel):
    """Scores of one plane against its truth, both scaled by the truth's range to [0, 1] and clipped.

    Attributes
    ----------
    psnr : float
        Peak signal-to-noise ratio in dB for a data range of 1; ``inf`` where the scaled planes are equal.
    ssim : float
        Structural similarity, mean over the whole plane, borders included; 1 is best.
    nrmse : float
        Root mean squared error divided by the root mean square of the scaled truth; 0 is best.  ``inf``
        where the scaled truth is zero everywhere (a constant plane) and the image is not.
    mse : float
        Mean squared error of the scaled planes.
    range_low, range_high : float
        Values of the truth, in its own units, that were scaled to 0 and 1.
    """

    model_config = ConfigDict(frozen=True)

    psnr: float
    ssim: float
    nrmse: float
    mse: float
    range_low: float
    range_high: float


def image_quality(image: ArrayLike, truth: ArrayLike, *, limits: tuple[float, float] | None = None) -> ImageQuality:
    """Score a plane against the truth.

    Both planes are scaled by the 0.1 and 99.9 percentiles of ``truth`` to [0, 1] and clipped; all scores
    are taken from the scaled planes.  No gain or offset is fitted, so a wrong brightness costs points.

    Parameters
    ----------
    image, truth : array_like, shape (Y, X)
        Real numbers of any type, in the same intensity units; any size from 1 x 1.
    limits : tuple of float, optional
        Values that count as 0 and 1 instead of the truth's own percentiles; those of the whole stack, when
        the planes of a stack are scored.

    Returns
    -------
    ImageQuality
        PSNR (dB), SSIM, NRMSE (RMSE / RMS of the scaled truth), MSE and the range used.

    Raises
    ------
    SpecimenError
        If a plane is not 2D, is empty, holds NaN or infinity, or if the shapes differ.

    Notes
    -----
    SSIM follows Wang et al., IEEE Trans. Image Process. 13:600 (2004): Gaussian window of sigma 1.5 and
    11 x 11 pixels, population (not sample) covariances, K1 = 0.01, K2 = 0.03, data range 1; the planes are
    continued by reflection about their edge (d c b a | a b c d) so that the border counts too.

    Where the two percentiles of the truth coincide, its maximum is taken as the high end (a few bright
    spots on black); where the truth holds nothing above the low end either, the range is taken as 1.
    """
    image_plane, truth_plane = _planes(image, truth)
    low, high = limits or intensity_range(truth_plane)
    x = _scaled(image_plane, low, high)
    y = _scaled(truth_plane, low, high)
    mse = float(np.mean((x - y) ** 2))
    rms = math.sqrt(float(np.mean(y**2)))
    psnr = math.inf if mse == 0 else -10.0 * math.log10(mse)
    nrmse = math.sqrt(mse) / rms if rms > 0 else (math.inf if mse > 0 else 0.0)
    return ImageQuality(
        psnr=psnr, ssim=float(_ssim_map(x, y).mean()), nrmse=nrmse, mse=mse, range_low=low, range_high=high
    )


def frc_resolution(image: ArrayLike, truth: ArrayLike, pixel_size: float = 1.0, *, threshold: float = 1 / 7) -> float:
    """Resolution up to which a plane agrees with the truth, by Fourier ring correlation (FRC).

    The spectra of both planes (mean removed, Hann window) are correlated ring by ring; the curve is
    averaged over three neighbouring rings and the first frequency at which it falls below ``threshold`` is
    found by linear interpolation.  The resolution is the inverse of that frequency.

    Parameters
    ----------
    image, truth : array_like, shape (Y, X)
        Real numbers of any type; gain and offset between them do not matter.
    pixel_size : float
        Side of a pixel, in any unit of length (for instance µm).
    threshold : float
        Correlation below which detail counts as lost.

    Returns
    -------
    float
        Resolution (a period) in the unit of ``pixel_size``; small is good.  ``2 * pixel_size``, the limit
        of the sampling, if the curve never falls below the threshold; ``inf`` if nothing is resolved (also
        when either plane is constant); ``nan`` if a side is shorter than 8 pixels.

    Raises
    ------
    SpecimenError
        If a plane is not 2D, is empty, holds NaN or infinity, or if the shapes differ.
    SettingsError
        If ``pixel_size`` is not positive or ``threshold`` is not between 0 and 1.

    Notes
    -----
    FRC in light microscopy: Banterle et al., J. Struct. Biol. 183:363 (2013).  The fixed threshold 1/7
    (Rosenthal & Henderson, J. Mol. Biol. 333:721, 2003) belongs to two equally noisy images of a specimen;
    for a plane against a noise-free truth the equivalent is 0.5, so 1/7 is the lenient choice here: compare
    such numbers only with each other.  Van Heel & Schatz, J. Struct. Biol. 151:250 (2005), explain what a
    fixed threshold ignores (the number of samples in a ring).  FRC sees which detail is right, not its
    contrast: a blur without noise does not lower it.
    """
    if not (math.isfinite(pixel_size) and pixel_size > 0):
        raise SettingsError(f"The pixel size must be a positive length, not {pixel_size}; check the scale.")
    if not 0 < threshold < 1:
        raise SettingsError(f"The correlation threshold must lie between 0 and 1, not {threshold}; try 1/7.")
    image_plane, truth_plane = _planes(image, truth)
    side = min(truth_plane.shape)
    if side < FRC_SMALLEST_SIDE:
        return math.nan
    curve = ndimage.uniform_filter1d(_ring_correlation(image_plane, truth_plane), 3, mode="nearest")
    below = np.flatnonzero(curve < threshold)
    if below.size == 0:
        return 2.0 * pixel_size
    first = int(below[0])
    if first == 0:
        return math.inf
    above, under = float(curve[first - 1]), float(curve[first])
    # Ring k of the curve (counted from 0) is k + 1 periods across the short side.
    ring = first + (above - threshold) / (above - under)
    return float(max(pixel_size * side / ring, 2.0 * pixel_size))


def _ring_correlation(image: Plane, truth: Plane) -> Plane:
    """Correlation of two planes in rings of width 1 / short side, from ring 1 to the Nyquist frequency."""
    rows, columns = truth.shape
    side = min(rows, columns)
    window = np.outer(_hann(rows), _hann(columns))
    a = fft.rfft2(_standardised(image) * window)
    b = fft.rfft2(_standardised(truth) * window)
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
    return correlation


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


def _scaled(plane: Plane, low: float, high: float) -> Plane:
    with np.errstate(over="ignore"):  # far outside a tiny range: infinity, which clipping makes 0 or 1
        clipped: Plane = np.clip((plane - low) / (high - low), 0.0, 1.0)
    return clipped


def _ssim_map(x: Plane, y: Plane) -> Plane:
    """Structural similarity of every pixel of two planes in [0, 1]."""

    def local_mean(values: Plane) -> Plane:
        mean: Plane = ndimage.gaussian_filter(values, SSIM_SIGMA, truncate=SSIM_TRUNCATE, mode="reflect")
        return mean

    mx, my = local_mean(x), local_mean(y)
    vx = local_mean(x * x) - mx * mx
    vy = local_mean(y * y) - my * my
    vxy = local_mean(x * y) - mx * my
    similarity: Plane = ((2 * mx * my + SSIM_C1) * (2 * vxy + SSIM_C2)) / (
        (mx * mx + my * my + SSIM_C1) * (vx + vy + SSIM_C2)
    )
    return similarity


def _planes(image: ArrayLike, truth: ArrayLike) -> tuple[Plane, Plane]:
    """Both planes as finite float64 of one 2D shape."""
    image_plane, truth_plane = _plane(image, "image"), _plane(truth, "truth")
    if image_plane.shape != truth_plane.shape:
        raise SpecimenError(
            f"The image has shape {image_plane.shape} but the truth has shape {truth_plane.shape}; "
            "compare planes of the same field."
        )
    return image_plane, truth_plane


def _plane(values: ArrayLike, name: str) -> Plane:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise SpecimenError(f"The {name} has type {array.dtype}; give a plane of real numbers.")
    if array.ndim != 2 or array.size == 0:
        raise SpecimenError(f"The {name} has shape {array.shape}; give one non-empty plane (Y, X) at a time.")
    plane: Plane = array.astype(np.float64)
    if not np.isfinite(plane).all():
        raise SpecimenError(f"The {name} holds NaN or infinite pixels; replace or crop them first.")
    return plane
