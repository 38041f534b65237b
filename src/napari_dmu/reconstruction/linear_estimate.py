"""The linear minimum mean square error estimate in closed form, differentiable in the patterns.

For a stationary specimen every moment that the estimate needs is an inner product of the microscope's windows with
themselves, filtered by the specimen's autocovariance. That takes milliseconds for a whole pattern period, so patterns
can be searched on it directly.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.detector import electrons_variance
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.optics import psf_kernel
from napari_dmu.reconstruction.lifting import Lifting
from napari_dmu.reconstruction.specimen_statistics import SpecimenStatistics

_LEAST_REACH = 96


class LinearEstimate:
    """Error and map of the LMMSE estimate of a period cell from the samples of cells × cells period cells.

    Parameters
    ----------
    acquisition
        Geometry, PSFs and noise. Saturation and registration errors are left out.
    statistics
        Of the specimen, pooled by ``pixel``, out to ``LinearEstimate.reach``.
    cells
        3: what the decoder's lifting reads; 1: the own cell alone.
    pixel
        The specimen is taken as constant over ``pixel`` × ``pixel`` specimen pixels. The patterns and PSFs keep their
        full resolution. Divides the period.

    Notes
    -----
    With y = A x + n: W = C_x Aᵀ (A C_x Aᵀ + C_n)⁻¹ and MSE = tr(C_x) − tr(W A C_x), S. M. Kay, Fundamentals of
    Statistical Signal Processing I, 1993, ch. 12. C_n is diagonal: shot noise at the mean signal, read noise, rounding.
    """

    def __init__(
        self, acquisition: Acquisition, statistics: SpecimenStatistics, *, cells: int = 3, pixel: int = 1
    ) -> None:
        if cells not in (1, 3):
            raise SettingsError(f"An estimate from {cells} × {cells} cells is not possible: use 1 or 3.")
        if acquisition.period % pixel:
            raise SettingsError(
                f"The period ({acquisition.period}) is no multiple of the pooling ({pixel}): use a divisor of it."
            )
        self.acquisition = acquisition
        self.statistics = statistics
        self.cells = cells
        self.pixel = pixel
        self.cell = acquisition.period // pixel
        self.margin, self.canvas = _canvas(acquisition, pixel)
        self.size = 2 * self.reach(acquisition, pixel=pixel)
        self.spectrum = statistics.grid(self.size)
        # A trace above the statistics' own where their spectrum was not positive; so the error never is below zero.
        self.variance = float(torch.fft.irfft2(self.spectrum, s=(self.size, self.size))[0, 0])

    @staticmethod
    def reach(acquisition: Acquisition, *, pixel: int = 1) -> int:
        """Displacement in pooled pixels out to which the statistics must be known."""
        needed = 2 * (acquisition.period // pixel) + _canvas(acquisition, pixel)[1]
        # What is transformed is twice as wide and periodic, so the farthest displacements do not meet. Where it is
        # narrow, the kink at which its ends join makes an error that counts at small ratios.
        return _fast(2 * max(needed, _LEAST_REACH // pixel)) // 2

    def error(self, patterns: Tensor) -> Tensor:
        """Mean squared error per specimen pixel of patterns (T, P, P), float64; with a gradient."""
        gram, cross = self._moments(patterns)
        factor = torch.linalg.cholesky(gram)
        # ‖L⁻¹ C_yx‖² = tr(C_xy C_yy⁻¹ C_yx)
        explained = torch.linalg.solve_triangular(factor, cross, upper=False).square().sum() / cross.shape[1]
        error: Tensor = self.variance + self.statistics.lost - explained
        return error

    @torch.no_grad()
    def lifting(self, patterns: Tensor) -> Lifting:
        """The estimate as the decoder's lifting; only at full resolution and with 3×3 cells.

        It reads signals divided by d², as `Decoder` hands them over.
        """
        if self.pixel != 1 or self.cells != 3:
            raise SettingsError("A lifting needs 3×3 cells at the specimen's own pixels: use cells=3 and pixel=1.")
        a = self.acquisition
        gram, cross = self._moments(patterns.double())
        weights = torch.cholesky_solve(cross, torch.linalg.cholesky(gram)).T
        mean = self._mean_signal(self._windows(patterns.double())).repeat(self.cells**2)
        lifting = Lifting(a.exposures, a.bin, a.period)
        assert lifting.linear.bias is not None
        lifting.linear.weight.copy_(weights[..., None, None] * a.bin**2)
        lifting.linear.bias.copy_(self.statistics.mean - weights @ mean)
        return lifting

    def _windows(self, patterns: Tensor) -> Tensor:
        """Windows of the T·m² samples of a cell on one pooled canvas: (T·m², n, n)."""
        a, m = self.acquisition, self.acquisition.period // self.acquisition.bin
        windows = Microscope(patterns.double(), a).windows()
        side = windows.shape[-1]
        radius = (side - a.bin) // 2
        full, first = self.canvas * self.pixel, self.margin * self.pixel - radius
        placed = [
            functional.pad(
                windows[:, i, j],
                (left := first + j * a.bin, full - left - side, top := first + i * a.bin, full - top - side),
            )
            for i, j in product(range(m), repeat=2)
        ]
        canvas = torch.stack(placed, dim=1).flatten(0, 1)
        return functional.avg_pool2d(canvas, self.pixel) * self.pixel**2

    def _mean_signal(self, windows: Tensor) -> Tensor:
        return self.statistics.mean * windows.sum((-2, -1))

    def _moments(self, patterns: Tensor) -> tuple[Tensor, Tensor]:
        """C_yy with noise (9K, 9K) and C_yx (9K, p²), K = T·m² samples a cell, p² pooled pixels of the centre."""
        windows = self._windows(patterns)
        count, n, p = windows.shape[0], self.canvas, self.cell
        spread = torch.fft.irfft2(
            torch.fft.rfft2(windows, s=(self.size, self.size)) * self.spectrum, s=(self.size, self.size)
        )
        # From two cells before the canvas to two cells after it.
        places = torch.arange(-2 * p, 2 * p + n) % self.size
        near = spread[:, places][:, :, places]
        shifted = near.unfold(1, n, p).unfold(2, n, p)  # (K, 5, 5, n, n)
        pairs = torch.einsum("iabuv,juv->abij", shifted, windows)
        cells = torch.arange(self.cells)
        apart = cells[None, :] - cells[:, None] + 2
        # (from row, from column, to row, to column, K, K): covariance of the samples of two cells.
        blocks = pairs[apart[:, None, :, None], apart[None, :, None, :]]
        total = self.cells**2 * count
        gram = blocks.permute(0, 1, 4, 2, 3, 5).reshape(total, total)
        signal = self._mean_signal(windows)
        a = self.acquisition
        noise = electrons_variance(signal, a) / (a.quantum_efficiency * a.photons) ** 2
        # The trace of damping guards samples that never vary (a dark pattern, a detector without noise).
        damping = 1e-12 * (gram.diagonal().mean() + 1e-30)
        gram = (gram + gram.T) / 2 + torch.diag(noise.repeat(self.cells**2) + damping)
        start = 2 * p + self.margin - (self.cells // 2) * p
        middle = near[:, start : start + self.cells * p, start : start + self.cells * p]
        middle = middle.reshape(count, self.cells, p, self.cells, p).flip(1, 3)
        return gram, middle.permute(1, 3, 0, 2, 4).reshape(total, p * p)


def _canvas(acquisition: Acquisition, pixel: int) -> tuple[int, int]:
    """Margin of the canvas of a cell's windows and its side, pooled pixels."""
    radius = psf_kernel(acquisition.emission).shape[0] // 2
    margin = -(-radius // pixel)
    return margin, acquisition.period // pixel + 2 * margin


def _fast(size: int) -> int:
    """The next even size whose only prime factors are 2, 3 and 5."""
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1 and size % 2 == 0:
            return size
        size += 1
