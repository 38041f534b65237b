"""The compressive microscope as a linear operator: specimen → signal on the detector (DESIGN §3)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.optics import convolve_periodic, psf_kernel, reflect_index


class Microscope:
    """Linear map from a specimen to the T noise-free compressed frames, with its exact adjoint.

    The specimen is extended by reflection, to whole pattern periods and by the reach of the emission PSF; the
    illumination goes on periodically. Blur and binning are one strided convolution with the kernel
    (emission PSF * box of d×d), which is exact and leaves out every value that binning would throw away.

    Parameters
    ----------
    patterns
        (T, P, P) illumination patterns, 0 … 1. May require a gradient.
    acquisition
        Geometry and point spread functions; the detector's settings are not used here.

    Notes
    -----
    Works in the patterns' floating type and on their device.
    """

    def __init__(self, patterns: Tensor, acquisition: Acquisition) -> None:
        expected = (acquisition.exposures, acquisition.period, acquisition.period)
        if tuple(patterns.shape) != expected:
            raise SettingsError(
                f"The patterns have shape {tuple(patterns.shape)} but the acquisition needs (T, P, P) = {expected}: "
                "use patterns and settings that belong together."
            )
        if not patterns.is_floating_point():
            patterns = patterns.to(torch.float32)
        self.acquisition = acquisition
        self.patterns = patterns
        self.illumination = convolve_periodic(patterns, psf_kernel(acquisition.excitation, dtype=patterns.dtype))
        emission = psf_kernel(acquisition.emission, dtype=patterns.dtype).to(patterns.device)
        box = torch.ones(1, 1, acquisition.bin, acquisition.bin, dtype=patterns.dtype, device=patterns.device)
        reach = emission.shape[0] - 1
        # conv2d correlates; with a full overlap on both sides this is h_em * box, of side d + K - 1.
        self._kernel = functional.conv2d(box, emission[None, None], padding=reach)
        self._radius = reach // 2

    def forward(self, specimen: Tensor) -> Tensor:
        """Noise-free signal of every exposure.

        Parameters
        ----------
        specimen
            (..., Y, X), fluorescence density 0 … 1; any field size.

        Returns
        -------
        Tensor
            (..., T, ⌈Y/d⌉, ⌈X/d⌉), in units of one fully lit specimen pixel (0 … d²).
        """
        field = (specimen.shape[-2], specimen.shape[-1])
        lead = specimen.shape[:-2]
        planes = specimen.reshape(-1, *field).to(self.patterns.dtype)
        extended = self._extend(planes)
        lit = self._tile(extended.shape[-2], extended.shape[-1])
        frames = [self._expose(extended * lit[t]) for t in range(self.acquisition.exposures)]
        rows, columns = self.acquisition.bins(field)
        signal = torch.stack(frames, dim=1)[..., :rows, :columns]
        return signal.reshape(*lead, self.acquisition.exposures, rows, columns)

    def adjoint(self, signal: Tensor, field: tuple[int, int]) -> Tensor:
        """Exact transpose of ``forward`` for a field of (Y, X): (..., T, y, x) → (..., Y, X)."""
        specimen = torch.zeros(*signal.shape[:-3], *field, dtype=self.patterns.dtype, device=self.patterns.device)
        pull_back = torch.func.vjp(self.forward, specimen)[1]
        image: Tensor = pull_back(signal.to(self.patterns.dtype))[0]
        return image

    def _extend(self, planes: Tensor) -> Tensor:
        """Reflect (N, Y, X) to whole periods plus the emission PSF's reach on every side."""
        for axis in (-2, -1):
            size = planes.shape[axis]
            whole = math.ceil(size / self.acquisition.period) * self.acquisition.period
            index = reflect_index(-self._radius, whole + self._radius, size, planes.device)
            planes = planes.index_select(axis % planes.ndim, index)
        return planes

    def _tile(self, rows: int, columns: int) -> Tensor:
        """Illumination over the extended field: (T, rows, columns)."""
        period, device = self.acquisition.period, self.illumination.device
        row = (torch.arange(rows, device=device) - self._radius) % period
        column = (torch.arange(columns, device=device) - self._radius) % period
        return self.illumination[:, row][:, :, column]

    def _expose(self, emission: Tensor) -> Tensor:
        """Blur by the emission PSF and sum over bins: (N, Y', X') → (N, y, x)."""
        return functional.conv2d(emission[:, None], self._kernel, stride=self.acquisition.bin)[:, 0]


def dose(patterns: Tensor) -> tuple[float, float]:
    """Light dose of a sequence in full-on exposures: (Σ_t mean(H_t), max over pixels of Σ_t H_t)."""
    total = patterns.to(torch.float64).sum(0)
    return float(total.mean()), float(total.max())
