"""Is a specimen of a kind that a decoder knows? The decoder's own features tell, without the specimen.

The features of every pixel, averaged over the field, are a few tens of numbers that say what the decoder took the
specimen for. What noise alone moves them by is subtracted (a quadratic in the noise level), and they are brought to
their leading principal components, each of unit variance over crops of the training images. The *distance* of a
measurement is how far it lies from the nearest of those crops, per component. Up to which distance a measurement is
usual is found on held-back images, as for the misfit.

Neighbours rather than one Gaussian, because training images come in groups (of one experiment, one stain) and the space
between the groups is empty. Source: Y. Sun, Y. Ming, X. Zhu, Y. Li, Proc. Mach. Learn. Res. 162 (2022) 20827
(arXiv:2204.06507); whitening of averaged features: K. Lee et al., Adv. Neural Inf. Process. Syst. 31 (2018)
(arXiv:1807.03888).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from napari_dmu.zoo.header import Typical

# A smaller field (side of a square, specimen pixels) shows too little to be told by: one cell, or a part of it.
LEAST_SIDE = 128
# Principal components of the features; more of them tell no more.
COMPONENTS = 16
# Share of a unit variance that is added to every direction before whitening: hardly any is left in the last ones.
SHRINKAGE = 0.05
# Decimals that the file keeps of a whitened number; the distances are about one.
DECIMALS = 3

Array = NDArray[np.float64]


class FeatureMean:
    """Mean of a decoder's features over a field that comes in parts.

    Parameters
    ----------
    stride
        Specimen pixels per pixel of the feature grid.
    """

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.total: Array | float = 0.0
        self.count = 0

    def add(self, features: torch.Tensor, rows: slice, columns: slice) -> None:
        """Take in the part of features (C, y, x) that lies on these specimen pixels, counted from their corner."""
        first, last = zip(
            *((s.start // self.stride, math.ceil(s.stop / self.stride)) for s in (rows, columns)), strict=True
        )
        part = features[:, first[0] : last[0], first[1] : last[1]]
        size = part.shape[1] * part.shape[2]
        self.total = self.total + size * part.float().mean(dim=(1, 2)).cpu().numpy().astype(np.float64)
        self.count += size

    @property
    def value(self) -> Array:
        """(C,)"""
        return np.asarray(self.total) / self.count


def learn_typical(features: NDArray[np.floating], noise: NDArray[np.floating]) -> Typical:
    """What is typical, without limits.

    Parameters
    ----------
    features
        (N, C), mean features of N crops of training images.
    noise
        (N,), relative noise level of each, see ``reconstruction.refinement.noise_level``.
    """
    means = np.asarray(features, dtype=np.float64)
    terms = _terms(np.asarray(noise, dtype=np.float64))
    usual = np.linalg.lstsq(terms, means, rcond=None)[0]
    rest = means - terms @ usual
    spread = rest.std(axis=0) + 1e-6
    covariance = np.atleast_2d(np.cov((rest / spread).T))
    size = len(covariance)
    values, vectors = np.linalg.eigh((1 - SHRINKAGE) * covariance + SHRINKAGE * np.eye(size))
    leading = slice(None, -COMPONENTS - 1, -1)
    whitening = (vectors[:, leading] / np.sqrt(values[leading])).T / spread
    return Typical(
        whitening=_listed(whitening, significant=True),
        usual=_listed(whitening @ usual.T, significant=True),
        known=_listed(rest @ whitening.T),
    )


def distance(typical: Typical, features: NDArray[np.floating], noise: float) -> float:
    """Root mean square over components of the difference to the nearest crop that is known.

    Parameters
    ----------
    features
        (C,), mean features of a measurement.
    noise
        Its relative noise level; beyond those of the limits, the nearest of them counts.
    """
    levels = [level for level, _ in typical.limits] or [noise]
    noise = min(max(noise, min(levels)), max(levels))
    whitened = np.asarray(typical.whitening) @ features - np.asarray(typical.usual) @ _terms(np.array([noise]))[0]
    return float(np.sqrt(np.square(np.asarray(typical.known) - whitened).mean(axis=1).min()))


def limit_at(limits: Sequence[tuple[float, float]], noise: float) -> float:
    """A limit (positive) at a noise level from some (noise level, limit): between them its logarithm is a straight
    line, beyond them it stays as it is."""
    levels, values = np.array(sorted(limits)).T
    return float(np.exp(np.interp(noise, levels, np.log(values))))


def _terms(noise: Array) -> Array:
    """(N,) → (N, 3): 1, the level and its square."""
    return np.stack([np.ones_like(noise), noise, noise**2], axis=1)


def _listed(values: Array, *, significant: bool = False) -> list[list[float]]:
    """As the header keeps it: short numbers."""
    if significant:
        return [[float(f"{value:.5g}") for value in row] for row in values]
    return [[round(float(value), DECIMALS) for value in row] for row in values]
