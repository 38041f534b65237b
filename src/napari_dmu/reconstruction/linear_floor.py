"""What no linear measurement can beat: noise-free floors of T numbers a bin, whatever the masks.

Two floors, because two things are meant by one. A decoder that looks at its own bin alone cannot beat the
Karhunen–Loève transform of that bin. A decoder that also looks at the neighbours can; what it cannot beat, at any
reach, is the principal component filter bank: of all frequencies that a sampling lattice folds onto each other, keep
the ones with the most power (M. Unser, IEEE Trans. Signal Process. 41:1383, 1993; M. K. Tsatsanis, G. B. Giannakis,
IEEE Trans. Signal Process. 43:1766, 1995).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_dmu.errors import SettingsError
from napari_dmu.reconstruction.specimen_statistics import SpecimenStatistics


def block_components(statistics: SpecimenStatistics, side: int, count: int) -> tuple[Tensor, Tensor]:
    """Leading principal components of a side × side block: variances (count,) and images (count, side, side).

    Raises
    ------
    SettingsError
        More components are asked for than the block has pixels.
    """
    if not 1 <= count <= side**2:
        raise SettingsError(f"A block of {side} × {side} pixels has no {count} components: use fewer exposures.")
    matrix = block_covariance(statistics, side)
    if count > side**2 // 8 or side < 8:
        values, vectors = torch.linalg.eigh(matrix)
        values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    else:
        from scipy.sparse.linalg import eigsh

        # A fixed start, so that the same statistics give the same components.
        found, columns = eigsh(matrix.numpy(), k=count, v0=np.linspace(1.0, 2.0, side**2))
        values, vectors = torch.from_numpy(found[::-1].copy()), torch.from_numpy(columns[:, ::-1].copy())
    return values, vectors.T.reshape(count, side, side)


def block_covariance(statistics: SpecimenStatistics, side: int) -> Tensor:
    """Covariance of the pixels of a side × side block: (side², side²)."""
    if side - 1 > statistics.reach:
        raise SettingsError(f"The statistics reach {statistics.reach} pixels, a block {side}: take them further.")
    places = torch.arange(side)
    apart = places[:, None] - places[None, :] + statistics.reach
    return statistics.covariance[apart[:, None, :, None], apart[None, :, None, :]].reshape(side**2, side**2)


def block_floor(statistics: SpecimenStatistics, bin: int, exposures: int) -> float:
    """Least mean squared error from ``exposures`` noise-free numbers a bin, each bin by itself."""
    values, _ = block_components(statistics, bin, exposures)
    return statistics.lost + statistics.variance - float(values.sum()) / bin**2


def any_reach_floor(statistics: SpecimenStatistics, period: int, samples: int) -> float:
    """Least mean squared error from ``samples`` noise-free numbers a period cell, with a decoder of any reach."""
    periods = (2 * statistics.reach) // period
    size = period * max(2, periods - periods % 2)
    if size > 2 * statistics.reach:
        raise SettingsError(
            f"The statistics reach {statistics.reach} pixels, too few for a period of {period}: take them further."
        )
    power = _spectrum(statistics, size, size)
    kept = power * _kept(power, period, samples)
    return statistics.lost + statistics.variance - float(kept.sum() / power.sum()) * statistics.variance


def keep_components(
    image: Tensor, statistics: SpecimenStatistics, bin: int, exposures: int, *, pixel: int = 1
) -> Tensor:
    """An image (Y, X) of which every bin keeps its leading components alone; the same shape.

    ``pixel`` is the pooling of the statistics; the components are then constant over that many specimen pixels.
    """
    _, vectors = block_components(statistics, bin // pixel, exposures)
    vectors = vectors.repeat_interleave(pixel, 1).repeat_interleave(pixel, 2) / pixel
    rows, columns = image.shape
    whole = functional.pad(
        image.double()[None, None] - statistics.mean, (0, -columns % bin, 0, -rows % bin), mode="replicate"
    )
    kernels = vectors.to(whole)[:, None]
    numbers = functional.conv2d(whole, kernels, stride=bin)
    return functional.conv_transpose2d(numbers, kernels, stride=bin)[0, 0, :rows, :columns] + statistics.mean


def keep_frequencies(image: Tensor, statistics: SpecimenStatistics, period: int, samples: int) -> Tensor:
    """An image (Y, X), mirrored at its borders, that keeps the best ``samples`` of each period² folded frequencies."""
    rows, columns = image.shape
    whole = functional.pad(
        image.double()[None, None] - statistics.mean, (0, -columns % period, 0, -rows % period), mode="replicate"
    )[0, 0]
    mirrored = torch.cat([whole, whole.flip(0)], 0)
    mirrored = torch.cat([mirrored, mirrored.flip(1)], 1)
    # Which frequencies are the stronger ones is told by a smooth spectrum: four periods are enough, and what statistics
    # say about pairs farther apart is uncertain.
    near = statistics.nearer(min(4 * period, max(1, min(rows, columns) // 2)))
    kept = _kept(_spectrum(near, *mirrored.shape), period, samples)
    result: Tensor = torch.fft.ifft2(torch.fft.fft2(mirrored) * kept).real
    return result[:rows, :columns] + statistics.mean


def _spectrum(statistics: SpecimenStatistics, rows: int, columns: int) -> Tensor:
    """Power spectrum on a periodic grid of even sides: (rows, columns), never negative."""
    covariance, places = statistics.covariance, []
    for axis, size in enumerate((rows, columns)):
        reach = min(statistics.reach, size // 2)
        apart = torch.arange(-reach, reach + 1)
        covariance = covariance.index_select(axis, apart + statistics.reach)
        if reach < size // 2:
            # Fades out towards the end of the statistics, for an abrupt end rings at all frequencies; this window has a
            # positive spectrum that falls off fast (E. Parzen, Technometrics 3:167, 1961).
            u = apart.abs().double() / (reach + 1)
            fade = torch.where(u <= 0.5, 1 - 6 * u**2 * (1 - u), 2 * (1 - u) ** 3)
            covariance = covariance * (fade[:, None] if axis == 0 else fade)
        places.append(apart % size)
    periodic = torch.zeros(rows, columns, dtype=torch.float64)
    periodic[places[0][:, None], places[1][None, :]] = covariance
    spectrum: Tensor = torch.fft.fft2(periodic).real.clamp_min(0)
    return spectrum


def _kept(power: Tensor, period: int, samples: int) -> Tensor:
    """1 at the ``samples`` strongest of each set of period² frequencies that fold onto each other, else 0."""
    if not 1 <= samples <= period**2:
        raise SettingsError(f"A cell of {period} × {period} pixels has no {samples} samples: use fewer exposures.")
    rows, columns = power.shape
    folded = power.reshape(period, rows // period, period, columns // period).permute(1, 3, 0, 2)
    flat = folded.reshape(rows // period, columns // period, period**2)
    best = flat.topk(samples, dim=-1).indices
    mask = torch.zeros_like(flat).scatter_(-1, best, 1.0)
    mask = mask.reshape(rows // period, columns // period, period, period).permute(2, 0, 3, 1)
    return mask.reshape(rows, columns)
