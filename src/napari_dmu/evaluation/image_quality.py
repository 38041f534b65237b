"""How close an image comes to the truth, plane by plane: PSNR, SSIM, NRMSE and MSE."""

import math

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict
from scipy import ndimage

from napari_dmu.evaluation.planes import Plane, two_planes
from napari_dmu.microscope.measurement import intensity_range

__all__ = ["ImageQuality", "image_quality"]

# Wang et al. 2004: 11 x 11 Gaussian window; scipy's half width is int(truncate * sigma + 0.5) = 5.
SSIM_SIGMA, SSIM_TRUNCATE = 1.5, 3.5
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


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
    image_plane, truth_plane = two_planes(image, truth)
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
