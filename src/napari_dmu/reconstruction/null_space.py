"""Measured against imagined: which part of an image the data determine, and which part they say nothing about.

With B the microscope divided by the noise of every sample, x an image and c the contrast of specimens, the image is
split in

    measured = R x,   imagined = x − R x = (1 + c² BᵀB)⁻¹ x,   R = c² Bᵀ (c² BBᵀ + 1)⁻¹ B

R is the resolution operator of linear inverse theory (G. Backus, F. Gilbert, Phil. Trans. R. Soc. A 266 (1970) 123).
Along a singular vector of B with the singular value s it multiplies by c²s² / (c²s² + 1): 1 where a structure of the
contrast c stands above the noise, 0 where the data do not change with it. Without noise, R is the orthogonal
projection on the row space of the microscope, and the imagined part is the component in its null space (H. H. Barrett,
K. J. Myers, Foundations of Image Science, 2004, ch. 1 and 15; of learned reconstructions: S. Bhadra, V. A. Kelkar,
F. J. Brooks, M. A. Anastasio, IEEE Trans. Med. Imaging 40 (2021) 3249, arXiv:2012.00646).

Imagined is not wrong: it is what the decoder has put there because specimens usually look so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_dmu.microscope.forward import Microscope
from napari_dmu.reconstruction.variational import Report
from napari_dmu.reconstruction.whitening import bin_preconditioner, pattern_gram, per_bin, signal_variance, total

# Standard deviation of a specimen on the scale 0 … 1: how strong a structure is that noise is held against.
CONTRAST = 0.25


@dataclass(frozen=True)
class Split:
    """An image and the part of it that the data do not determine.

    Attributes
    ----------
    imagined
        (Y, X), fluorescence density, of either sign; the image minus it is the measured part.
    fraction
        Energy of ``imagined`` over the energy that was split (0 … 1); 0 for an image of zeros.
    iterations
        Of the conjugate gradients.
    """

    imagined: Tensor
    fraction: float
    iterations: int


class NullSpace:
    """Splits images of one plane, whose noise is known.

    Parameters
    ----------
    microscope
        The linear operator.
    variance
        (T, y, x) of the samples, in squared units of the signal; infinite where a sample is lost (saturated).
    field
        (Y, X).
    contrast
        Standard deviation of the structures that noise is held against, fluorescence density.
    """

    def __init__(
        self, microscope: Microscope, variance: Tensor, field: tuple[int, int], *, contrast: float = CONTRAST
    ) -> None:
        self._microscope, self._field, self._energy = microscope, field, contrast**2
        self._deviation = variance.to(microscope.patterns).sqrt()
        self._inverse = bin_preconditioner(pattern_gram(microscope), self._deviation, scale=self._energy, shift=1.0)

    @torch.no_grad()
    def split(
        self, image: Tensor, *, tolerance: float = 1e-4, max_iterations: int = 300, report: Report | None = None
    ) -> Split:
        """Split (Y, X); linear in the image, self-adjoint, and a projection as far as noise is small.

        Parameters
        ----------
        tolerance
            The conjugate gradients stop at this residual, relative to the first.
        report
            Called in every iteration; may raise to stop the work.
        """
        image = image.to(self._microscope.patterns)
        solution, done = self._solve(self._see(image), tolerance, max_iterations, report)
        imagined = image - self._spread(solution)
        whole = total(image.square())
        fraction = total(imagined.square()) / whole if whole > 0.0 else 0.0
        return Split(imagined, fraction, done)

    def contrast_of(self, image: Tensor, *, report: Report | None = None) -> Split:
        """Split the contrast: what is left of the image without its mean.

        The overall brightness is measured in any case; with it in, dark structures on a bright ground would seem
        better measured than the same structures on a dark ground. ``fraction`` is then relative to the variance.
        """
        return self.split(image - total(image) / image.numel(), report=report)

    def _see(self, image: Tensor) -> Tensor:
        return self._microscope.forward(image) / self._deviation

    def _spread(self, samples: Tensor) -> Tensor:
        return self._energy * self._microscope.adjoint(samples / self._deviation, self._field)

    def _solve(self, data: Tensor, tolerance: float, max_iterations: int, report: Report | None) -> tuple[Tensor, int]:
        """(c² BBᵀ + 1)⁻¹ data, by conjugate gradients for the samples: they are d²/T times fewer than the pixels."""
        solution = torch.zeros_like(data)
        residual = data
        whitened = per_bin(self._inverse, residual)
        direction = whitened
        energy = first = total(residual * whitened)
        done = 0
        while done < max_iterations and energy > tolerance**2 * first:
            if report is not None:
                report(done, max_iterations)
            product = self._see(self._spread(direction)) + direction
            curvature = total(direction * product)
            if curvature <= 0.0:  # an image so small that its squares are nothing
                break
            step = energy / curvature
            solution = solution + step * direction
            residual = residual - step * product
            whitened = per_bin(self._inverse, residual)
            before, energy = energy, total(residual * whitened)
            direction = whitened + (energy / before) * direction
            done += 1
        return solution, done


def expected_variance(microscope: Microscope, image: Tensor, lost: Tensor | None = None) -> Tensor:
    """Noise that a measurement of ``image`` (Y, X) has, (T, y, x) in squared units of the signal.

    Parameters
    ----------
    lost
        (T, y, x) of bool: samples that carry no information; their variance is infinite.
    """
    variance = signal_variance(microscope.forward(image), microscope.acquisition)
    return variance if lost is None else variance.masked_fill(lost.to(variance.device), torch.inf)
