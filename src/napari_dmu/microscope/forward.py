"""The compressive microscope as a linear operator: specimen → signal on the detector (DESIGN §3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.illumination import displaced, excited, is_aligned, registration_tensor
from napari_dmu.microscope.optics import convolve, psf_kernel, reflect_index

# Multiplications per specimen pixel and exposure above which the emission blur is cheaper by FFT; measured on
# a CPU with fields of 512², d = 2 … 32.
FFT_ABOVE = 100.0


class Microscope:
    """Linear map from a specimen to the T noise-free compressed frames, with its exact adjoint.

    The specimen is extended by reflection, to whole pattern periods and by the reach of the emission PSF; the
    illumination goes on periodically. Illumination, blur and binning are one strided convolution: with the
    kernel (emission PSF * box of d×d) ⊙ illumination it is exact, needs no image per exposure, and leaves out
    every value that binning would throw away.

    Parameters
    ----------
    patterns
        (T, P, P) illumination patterns, 0 … 1. May require a gradient.
    acquisition
        Geometry, point spread functions, DMD; the detector's settings are not used here.
    registration
        (4,) shift y, shift x (specimen pixels), rotation (radians), scale, in place of the acquisition's; may
        require a gradient.

    Notes
    -----
    Works in the patterns' floating type and on their device, under ``torch.func`` and ``torch.compile``.
    """

    def __init__(self, patterns: Tensor, acquisition: Acquisition, *, registration: Tensor | None = None) -> None:
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
        self.illumination = excited(patterns, acquisition)
        self.registration = registration
        if registration is None and not is_aligned(acquisition.registration):
            self.registration = registration_tensor(acquisition.registration, patterns)
        self._emission = psf_kernel(acquisition.emission, dtype=patterns.dtype).to(patterns.device)
        self._radius = self._emission.shape[0] // 2
        box = torch.ones(1, 1, acquisition.bin, acquisition.bin, dtype=patterns.dtype, device=patterns.device)
        # conv2d correlates; with a full overlap on both sides this is h_em * box, of side d + K - 1.
        self._kernel = functional.conv2d(box, self._emission[None, None], padding=2 * self._radius)[0, 0]

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
        extended = self._extend(specimen.reshape(-1, *field).to(self.patterns.dtype))
        # Multiplications per specimen pixel and exposure of the strided convolution.
        taps = (1 + 2 * self._radius / self.acquisition.bin) ** 2
        if self.registration is None and taps <= FFT_ABOVE:
            signal = self._fused(extended)
        else:
            signal = self._exposed(extended, field, by_fft=taps > FFT_ABOVE)
        rows, columns = self.acquisition.bins(field)
        return signal[..., :rows, :columns].reshape(*lead, self.acquisition.exposures, rows, columns)

    def adjoint(self, signal: Tensor, field: tuple[int, int]) -> Tensor:
        """Exact transpose of ``forward`` for a field of (Y, X): (..., T, y, x) → (..., Y, X)."""
        specimen = torch.zeros(*signal.shape[:-3], *field, dtype=self.patterns.dtype, device=self.patterns.device)
        pull_back = torch.func.vjp(self.forward, specimen)[1]
        image: Tensor = pull_back(signal.to(self.patterns.dtype))[0]
        return image

    def gram(self, specimen: Tensor) -> Tensor:
        """AᵀA of a specimen: (..., Y, X) → (..., Y, X)."""
        pulled = torch.func.vjp(self.forward, specimen)
        image: Tensor = pulled[1](pulled[0])[0]
        return image

    @torch.no_grad()
    def norm(self, field: tuple[int, int], *, iterations: int = 30) -> float:
        """Largest singular value on a field of (Y, X), by power iteration from a positive start.

        All weights are positive, so the leading singular vector is positive too (Perron–Frobenius) and the
        start is never orthogonal to it.
        """
        image: Tensor = torch.ones(field, dtype=self.patterns.dtype, device=self.patterns.device)
        value = torch.zeros(())
        for _ in range(iterations):
            image = self.gram(image / image.norm())
            value = image.norm()
        return float(value.sqrt())

    def _extend(self, planes: Tensor) -> Tensor:
        """Reflect (N, Y, X) to whole periods plus the emission PSF's reach on every side."""
        period, radius = self.acquisition.period, self._radius
        ends = [-size % period + radius for size in planes.shape[-2:]]
        if all(end < size for end, size in zip(ends, planes.shape[-2:], strict=True)):
            pads = (radius, ends[1], radius, ends[0])
            return functional.pad(planes[:, None], pads, mode="reflect")[:, 0]
        # More than one mirror image is needed.
        for axis, end in zip((1, 2), ends, strict=True):
            index = reflect_index(-radius, planes.shape[axis] + end, planes.shape[axis], planes.device)
            planes = planes.index_select(axis, index)
        return planes

    def _fused(self, extended: Tensor) -> Tensor:
        """Illuminate, blur and bin in one strided convolution per place of a bin within the period."""
        a, side = self.acquisition, self._kernel.shape[0]
        cells = a.period // a.bin
        places = (torch.arange(side, device=self.illumination.device) - self._radius) % a.period
        outputs = []
        for row in range(cells):
            for column in range(cells):
                down, across = (places + row * a.bin) % a.period, (places + column * a.bin) % a.period
                lit = self.illumination[:, down][:, :, across]
                start = extended[:, None, row * a.bin :, column * a.bin :]
                outputs.append(functional.conv2d(start, (lit * self._kernel)[:, None], stride=a.period))
        if cells == 1:
            return outputs[0]
        # (N, T·m², ...) with the places fastest is what pixel_shuffle sorts back to bins.
        return functional.pixel_shuffle(torch.stack(outputs, dim=2).flatten(1, 2), cells)

    def _exposed(self, extended: Tensor, field: tuple[int, int], *, by_fft: bool) -> Tensor:
        """The same exposure by exposure: for illumination without a period, or by FFT for a wide PSF."""
        rows, columns = extended.shape[-2], extended.shape[-1]
        d, radius = self.acquisition.bin, self._radius
        lit = self._lit(rows, columns, field)
        frames = []
        for t in range(self.acquisition.exposures):
            emission = extended * lit[t]
            if by_fft:
                image = convolve(emission, self._emission, method="fft")
                inner = image[:, radius : rows - radius, radius : columns - radius]
                frames.append(functional.avg_pool2d(inner[:, None], d)[:, 0] * d**2)
            else:
                frames.append(functional.conv2d(emission[:, None], self._kernel[None, None], stride=d)[:, 0])
        return torch.stack(frames, dim=1)

    def _lit(self, rows: int, columns: int, field: tuple[int, int]) -> Tensor:
        """Illumination over the extended field: (T, rows, columns)."""
        if self.registration is not None:
            return displaced(self.illumination, self.registration, rows, columns, origin=self._radius, field=field)
        period, device = self.acquisition.period, self.illumination.device
        row = (torch.arange(rows, device=device) - self._radius) % period
        column = (torch.arange(columns, device=device) - self._radius) % period
        return self.illumination[:, row][:, :, column]


def dose(patterns: Tensor) -> tuple[float, float]:
    """Light dose of a sequence in full-on exposures: (Σ_t mean(H_t), max over pixels of Σ_t H_t)."""
    total = patterns.to(torch.float64).sum(0)
    return float(total.mean()), float(total.max())
