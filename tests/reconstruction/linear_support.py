"""Specimens with known statistics, for the tests of linear estimation and design."""

import torch
from torch import Tensor

from napari_dmu.reconstruction.specimen_statistics import SpecimenStatistics


def exponential(reach: int, *, length: float = 3.0, variance: float = 0.04, mean: float = 0.3) -> SpecimenStatistics:
    """Covariance that falls off exponentially along both axes."""
    profile = torch.exp(-torch.arange(-reach, reach + 1).abs().double() / length)
    return SpecimenStatistics(mean, variance * torch.outer(profile, profile))


def white(reach: int, *, variance: float = 0.04, mean: float = 0.3) -> SpecimenStatistics:
    """Independent pixels."""
    covariance = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.float64)
    covariance[reach, reach] = variance
    return SpecimenStatistics(mean, covariance)


def matrix(statistics: SpecimenStatistics, side: int) -> Tensor:
    """Covariance of the pixels of a side × side field, (side², side²), entry by entry."""
    places = [(y, x) for y in range(side) for x in range(side)]
    middle = statistics.reach
    rows = [[float(statistics.covariance[middle + v - y, middle + u - x]) for v, u in places] for y, x in places]
    return torch.tensor(rows, dtype=torch.float64)
