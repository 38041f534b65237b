"""Second-order statistics of specimens: mean and autocovariance, all that linear design and estimation need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import repeat

import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

from napari_dmu.errors import SpecimenError

_CENTRE = 0.2  # near the mean of most specimens


@dataclass(frozen=True)
class SpecimenStatistics:
    """Mean and autocovariance of a specimen taken as stationary.

    Random crops of a specimen are stationary whatever it shows: no place in the crop is special. So one function of
    the displacement says all that a full covariance matrix of the crops would, and no matrix of pixels by pixels is
    ever formed.

    Attributes
    ----------
    mean
        Of the specimen, 0 … 1.
    covariance
        (2R + 1, 2R + 1) float64, covariance of two pixels by their displacement, −R … R on both axes; symmetric under
        flips and transposition.
    lost
        Variance inside the pixels that pooling took away; 0 without pooling.
    """

    mean: float
    covariance: Tensor
    lost: float = 0.0

    @property
    def reach(self) -> int:
        """R, the largest displacement."""
        return self.covariance.shape[0] // 2

    @property
    def variance(self) -> float:
        """Of a (pooled) pixel: the mean squared error of the mean image."""
        return float(self.covariance[self.reach, self.reach])

    def nearer(self, reach: int) -> SpecimenStatistics:
        """The same for displacements up to ``reach`` at most."""
        inner = slice(max(0, self.reach - reach), self.reach + reach + 1)
        return replace(self, covariance=self.covariance[inner, inner])

    def grid(self, size: int) -> Tensor:
        """Power spectrum of the covariance on a periodic grid: (size, size // 2 + 1), never negative.

        An unbiased estimate of a covariance need not be one; what is negative in its spectrum is set to zero.
        """
        keep = size // 2
        if keep > self.reach:
            raise SpecimenError(f"The specimens' statistics reach {self.reach} pixels, not {keep}: take them further.")
        centre = self.covariance[self.reach - keep : self.reach + keep + 1, self.reach - keep : self.reach + keep + 1]
        periodic = centre.new_zeros(size, size)
        places = torch.arange(-keep, keep + 1) % size
        periodic[places[:, None], places[None, :]] = centre
        spectrum: Tensor = torch.fft.rfft2(periodic).real.clamp_min(0)
        return spectrum


@dataclass(frozen=True)
class Moments:
    """Products of pixels by displacement, summed over images: they add up, and an image can be taken out again.

    Attributes
    ----------
    products, sums, pairs
        (2R + 1, 2R + 1): Σ x(p) x(p + δ), Σ x(p) + x(p + δ), and the number of such pairs.
    total, squares, pixels
        Σ x and Σ x² over specimen pixels, and their number.
    pooled_total, pooled_pixels
        The same sum over pooled pixels.
    """

    products: Tensor
    sums: Tensor
    pairs: Tensor
    total: float
    squares: float
    pixels: float
    pooled_total: float
    pooled_pixels: float

    @classmethod
    def of(cls, image: Tensor, reach: int, *, pixel: int = 1) -> Moments:
        """Moments of one specimen (Y, X), 0 … 1, for displacements up to ``reach`` in (pooled) pixels.

        An image no larger than that is extended by reflection. With ``pixel`` the products are those of means over
        pixel × pixel specimen pixels.
        """
        # What is subtracted here comes back in `statistics`; it keeps the sums small.
        image = image.double() - _CENTRE
        pooled = _pooled(image, pixel, reach)
        away = torch.arange(-reach, reach + 1).abs()
        pairs = (pooled.shape[0] - away)[:, None] * (pooled.shape[1] - away)[None, :]
        # An image counts by its own pixels, however often reflection repeats them.
        share = image.numel() / (pooled.numel() * pixel**2)
        return cls(
            share * _products(pooled, reach),
            share * _pair_sums(pooled, reach),
            share * pairs,
            float(image.sum()),
            float(image.square().sum()),
            float(image.numel()),
            share * float(pooled.sum()),
            share * float(pooled.numel()),
        )

    def plus(self, other: Moments, weight: float = 1.0) -> Moments:
        """These and ``weight`` times the others."""
        return Moments(*(getattr(self, f.name) + weight * getattr(other, f.name) for f in fields(Moments)))

    def scaled(self, weight: float) -> Moments:
        """All sums times ``weight``."""
        return Moments(*(weight * getattr(self, f.name) for f in fields(Moments)))

    def statistics(self) -> SpecimenStatistics:
        """Mean and covariance of all that was summed, symmetric under flips and transposition."""
        mean = self.pooled_total / self.pooled_pixels
        # Of pairs far apart only the borders take part: the mean goes out of what they hold, not of the whole image.
        covariance = (self.products - mean * self.sums) / self.pairs + mean**2
        covariance = (covariance + covariance.flip(0)) / 2
        covariance = (covariance + covariance.flip(1)) / 2
        covariance = (covariance + covariance.T) / 2
        reach = covariance.shape[0] // 2
        whole = self.squares / self.pixels - (self.total / self.pixels) ** 2
        return SpecimenStatistics(_CENTRE + mean, covariance, max(0.0, whole - float(covariance[reach, reach])))


def specimen_statistics(
    images: Iterable[Tensor], reach: int, *, pixel: int = 1, weights: Iterable[float] | None = None
) -> SpecimenStatistics:
    """Statistics of images (Y, X) with weights; pixel for pixel alike where no weights are given.

    Raises
    ------
    SpecimenError
        Where there is no image, or one is not a plane of finite numbers.
    """
    total: Moments | None = None
    for image, weight in zip(images, repeat(1.0) if weights is None else weights, strict=False):
        one = Moments.of(image, reach, pixel=pixel)
        total = one.scaled(weight) if total is None else total.plus(one, weight)
    if total is None:
        raise SpecimenError("There are no images to take statistics from: give at least one.")
    return total.statistics()


def _pooled(image: Tensor, pixel: int, reach: int) -> Tensor:
    """Means over pixel × pixel blocks, extended by reflection beyond ``reach`` where too small."""
    if image.ndim != 2 or min(image.shape) < 1 or not bool(torch.isfinite(image).all()):
        raise SpecimenError("Statistics need finite images of two axes: split stacks into planes.")
    if pixel > 1 and min(image.shape) >= pixel:
        image = functional.avg_pool2d(image[None, None], pixel)[0, 0]
    for axis in (0, 1):
        size = image.shape[axis]
        if size <= reach:
            # Half as much again, so that the largest displacement is seen more than once.
            places = torch.arange(reach + max(reach // 2, 2)) % (2 * size)
            image = image.index_select(axis, torch.where(places < size, places, 2 * size - 1 - places))
    return image


def _products(image: Tensor, reach: int) -> Tensor:
    """Σ_p x(p) x(p + δ) for |δ| ≤ reach on both axes: (2R + 1, 2R + 1), by FFT without wrapping round."""
    shape = tuple(next_fast_len(size + reach, real=True) for size in image.shape)
    power = torch.fft.rfft2(image, s=shape).abs() ** 2
    full = torch.fft.irfft2(power, s=shape)
    places = torch.arange(-reach, reach + 1)
    products: Tensor = full[places % shape[0]][:, places % shape[1]]
    return products


def _pair_sums(image: Tensor, reach: int) -> Tensor:
    """Σ_p x(p) + x(p + δ) over the pairs within the image, for |δ| ≤ reach: (2R + 1, 2R + 1), by running sums."""
    running = functional.pad(image, (1, 0, 1, 0)).cumsum(0).cumsum(1)
    rows, columns = image.shape
    apart = torch.arange(-reach, reach + 1)
    top, bottom = (-apart).clamp_min(0), rows - apart.clamp_min(0)
    left, right = (-apart).clamp_min(0), columns - apart.clamp_min(0)

    def corner(row: Tensor, column: Tensor) -> Tensor:
        return running[row[:, None], column[None, :]]

    first = corner(bottom, right) - corner(top, right) - corner(bottom, left) + corner(top, left)
    return first + first.flip(0, 1)
