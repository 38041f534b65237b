"""Total variation with non-negativity, by the primal–dual method of Chambolle and Pock.

Minimises, over specimens 0 ≤ x ≤ ceiling,

    ½ Σ (A x − y)² / v  +  weight · Σ |∇x|

with v the variance of every sample, |∇x| isotropic, forward differences, reflecting borders. A. Chambolle, T. Pock,
A first-order primal-dual algorithm for convex problems with applications to imaging, J. Math. Imaging Vis. 40
(2011); the steps of the data's dual variable are T×T matrices per bin (T. Pock, A. Chambolle, ICCV 2011, extended
from diagonal ones), which whitens the patterns' common part without changing the minimiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.variational import Report, brightness, check_weight, prepared, ridge
from napari_dmu.reconstruction.whitening import bin_preconditioner, pattern_gram, per_bin, signal_variance, total

# The share of the step bound that goes to the data's dual variable; the gradient's has the rest.
DATA_SHARE = 0.5
# Primal step times the regularisation weight.
STEP = 0.02
CHECK_EVERY = 10


@dataclass(frozen=True)
class TotalVariationResult:
    """A total variation estimate and how it was reached.

    Attributes
    ----------
    image
        (Y, X), fluorescence density, non-negative.
    weight
        Regularisation weight in use.
    iterations
        Of the primal–dual method.
    gap
        Primal–dual gap relative to the primal objective: the objective is at most this fraction above its minimum.
    gaps
        The same at every tenth iteration.
    chi2
        Mean of (A x − y)² / v.
    converged
        Whether the gap came down to the tolerance.
    """

    image: Tensor
    weight: float
    iterations: int
    gap: float
    gaps: tuple[float, ...]
    chi2: float
    converged: bool


@torch.no_grad()
def total_variation(
    microscope: Microscope,
    signal: Tensor,
    field: tuple[int, int],
    *,
    variance: Tensor | None = None,
    weight: float | None = None,
    tolerance: float = 1e-2,
    max_iterations: int = 1500,
    report: Report | None = None,
) -> TotalVariationResult:
    """Total variation reconstruction of one plane; see the module for what is minimised.

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
        Of the total variation; ``noise_weight`` of the ridge estimate where not given.
    tolerance
        Stops at this primal–dual gap, relative to the objective.
    max_iterations
        Stops here at the latest; ``converged`` then is False.
    report
        Called with (iterations done, most iterations) in every iteration; may raise to stop the work.

    Raises
    ------
    SettingsError
        Where the signal does not fit the microscope and the field, or the weight is not positive.
    """
    signal, deviation = prepared(microscope, signal, field, variance)
    check_weight(weight)
    start = ridge(microscope, signal, field, variance=deviation**2, report=report).image.clamp_min(0)
    if weight is None:
        weight = noise_weight(start, microscope.acquisition)
    light = microscope.forward(signal.new_ones(field))
    ceiling = 2.0 * max(1.0, brightness(signal, light, deviation), float((signal / light.clamp_min(1e-6)).max()))
    data = signal / deviation

    def forward(image: Tensor) -> Tensor:
        return microscope.forward(image) / deviation

    def adjoint(samples: Tensor) -> Tensor:
        return microscope.adjoint(samples / deviation, field)

    tau = STEP / weight
    gram = pattern_gram(microscope)
    whiten = bin_preconditioner(gram, deviation, scale=tau, shift=1.0)

    def curvature(image: Tensor) -> Tensor:
        if report is not None:
            report(0, max_iterations)
        return adjoint(per_bin(whiten, forward(image)))

    theta = DATA_SHARE / (tau * _norm(curvature, start))
    # S(1 + S)⁻¹ of the step matrix S = θ·whiten: the proximal step of ½‖·‖² + ⟨data, ·⟩ in that metric.
    share = theta * bin_preconditioner(gram, deviation, scale=tau, shift=1.0 + theta)
    sigma = (1 - DATA_SHARE) / (8.0 * tau)

    image = best = start
    fitted, slope = forward(image), gradient(image)
    # From zero, not from the misfit: where it is large, the whitening would forget it only slowly.
    samples, edges = torch.zeros_like(data), torch.zeros_like(slope)
    ahead_fitted, ahead_slope = fitted, slope
    misfit = total((fitted - data).square())
    gaps: list[float] = []
    gap, lowest, highest, done = math.inf, math.inf, -math.inf, 0
    while done < max_iterations and gap > tolerance:
        samples = samples + per_bin(share, ahead_fitted - data - samples)
        edges = edges + sigma * ahead_slope
        edges = edges / (edges.square().sum(0).sqrt() / weight).clamp_min(1.0)
        pulled = adjoint(samples) + gradient_transposed(edges)
        image = (image - tau * pulled).clamp(0.0, ceiling)
        last_fitted, last_slope = fitted, slope
        fitted, slope = forward(image), gradient(image)
        ahead_fitted, ahead_slope = 2 * fitted - last_fitted, 2 * slope - last_slope
        done += 1
        if report is not None:
            report(done, max_iterations)
        if done % CHECK_EVERY == 0 or done == max_iterations:
            square = total((fitted - data).square())
            primal = 0.5 * square + weight * total(slope.square().sum(0).sqrt())
            # The last term is the least that the pixels can add within their bounds; without a ceiling it has none.
            dual = -total(0.5 * samples.square() + samples * data) - ceiling * total((-pulled).clamp_min(0))
            highest = max(highest, dual)
            if primal < lowest:
                lowest, best, misfit = primal, image, square
            gap = (lowest - highest) / max(abs(lowest), 1e-30)
            gaps.append(gap)
    chi2 = misfit / data.numel()
    return TotalVariationResult(best, weight, done, gap, tuple(gaps), chi2, gap <= tolerance)


def noise_weight(image: Tensor, acquisition: Acquisition) -> float:
    """Weight for an image like this one at the acquisition's noise: 0.0054 / (σ · mean |∇x|).

    2 / mean |∇x| is the weight under which the image's own gradients are most likely. As a maximum of the
    posterior it smooths far too much, the more so the stronger the noise; scaled by the signal-to-noise ratio 1/σ of
    one fully lit specimen pixel, with this one constant, it came within 0.6 dB of the best of the weights 0.1, 0.3, 1
    and 3 times as large on real nuclei at 50 to 1000 photons, ×16 to ×64. χ² is 0.1 to 0.6 there: with fewer samples
    than pixels an estimate fits better than the noise alone would, so the discrepancy principle (χ² = 1) smooths
    too much.
    """
    sigma = math.sqrt(float(signal_variance(torch.ones(()), acquisition)))
    mean = total(gradient(image).square().sum(0).sqrt()) / image.numel()
    return 0.0054 / (sigma * max(mean, 1e-6))


def gradient(image: Tensor) -> Tensor:
    """Forward differences, zero at the far borders: (Y, X) → (2, Y, X)."""
    slope = image.new_zeros(2, *image.shape)
    slope[0, :-1] = image[1:] - image[:-1]
    slope[1, :, :-1] = image[:, 1:] - image[:, :-1]
    return slope


def gradient_transposed(edges: Tensor) -> Tensor:
    """Transpose of ``gradient``: (2, Y, X) → (Y, X)."""
    down, across = edges[0, :-1], edges[1, :, :-1]
    image = torch.zeros_like(edges[0])
    image[1:] += down
    image[:-1] -= down
    image[:, 1:] += across
    image[:, :-1] -= across
    return image


def _norm(operator: Callable[[Tensor], Tensor], like: Tensor, iterations: int = 20) -> float:
    """Largest eigenvalue of a symmetric operator on images, by power iteration from a fixed random start."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(like.shape, generator=generator).to(like)
    value = 1.0
    for _ in range(iterations):
        image = operator(image / image.norm())
        value = float(image.norm())
    # The iteration comes from below.
    return 1.05 * max(value, 1e-30)
