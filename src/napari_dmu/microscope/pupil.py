"""The point spread function of a circular pupil: scalar Debye (Born–Wolf) diffraction, differentiable (docs/model.md).

Model
-----
The amplitude at a distance ρ from the axis in a plane at z from the focus is that of a uniformly filled pupil,

    U(ρ) = (1/π) ∬ exp(i k z √(n² − NA² t²)) exp(i k NA x ρ) dx dy      over the unit disk, t² = x² + y², k = 2π/λ.

It is *scalar* (no polarisation; at NA 0.8 a vectorial PSF is wider by some 17 %) and the phase of defocus is the
*exact* one, n·cos θ, not its paraxial expansion. The pupil is uniform in sin θ, without an apodisation factor, so that
in focus it is Airy's [2 J₁(v)/v]², v = k NA ρ, at any aperture (Born & Wolf, Principles of Optics, §8.5.2, §8.8).

Method
------
U is the Fourier transform of the pupil's projection onto a line (projection–slice theorem). That projection is a smooth
function times √(1 − u²): Gauss–Chebyshev quadrature of the second kind converges exponentially and needs nothing but
cosines, so every input has gradients of any order (torch's own Bessel functions have none).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dmu.errors import SettingsError

Scalar = float | Tensor

# Radii at which the amplitude is evaluated at once: bounds the memory.
_CHUNK = 16384
# Nodes of the quadrature over one pixel: enough for pixels of 100 λ/NA.
_NODES_MOST = 350


def _value(number: Scalar) -> float:
    return float(number.detach()) if isinstance(number, Tensor) else float(number)


def _as_tensor(*numbers: Scalar) -> tuple[Tensor, ...]:
    """The numbers as float64 tensors on one device, that of the first tensor among them."""
    device = next((n.device for n in numbers if isinstance(n, Tensor)), torch.device("cpu"))
    return tuple(torch.as_tensor(n, dtype=torch.float64, device=device) for n in numbers)


def check_optics(numerical_aperture: Scalar, wavelength: Scalar, pixel_size: Scalar, index: Scalar) -> None:
    """Refuse optics that cannot be.

    Raises
    ------
    SettingsError
        Something is not positive and finite, or the aperture is not below the index.
    """
    names = ("numerical aperture", "wavelength", "pixel size", "refractive index")
    for name, number in zip(names, (numerical_aperture, wavelength, pixel_size, index), strict=True):
        value = _value(number)
        if not (math.isfinite(value) and value > 0):
            raise SettingsError(f"The {name} is {value:g}: give a positive number.")
    if _value(numerical_aperture) >= _value(index):
        raise SettingsError(
            f"The numerical aperture ({_value(numerical_aperture):g}) must be below the immersion's index "
            f"({_value(index):g}): raise the index or lower the aperture."
        )


@lru_cache(maxsize=64)
def _legendre(count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gauss–Legendre nodes and weights on −1 … 1."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    return nodes, weights


def _defocus_phase(numerical_aperture: Scalar, wavelength: Scalar, index: Scalar, defocus: Scalar) -> float:
    """Phase between the centre and the rim of the pupil (radians), from detached values."""
    aperture, refraction = _value(numerical_aperture), _value(index)
    path = refraction - math.sqrt(max(refraction**2 - aperture**2, 0.0))
    return 2e3 * math.pi * abs(_value(defocus)) * path / _value(wavelength)


def intensity(
    distance: Tensor, numerical_aperture: Scalar, wavelength: Scalar, index: Scalar = 1.0, defocus: Scalar = 0.0
) -> Tensor:
    """Irradiance of a point source, as a density that integrates to 1 over the plane.

    Parameters
    ----------
    distance
        Distances ρ from the axis (µm), any shape.
    numerical_aperture
        NA, below ``index``.
    wavelength
        In vacuum (nm).
    index
        Refractive index of the immersion.
    defocus
        Distance z from the focus (µm).

    Returns
    -------
    Tensor
        Of the shape of ``distance``, float64 (1/µm²); π NA²/λ² on the axis in focus. Differentiable in every tensor.
    """
    rho, aperture, waves, refraction, z = _as_tensor(distance, numerical_aperture, wavelength, index, defocus)
    wave_number = 2e3 * math.pi / waves  # per µm
    blur = _defocus_phase(numerical_aperture, wavelength, index, defocus)
    reach = 2e3 * math.pi * _value(numerical_aperture) / _value(wavelength)
    reach *= float(rho.detach().abs().max()) if rho.numel() else 0.0
    # One node for every half oscillation of the integrand, of which defocus has most at the rim; the rest is for the
    # digits. The defocus phase has a branch point at t = n/NA, which comes close where NA nears n.
    steep = 1.0 if blur == 0 else 1.0 / math.sqrt(1.0 - (_value(numerical_aperture) / _value(index)) ** 2)
    digits = math.ceil(10 * min(steep, 8.0))
    half = math.ceil(0.25 * reach + 0.5 * blur) + digits
    angle = torch.arange(1, half + 1, dtype=torch.float64, device=rho.device) * (math.pi / (2 * half + 1))
    u, weight = torch.cos(angle), torch.sin(angle) ** 2 * (math.pi / (2 * half + 1))

    if blur == 0 and not isinstance(defocus, Tensor):
        projection = torch.stack([2.0 * weight, torch.zeros_like(weight)], dim=-1)
    else:
        nodes, weights = _legendre(2 * (math.ceil(0.5 * blur) + digits))
        across = torch.as_tensor(nodes[nodes > 0], dtype=torch.float64, device=rho.device)
        share = torch.as_tensor(2.0 * weights[nodes > 0], dtype=torch.float64, device=rho.device)
        squared = u[:, None] ** 2 + (1.0 - u[:, None] ** 2) * across**2
        # Relative to the centre of the pupil, which keeps the phase small and leaves the irradiance as it is.
        phase = wave_number * z * (torch.sqrt(refraction**2 - aperture**2 * squared) - refraction)
        rows = torch.stack([torch.cos(phase) @ share, torch.sin(phase) @ share], dim=-1)
        projection = weight[:, None] * rows
    # 2: the nodes at −u; π: the area of the unit disk.
    projection = projection * (2.0 / math.pi)
    scaled = (wave_number * aperture) * rho.reshape(-1)
    parts = [(torch.cos(part[:, None] * u) @ projection).square().sum(-1) for part in torch.split(scaled, _CHUNK)]
    peak = wave_number**2 * aperture**2 / (4.0 * math.pi)
    return (peak * torch.cat(parts)).reshape(rho.shape)


def _nodes_within_pixel(numerical_aperture: Scalar, wavelength: Scalar, pixel_size: Scalar) -> int:
    """Gauss–Legendre nodes that integrate the irradiance, which has no frequency above 2 NA/λ, over one pixel."""
    across = 4e3 * math.pi * _value(numerical_aperture) * _value(pixel_size) / _value(wavelength)
    return math.ceil(across / 4 + 2 * math.cbrt(across)) + 3


def born_wolf_energy(
    numerical_aperture: Scalar,
    wavelength: Scalar,
    pixel_size: Scalar,
    index: Scalar = 1.0,
    defocus: Scalar = 0.0,
    *,
    radius: int,
) -> Tensor:
    """Encircled energy: the part of the light within r + ½ pixels of the axis, for r = 0 … ``radius``.

    Units as in `born_wolf_kernel`. Returns (radius + 1,), float64, 0 … 1.
    """
    (pixel,) = _as_tensor(pixel_size)
    check_optics(numerical_aperture, wavelength, pixel_size, index)
    # Nodes crowd at the ends of a panel, so the bright spot on the axis is resolved whatever the pixel is.
    count = min(_nodes_within_pixel(numerical_aperture, wavelength, pixel_size), _NODES_MOST)
    nodes, weights = _legendre(count)
    # The innermost panel runs from 0 to ½, all others from r − ½ to r + ½.
    starts = np.maximum(np.arange(radius + 1) - 0.5, 0.0)
    widths = np.arange(radius + 1) + 0.5 - starts
    places = torch.as_tensor(starts[:, None] + widths[:, None] * (nodes + 1) / 2, device=pixel.device)
    area = torch.as_tensor(np.pi * widths[:, None] * weights, device=pixel.device) * places * pixel**2
    density = intensity(places * pixel, numerical_aperture, wavelength, index, defocus)
    return (density * area).sum(-1).cumsum(0)


def born_wolf_integrals(
    numerical_aperture: Scalar,
    wavelength: Scalar,
    pixel_size: Scalar,
    index: Scalar = 1.0,
    defocus: Scalar = 0.0,
    *,
    radius: int,
) -> Tensor:
    """The part of a point's light that falls on each specimen pixel; see `born_wolf_kernel`.

    Returns (K, K) with K = 2·radius + 1, float64; the sum is the energy within the kernel, at most 1.
    """
    check_optics(numerical_aperture, wavelength, pixel_size, index)
    (pixel,) = _as_tensor(pixel_size)
    count = _nodes_within_pixel(numerical_aperture, wavelength, pixel_size)
    if count > _NODES_MOST:
        raise SettingsError(
            f"Pixels of {_value(pixel_size):g} µm are too coarse for a point spread function of "
            f"NA {_value(numerical_aperture):g} at {_value(wavelength):g} nm: use none, or finer pixels."
        )
    nodes, weights = _legendre(count)
    line = torch.as_tensor((np.arange(radius + 1)[:, None] + nodes / 2).ravel(), device=pixel.device)
    share = torch.as_tensor(weights / 2, device=pixel.device)
    # The irradiance is that of one octant; the rest are its mirror images.
    side = len(line)
    rows, columns = torch.triu_indices(side, side, device=pixel.device)
    distance = torch.sqrt(line[rows] ** 2 + line[columns] ** 2)
    octant = intensity(distance * pixel, numerical_aperture, wavelength, index, defocus)
    lookup = torch.empty(side, side, dtype=torch.long, device=pixel.device)
    order = torch.arange(len(rows), device=pixel.device)
    lookup[rows, columns] = order
    lookup[columns, rows] = order
    fine = octant[lookup].reshape(radius + 1, count, radius + 1, count)
    quadrant = torch.einsum("aibj,i,j->ab", fine, share, share) * pixel**2
    mirror = torch.arange(-radius, radius + 1, device=pixel.device).abs()
    return quadrant[mirror][:, mirror]


def born_wolf_kernel(
    numerical_aperture: Scalar,
    wavelength: Scalar,
    pixel_size: Scalar,
    index: Scalar = 1.0,
    defocus: Scalar = 0.0,
    *,
    radius: int,
) -> Tensor:
    """Born–Wolf point spread function on specimen pixels, *integrated* over each pixel (not sampled at its centre).

    Integration is what a pixel does with the light that falls on it, and keeps the kernel right where the pixels are
    too coarse for the optics. It is by Gauss–Legendre quadrature, accurate to better than 1e-6 of the peak.

    Parameters
    ----------
    numerical_aperture
        NA, below ``index``.
    wavelength
        In vacuum (nm).
    pixel_size
        Of the specimen (µm).
    index
        Refractive index of the immersion.
    defocus
        Distance of the specimen from the focus (µm); both signs give the same kernel.
    radius
        The kernel ends this many pixels from its centre and is scaled to unit sum; `born_wolf_energy` says how much
        is cut off.

    Returns
    -------
    Tensor
        (K, K) with K = 2·radius + 1, unit sum, float64, on the device of the first tensor among the inputs.
        Differentiable in every input that is a tensor, except in ``radius``.

    Raises
    ------
    SettingsError
        Optics that cannot be; see `check_optics`.
    """
    kernel = born_wolf_integrals(numerical_aperture, wavelength, pixel_size, index, defocus, radius=radius)
    return kernel / kernel.sum()
