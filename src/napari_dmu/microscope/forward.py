"""The compressive microscope as a linear operator: specimen → signal on the detector (docs/model.md)."""

from __future__ import annotations

import math
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.illumination import displaced, excited, is_aligned, registration_tensor
from napari_dmu.microscope.optics import convolve, psf_kernel, reflect_index
from napari_dmu.microscope.precision import full_precision

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
        with full_precision(box.device):
            self._kernel = functional.conv2d(box, self._emission[None, None], padding=2 * self._radius)[0, 0]
        # Made once: on a GPU the launches of these few small steps would take longer than the measurement itself.
        self._windows = self._seen() if self._is_fused else None

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
        with full_precision(extended.device):
            signal = self._fused(extended) if self._is_fused else self._exposed(extended, field, by_fft=self._by_fft)
        rows, columns = self.acquisition.bins(field)
        return signal[..., :rows, :columns].reshape(*lead, self.acquisition.exposures, rows, columns)

    def adjoint(self, signal: Tensor, field: tuple[int, int]) -> Tensor:
        """Exact transpose of ``forward`` for a field of (Y, X): (..., T, y, x) → (..., Y, X)."""
        signal = signal.to(self.patterns.dtype)
        lead = signal.shape[:-3]
        if self._is_fused:
            image = self._folded(self._spread(signal.reshape(-1, *signal.shape[-3:])), field)
        else:
            specimen = signal.new_zeros(*lead, *field)
            image = torch.func.vjp(self.forward, specimen)[1](signal)[0]
        return image.reshape(*lead, *field)

    def gram(self, specimen: Tensor) -> Tensor:
        """AᵀA of a specimen: (..., Y, X) → (..., Y, X)."""
        return self.adjoint(self.forward(specimen), (specimen.shape[-2], specimen.shape[-1]))

    def windows(self) -> Tensor:
        """What the samples of one aligned period see: (T, m, m, d + 2r, d + 2r), m = P/d, r the PSF's reach.

        Entry (t, i, j) weighs the specimen pixels from r before to r after bin (i, j); interior bins of the
        field are inner products with it. A registration error is left out.
        """
        return self._seen() if self._windows is None else self._windows

    def _seen(self) -> Tensor:
        a, side = self.acquisition, self._kernel.shape[0]
        cells = range(a.period // a.bin)
        first = torch.arange(side, device=self.illumination.device) - self._radius
        places = [(first + i * a.bin) % a.period for i in cells]
        bins = [self.illumination[:, down][:, :, across] for down in places for across in places]
        return torch.stack(bins, dim=1).reshape(a.exposures, len(cells), len(cells), side, side) * self._kernel

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

    @property
    def _by_fft(self) -> bool:
        # Multiplications per specimen pixel and exposure of the strided convolution.
        return (1 + 2 * self._radius / self.acquisition.bin) ** 2 > FFT_ABOVE

    @property
    def _is_fused(self) -> bool:
        return self.registration is None and not self._by_fft

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
        a = self.acquisition
        cells, windows = a.period // a.bin, self.windows()
        outputs = []
        for row in range(cells):
            for column in range(cells):
                start = extended[:, None, row * a.bin :, column * a.bin :]
                outputs.append(functional.conv2d(start, windows[:, None, row, column], stride=a.period))
        if cells == 1:
            return outputs[0]
        # (N, T·m², ...) with the places fastest is what pixel_shuffle sorts back to bins.
        return functional.pixel_shuffle(torch.stack(outputs, dim=2).flatten(1, 2), cells)

    def _spread(self, signal: Tensor) -> Tensor:
        """Transpose of ``_fused``: (N, T, y, x) → (N, Y', X') over the extended field.

        One matrix product per place of a bin within the period, and windows added where they overlap; as a
        transposed convolution it takes up to 40 times longer on a CPU.
        """
        a, windows = self.acquisition, self.windows()
        d, period, side = a.bin, a.period, windows.shape[-1]
        cells = period // d
        signal = functional.pad(signal, (0, -signal.shape[-1] % cells, 0, -signal.shape[-2] % cells))
        down, across = signal.shape[-2] // cells, signal.shape[-1] // cells
        # A window may reach over several periods; it is added period by period, where windows do not overlap.
        reach = math.ceil(side / period)
        extended = signal.new_zeros(signal.shape[0], (down + reach) * period, (across + reach) * period)
        for row, column in product(range(cells), repeat=2):
            placed = signal[:, :, row::cells, column::cells]
            blocks = torch.einsum("ntyx,tkl->nykxl", placed, windows[:, row, column])
            for i, j in product(range(reach), repeat=2):
                part = blocks[:, :, i * period : (i + 1) * period, :, j * period : (j + 1) * period]
                top, left = row * d + i * period, column * d + j * period
                target = extended[:, top : top + down * period, left : left + across * period]
                target = target.view(-1, down, period, across, period)
                target[:, :, : part.shape[2], :, : part.shape[4]].add_(part)
        margin = 2 * self._radius
        return extended[:, : down * period + margin, : across * period + margin]

    def _folded(self, extended: Tensor, field: tuple[int, int]) -> Tensor:
        """Transpose of ``_extend``: add the mirror images back onto a field of (Y, X)."""
        for axis, size in zip((1, 2), field, strict=True):
            start, stop = self._radius, self._radius + size
            # All of the extended axis, as indices into the field; what lies inside it maps onto itself.
            index = reflect_index(-start, extended.shape[axis] - start, size, extended.device)
            outside = torch.cat([extended.narrow(axis, 0, start), extended.narrow(axis, stop, len(index) - stop)], axis)
            index = torch.cat([index[:start], index[stop:]])
            extended = extended.narrow(axis, start, size).index_add(axis, index, outside)
        return extended

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
