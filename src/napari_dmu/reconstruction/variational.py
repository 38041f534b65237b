"""Classical linear inverse: ridge with a smoothness prior, by preconditioned conjugate gradients.

Minimises, over the specimen x,

    Σ (A x − y)² / v  +  weight · ( ‖∇(x − mean)‖² + κ² ‖x − mean‖² )

with v the variance of every sample. The minimiser is mean + C Aᵀ (A C Aᵀ + v)⁻¹ (y − A mean), where C is the
inverse of the second form (reflecting borders), diagonal under the cosine transform. The system for the samples is
solved: it is d²/T times smaller than the one for the pixels, and per-bin whitening takes its bad directions away.
It is also the linear minimum mean square error estimate for specimens with covariance C.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.whitening import bin_preconditioner, pattern_gram, per_bin, signal_variance, total

# Called with (iterations done, most iterations); may raise to stop the work.
Report = Callable[[int, int], None]
# Length over which specimens are alike (pixels): 1/κ.
CORRELATION_LENGTH = 32.0


@dataclass(frozen=True)
class RidgeResult:
    """A ridge estimate and how it was reached.

    Attributes
    ----------
    image
        (Y, X), fluorescence density.
    weight
        Regularisation weight in use.
    iterations
        Of the conjugate gradients.
    residual
        Norm of the last residual of the normal equations over that of the first.
    """

    image: Tensor
    weight: float
    iterations: int
    residual: float


@torch.no_grad()
def ridge(
    microscope: Microscope,
    signal: Tensor,
    field: tuple[int, int],
    *,
    variance: Tensor | None = None,
    weight: float | None = None,
    tolerance: float = 1e-3,
    max_iterations: int = 200,
    report: Report | None = None,
) -> RidgeResult:
    """Ridge reconstruction of one plane.

    Parameters
    ----------
    microscope
        The linear operator.
    signal
        (T, y, x), linear signal with noise (0 … d²).
    field
        (Y, X).
    variance
        (T, y, x) of the samples; from the signal and the acquisition's detector where not given.
    weight
        Of the smoothness. Where not given: the most likely one if the T samples of each bin are Gaussian with the
        covariance that the prior and the noise give them (composite marginal likelihood, deterministic).
    tolerance
        Stops at this residual of the normal equations, relative to the first.
    report
        Called in every iteration; may raise to stop the work.

    Raises
    ------
    SettingsError
        Where the signal does not fit the microscope and the field, or the weight is not positive.
    """
    signal, deviation = prepared(microscope, signal, field, variance)
    check_weight(weight)
    light = microscope.forward(signal.new_ones(field))
    mean = brightness(signal, light, deviation)
    data = (signal - mean * light) / deviation
    gram = pattern_gram(microscope, _local_covariance)
    if weight is None:
        weight = 1.0 / _likeliest_scale(gram, data, deviation)
    prior = SmoothPrior(field, signal)

    def spread(samples: Tensor) -> Tensor:
        return prior.covariance(microscope.adjoint(samples / deviation, field)) / weight

    inverse = bin_preconditioner(gram, deviation, scale=1.0 / weight, shift=1.0)
    solution = torch.zeros_like(data)
    residual = data
    whitened = per_bin(inverse, residual)
    direction = whitened
    energy = first = total(residual * whitened)
    done = 0
    while done < max_iterations and energy > tolerance**2 * first:
        if report is not None:
            report(done, max_iterations)
        product = microscope.forward(spread(direction)) / deviation + direction
        step = energy / total(direction * product)
        solution = solution + step * direction
        residual = residual - step * product
        whitened = per_bin(inverse, residual)
        before, energy = energy, total(residual * whitened)
        direction = whitened + (energy / before) * direction
        done += 1
    image = spread(solution) + mean
    return RidgeResult(image, weight, done, math.sqrt(energy / first) if first > 0 else 0.0)


class SmoothPrior:
    """The covariance (DᵀD + κ²)⁻¹, D the forward differences with reflecting borders."""

    def __init__(self, field: tuple[int, int], like: Tensor) -> None:
        down, across = (
            2.0 - 2.0 * torch.cos(math.pi * torch.arange(n, dtype=like.dtype, device=like.device) / n) for n in field
        )
        self._spectrum = down[:, None] + across[None, :] + CORRELATION_LENGTH**-2

    def covariance(self, image: Tensor) -> Tensor:
        """(Y, X) → (Y, X)."""
        return _cosine_inverse(_cosine(image) / self._spectrum)


def prepared(
    microscope: Microscope, signal: Tensor, field: tuple[int, int], variance: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Signal and its standard deviation in the microscope's type and on its device, checked."""
    a = microscope.acquisition
    expected = (a.exposures, *a.bins(field))
    if tuple(signal.shape) != expected:
        raise SettingsError(
            f"The signal has shape {tuple(signal.shape)} but the field {field} needs (T, y, x) = {expected}: "
            "use a measurement and a field that belong together."
        )
    signal = signal.to(microscope.patterns)
    spread = signal_variance(signal, a) if variance is None else variance.to(signal).expand_as(signal)
    return signal, spread.sqrt()


def check_weight(weight: float | None) -> None:
    """Refuse a regularisation weight that is not positive."""
    if weight is not None and not (weight > 0 and math.isfinite(weight)):
        raise SettingsError(f"The regularisation weight is {weight:g}: choose a positive number.")


def brightness(signal: Tensor, light: Tensor, deviation: Tensor) -> float:
    """The constant specimen that fits the signal best, where ``light`` is the signal of a specimen of ones."""
    fit = total(signal * light / deviation**2) / max(total((light / deviation) ** 2), 1e-30)
    return max(fit, 0.0)


def _local_covariance(windows: Tensor) -> Tensor:
    """The prior's covariance without borders, on small images (N, side, side)."""
    side = windows.shape[-1]
    size = side + int(8 * CORRELATION_LENGTH)
    frequency = 2.0 * math.pi * torch.arange(size, dtype=windows.dtype, device=windows.device) / size
    wave = 2.0 - 2.0 * torch.cos(frequency)
    spectrum = wave[:, None] + wave[None, : size // 2 + 1] + CORRELATION_LENGTH**-2
    full: Tensor = torch.fft.irfft2(torch.fft.rfft2(windows, s=(size, size)) / spectrum, s=(size, size))
    return full[..., :side, :side]


def _likeliest_scale(gram: Tensor, data: Tensor, deviation: Tensor) -> float:
    """Scale of the prior's covariance under which the samples of the bins are most likely."""
    exposures, rows, columns = data.shape
    cells = gram.shape[0]
    # Noise is taken as equal within an exposure of a place, so that one decomposition serves all scales.
    best, log_scale = math.inf, 0.0
    parts = []
    for i in range(min(cells, rows)):
        for j in range(min(cells, columns)):
            noise = deviation[:, i::cells, j::cells].square().mean((-1, -2)).sqrt().cpu().double()
            samples = (data * deviation)[:, i::cells, j::cells].reshape(exposures, -1).cpu().double()
            matrix = gram[i, j].cpu().double() / (noise[:, None] * noise[None, :])
            values, vectors = torch.linalg.eigh(matrix)
            energy = (vectors.T @ (samples / noise[:, None])).square()
            parts.append((values.clamp_min(0), energy.sum(1), energy.shape[1]))
    for step in range(-80, 81):
        scale = 10.0 ** (step / 10)
        cost = sum(
            float((count * torch.log1p(scale * values) + energy / (1 + scale * values)).sum())
            for values, energy, count in parts
        )
        if cost < best:
            best, log_scale = cost, step / 10
    return float(10.0**log_scale)


def _cosine(image: Tensor) -> Tensor:
    """Unnormalised two-dimensional DCT-II of (Y, X)."""
    for axis in (0, 1):
        size = image.shape[axis]
        even = torch.cat([image, image.flip(axis)], dim=axis)
        turn = _turn(size, axis, image)
        image = (torch.fft.rfft(even, dim=axis).narrow(axis, 0, size) * turn).real
    return image


def _cosine_inverse(spectrum: Tensor) -> Tensor:
    """Inverse of ``_cosine``."""
    for axis in (0, 1):
        size = spectrum.shape[axis]
        turned = spectrum * _turn(size, axis, spectrum).conj()
        # The bin at the Nyquist frequency of an even extension is zero.
        padded = torch.cat([turned, torch.zeros_like(turned.narrow(axis, 0, 1))], dim=axis)
        spectrum = torch.fft.irfft(padded, n=2 * size, dim=axis).narrow(axis, 0, size)
    return spectrum


def _turn(size: int, axis: int, like: Tensor) -> Tensor:
    """Half-sample phases, along one axis of two."""
    angle = -math.pi * torch.arange(size, dtype=like.dtype, device=like.device) / (2 * size)
    return torch.polar(torch.ones_like(angle), angle).unsqueeze(1 - axis)
