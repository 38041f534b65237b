"""Point spread functions and the convolutions of both light paths (docs/model.md)."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal, get_args, overload

import torch
from torch import Tensor
from torch.nn import functional

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Psf
from napari_dmu.microscope.precision import full_precision
from napari_dmu.microscope.pupil import born_wolf_energy, born_wolf_kernel

ConvolveMethod = Literal["auto", "direct", "fft"]


# A kernel ends where it holds this part of the light, or at RADIUS pixels if it then holds at least ENERGY_LEAST; one
# that is wider still (strong defocus, very fine pixels) may grow to RADIUS_MOST.
ENERGY, ENERGY_LEAST = 0.99, 0.95
RADIUS, RADIUS_MOST = 32, 128

# Cost of an FFT convolution in multiplications per sample and per doubling of the number of samples; measured on a CPU
# with images of 128² and 512², K = 3 … 65.
FFT_COST = 2.5


@overload
def gaussian_sigma(numerical_aperture: float, wavelength: float, pixel_size: float) -> float: ...
@overload
def gaussian_sigma(
    numerical_aperture: float | Tensor, wavelength: float | Tensor, pixel_size: float | Tensor
) -> float | Tensor: ...
def gaussian_sigma(
    numerical_aperture: float | Tensor, wavelength: float | Tensor, pixel_size: float | Tensor
) -> float | Tensor:
    """Width of the Gaussian that is nearest to the Airy pattern of an objective in focus.

    σ = 0.21 λ/NA is the least-squares fit in the plane with equal peaks (Zhang, Zerubia, Olivo-Marin, Applied Optics
    46:1819, 2007, two-dimensional paraxial widefield). Equal peaks *and* equal volumes would give √2/(2π) λ/NA =
    0.225 λ/NA. No Gaussian has the rings, which hold 16 % of the light.

    Parameters
    ----------
    numerical_aperture, wavelength, pixel_size
        NA; wavelength in vacuum (nm); specimen pixel (µm). Tensors keep their gradients.

    Returns
    -------
    float or Tensor
        Standard deviation (specimen pixels).
    """
    return 0.21e-3 * wavelength / numerical_aperture / pixel_size


def gaussian_kernel(
    sigma: float | Tensor, *, truncate: float = 4.0, radius: int | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Sampled Gaussian of unit sum.

    Parameters
    ----------
    sigma
        Standard deviation (specimen pixels); 0 gives a single one. As a tensor it may require a gradient.
    truncate
        Radius of the kernel in units of ``sigma``.
    radius
        Radius of the kernel in pixels, in place of ``truncate``; give it where ``sigma`` changes, so that the
        kernel's size does not.

    Returns
    -------
    Tensor
        (K,) with odd K, unit sum; the two-dimensional kernel is its outer product.

    Raises
    ------
    SettingsError
        ``sigma`` is negative or not finite.
    """
    if radius is None:
        width = float(sigma.detach()) if isinstance(sigma, Tensor) else sigma
        if not 0 <= width < math.inf:
            raise SettingsError(f"The width of the Gaussian is {width:g} pixels: give zero or more.")
        radius = math.ceil(truncate * width)
    device = sigma.device if isinstance(sigma, Tensor) else torch.device("cpu")
    width_or_least = torch.as_tensor(sigma, dtype=torch.float64, device=device).clamp_min(1e-3)
    x = torch.arange(-radius, radius + 1, dtype=torch.float64, device=device)
    weights = torch.exp(-0.5 * (x / width_or_least) ** 2)
    return (weights / weights.sum()).to(dtype)


def born_wolf_radius(psf: Psf) -> int:
    """Radius (specimen pixels) at which a Born–Wolf kernel may end; see `psf_kernel`.

    Raises
    ------
    SettingsError
        The light is spread over more than ``RADIUS_MOST`` pixels.
    """
    optics = (psf.numerical_aperture, psf.wavelength, psf.pixel_size, psf.index, psf.defocus)
    # Coarse pixels need one or two rings, and are costly to integrate over more.
    for limit, wanted in ((1, ENERGY), (RADIUS, ENERGY), (RADIUS_MOST, ENERGY_LEAST)):
        energy = born_wolf_energy(*optics, radius=limit)
        enough = torch.nonzero(energy >= wanted)
        if len(enough):
            return int(enough[0])
        if limit >= RADIUS and float(energy[-1]) >= ENERGY_LEAST:
            return limit
    raise SettingsError(
        f"The point spread function is more than {RADIUS_MOST} pixels wide on either side "
        f"(NA {psf.numerical_aperture:g}, {psf.wavelength:g} nm, {psf.defocus:g} µm out of focus, pixels of "
        f"{psf.pixel_size:g} µm): "
        "lower the defocus or use coarser pixels."
    )


def _measured_kernel(rows: tuple[tuple[float, ...], ...]) -> Tensor:
    kernel = torch.tensor(rows, dtype=torch.float64, device="cpu")
    total = float(kernel.sum())
    if not (math.isfinite(total) and total > 0):
        raise SettingsError(
            f"The measured point spread function sums to {total:g}: it needs a positive sum, so read it from a file "
            "with a bright spot."
        )
    return kernel / total


@lru_cache(maxsize=32)
def _kernel(psf: Psf) -> Tensor:
    # The result is shared by all callers: it must carry no graph and must not be an inference tensor.
    with torch.inference_mode(False), torch.no_grad():
        if psf.kind == "measured":
            return _measured_kernel(psf.kernel or ())
        if psf.kind == "born_wolf":
            optics = (psf.numerical_aperture, psf.wavelength, psf.pixel_size, psf.index, psf.defocus)
            radius = born_wolf_radius(psf)
            # Nearly all light within one pixel needs no integration.
            return born_wolf_kernel(*optics, radius=radius) if radius else torch.ones(1, 1, dtype=torch.float64)
        profile = gaussian_kernel(0.0 if psf.kind == "none" else psf.sigma, dtype=torch.float64)
        return torch.outer(profile, profile)


def psf_kernel(psf: Psf, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Kernel of a point spread function.

    Parameters
    ----------
    psf
        ``"none"`` is a single one; ``"gaussian"`` is sampled out to 4 σ; ``"born_wolf"`` is integrated over each pixel
        (`born_wolf_kernel`); ``"measured"`` is the user's, scaled to unit sum.

    Returns
    -------
    Tensor
        (K, K), odd K, unit sum, centred; on the CPU.

    Raises
    ------
    SettingsError
        The optics cannot be, a measured kernel has no positive sum, or a Born–Wolf kernel is too wide.

    Warnings
    --------
    A Born–Wolf PSF has no end: the encircled energy of an Airy pattern nears 1 only as 1 − λ/(π² NA ρ). The kernel
    ends where it holds 99 % of the light, at most 32 pixels from the centre if that holds 95 %, and what is cut off is
    spread over the rest by the scaling to unit sum. Only where 32 pixels hold less, as with strong defocus, does the
    kernel grow, up to 128 pixels.
    """
    # A copy, lest a caller who changes the kernel in place changes everybody's.
    return _kernel(psf).to(dtype, copy=True)


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


def _is_by_fft(image: tuple[int, int], kernel: tuple[int, int], padded: tuple[int, int]) -> bool:
    """Whether an FFT needs fewer multiplications than the direct sum."""
    samples, extended = image[0] * image[1], padded[0] * padded[1]
    return FFT_COST * extended * math.log2(max(extended, 2)) < kernel[0] * kernel[1] * samples


def convolve(image: Tensor, kernel: Tensor, *, method: ConvolveMethod = "auto") -> Tensor:
    """True convolution with zeros beyond the border, same size.

    Parameters
    ----------
    image
        (N, Y, X).
    kernel
        (K, L), both odd; it may exceed the image.
    method
        ``"direct"``, ``"fft"``, or ``"auto"`` for the one that costs less; both agree to rounding.

    Returns
    -------
    Tensor
        (N, Y, X).

    Raises
    ------
    SettingsError
        The kernel has no centre, or the method is none of the three.
    """
    height, width = int(kernel.shape[0]), int(kernel.shape[1])
    if height % 2 == 0 or width % 2 == 0:
        raise SettingsError(f"The kernel is {height} × {width}: give it odd sides, so that it has a centre.")
    if method not in get_args(ConvolveMethod):
        raise SettingsError(f"There is no method '{method}' of convolution: use auto, direct or fft.")
    rows, columns = int(image.shape[-2]), int(image.shape[-1])
    down, across = height // 2, width // 2
    # What wraps round at the far end is cut off, so half the kernel is padding enough.
    shape = (_fast_size(rows + down), _fast_size(columns + across))
    if method == "auto":
        method = "fft" if _is_by_fft((rows, columns), (height, width), shape) else "direct"
    if method == "direct":
        # conv2d correlates, so the kernel is turned round.
        turned = kernel.flip(0, 1)[None, None].to(image)
        with full_precision(image.device):
            direct: Tensor = functional.conv2d(image[:, None], turned, padding=(down, across))[:, 0]
        return direct
    if height > shape[0] or width > shape[1]:
        shape = (_fast_size(max(rows + down, height)), _fast_size(max(columns + across, width)))
    spectrum = torch.fft.rfft2(image, s=shape) * torch.fft.rfft2(kernel.to(image), s=shape)
    full: Tensor = torch.fft.irfft2(spectrum, s=shape)
    return full[:, down : down + rows, across : across + columns]


@lru_cache(maxsize=256)
def _fast_size(size: int) -> int:
    """The next size whose only prime factors are 2, 3 and 5."""
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1
