"""Lifting: the linear first guess of the specimen from its compressed measurement.

A detector pixel of exposure t saw only its own block under a known mask, and the masks repeat with the pattern
period. One linear map from the samples of a period cell and its eight neighbours to the pixels of that cell
therefore serves the whole field. Its closed form is the linear minimum mean square error estimator, which the
training images' own statistics give.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_dmu.microscope.precision import full_precision


def to_cells(signal: Tensor, cell: int) -> Tensor:
    """Gather the samples of each period cell: (N, T, y, x) → (N, T·m², ⌈y/m⌉, ⌈x/m⌉), m = ``cell`` bins a side.

    A field that ends within a cell is extended by repeating its last bins.
    """
    if cell == 1:
        return signal
    rows, columns = signal.shape[-2:]
    signal = functional.pad(signal, (0, -columns % cell, 0, -rows % cell), mode="replicate")
    return functional.pixel_unshuffle(signal, cell)


def neighbourhoods(cells: Tensor) -> Tensor:
    """Samples of 3×3 neighbouring cells: (N, C, y, x) → (N, 9·C, y, x); borders repeat the edge cells."""
    rows, columns = cells.shape[-2:]
    padded = functional.pad(cells, (1, 1, 1, 1), mode="replicate")
    shifts = [padded[..., i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
    return torch.cat(shifts, dim=1)


class Lifting(nn.Module):
    """Affine map from 3×3 neighbouring period cells of samples to the pixels of the central cell.

    Parameters
    ----------
    exposures
        T.
    bin, period
        d and P in specimen pixels.
    channels
        Images that are made at once; 1 is the reconstruction itself.
    stride
        Specimen pixels per pixel of the result: 1 for an image, more for features on a coarser grid.
    """

    def __init__(self, exposures: int, bin: int, period: int, *, channels: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.cell = period // bin
        self.stride = stride
        self.side = period // stride
        inputs = 9 * exposures * self.cell**2
        self.linear = nn.Conv2d(inputs, channels * self.side**2, 1)

    def forward(self, signal: Tensor) -> Tensor:
        """(N, T, y, x) → (N, channels, y·d/stride, x·d/stride), whole period cells."""
        # Always in full precision: large weights of opposite sign make up the map, and half precision's rounding
        # would be far above the noise.
        with torch.autocast(signal.device.type, enabled=False), full_precision(signal.device):
            lifted: Tensor = self.linear(neighbourhoods(to_cells(signal, self.cell)))
        return functional.pixel_shuffle(lifted, self.side)


class LiftingStatistics:
    """Accumulates the second moments from which the closed form is solved.

    The estimator is W = C_xy C_yy⁻¹ with a bias that makes it exact for the mean (S. M. Kay, Fundamentals of
    Statistical Signal Processing I, 1993, ch. 12). Samples come with their noise, so no separate noise model and
    no tuning parameter is needed.
    """

    def __init__(self, lifting: Lifting) -> None:
        size = lifting.linear.in_channels + 1
        self.lifting = lifting
        self.gram = torch.zeros(size, size, dtype=torch.float64)
        self.cross = torch.zeros(size, lifting.linear.out_channels, dtype=torch.float64)
        self.count = 0

    @torch.no_grad()
    def add(self, signal: Tensor, specimen: Tensor) -> None:
        """Add examples: signal (N, T, y, x) with noise, specimen (N, 1, Y, X) in whole period cells.

        Where the lifting is coarser than the specimen, its pixels stand for their mean.
        """
        specimen = functional.avg_pool2d(specimen, self.lifting.stride)
        samples = neighbourhoods(to_cells(signal, self.lifting.cell))
        targets = functional.pixel_unshuffle(specimen, self.lifting.side)
        rows = samples.permute(0, 2, 3, 1).reshape(-1, samples.shape[1])
        rows = _double(torch.cat([rows, torch.ones_like(rows[:, :1])], dim=1))
        columns = _double(targets.permute(0, 2, 3, 1).reshape(-1, targets.shape[1]))
        self.gram += (rows.T @ rows).cpu()
        self.cross += (rows.T @ columns).cpu()
        self.count += rows.shape[0]

    @torch.no_grad()
    def solve(self, *, ridge: float = 1e-7) -> None:
        """Write the linear minimum mean square error map into the lifting's weights."""
        gram = self.gram / self.count
        # The ridge only guards against samples that never vary; it is far below the noise's own variance.
        damping = ridge * gram.diagonal().mean() * torch.eye(gram.shape[0], dtype=gram.dtype)
        solution = torch.linalg.solve(gram + damping, self.cross / self.count)
        linear = self.lifting.linear
        linear.weight.copy_(solution[:-1].T[..., None, None].to(linear.weight))
        assert linear.bias is not None
        linear.bias.copy_(solution[-1].to(linear.bias))


def _double(values: Tensor) -> Tensor:
    """In float64; Apple's GPUs have none, so from there on the CPU."""
    return (values.cpu() if values.device.type == "mps" else values).double()
