"""Lifting: the closed form against an oracle, the order of pixels, period cells larger than a bin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from support import NO_PSF

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.patterns import plain_patterns, random_patterns, raster_patterns
from napari_dmu.reconstruction.lifting import Lifting, LiftingStatistics, neighbourhoods, to_cells

Array = NDArray[np.float64]


def specimens(count: int, side: int, *, sigma: float, seed: int) -> torch.Tensor:
    """Random smooth images, (count, side, side)."""
    noise = np.random.default_rng(seed).standard_normal((count, side, side))
    smooth = np.stack([ndimage.gaussian_filter(n, sigma) if sigma else n for n in noise])
    return torch.from_numpy(smooth / smooth.std() * 0.2 + 0.5)


def rows_of(signal: Array, cell: int) -> Array:
    """One row a period cell: the samples of the 3×3 cells around it, edge cells repeated; written with loops."""
    exposures, height, width = signal.shape
    down, across = height // cell, width // cell
    rows = []
    for i in range(down):
        for j in range(across):
            row = []
            for a in (-1, 0, 1):
                for b in (-1, 0, 1):
                    y, x = np.clip(i + a, 0, down - 1), np.clip(j + b, 0, across - 1)
                    block = signal[:, y * cell : (y + 1) * cell, x * cell : (x + 1) * cell]
                    row.extend(block.reshape(exposures, -1).ravel())
            rows.append([*row, 1.0])
    return np.array(rows)


@pytest.mark.parametrize(
    ("bin", "period", "exposures", "stride"), [(2, 2, 3, 1), (4, 4, 2, 1), (2, 4, 2, 1), (4, 4, 2, 2)]
)
def test_the_closed_form_is_the_least_squares_solution(bin: int, period: int, exposures: int, stride: int) -> None:
    acquisition = Acquisition(bin=bin, period=period, exposures=exposures)
    patterns = torch.from_numpy(random_patterns(exposures, period, seed=2)).double()
    images = specimens(40, 6 * period, sigma=1.0, seed=3)
    signal = Microscope(patterns, acquisition).forward(images)
    signal = signal + 0.05 * torch.randn(signal.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lifting = Lifting(exposures, bin, period, stride=stride).double()
    statistics = LiftingStatistics(lifting)
    for part in range(4):
        statistics.add(signal[10 * part : 10 * part + 10], images[10 * part : 10 * part + 10, None])
    statistics.solve(ridge=0.0)

    cell = period // bin
    table = np.concatenate([rows_of(s, cell) for s in signal.numpy()])
    side = period // stride
    means = images.numpy().reshape(40, 6 * side, stride, 6 * side, stride).mean((2, 4))
    blocks = means.reshape(40, 6, side, 6, side).transpose(0, 1, 3, 2, 4).reshape(-1, side**2)
    oracle = np.linalg.lstsq(table, blocks, rcond=None)[0]
    fresh = specimens(1, 6 * period, sigma=1.0, seed=9)
    measured = Microscope(patterns, acquisition).forward(fresh)
    expected = (rows_of(measured[0].numpy(), cell) @ oracle).reshape(6, 6, side, side)
    expected = expected.transpose(0, 2, 1, 3).reshape(6 * side, 6 * side)
    with torch.no_grad():
        found = lifting(measured)[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("cells", [1, 2])
def test_one_pixel_at_a_time_is_put_back_where_it_came_from(cells: int) -> None:
    """T = d² delta patterns see every pixel once, so that a wrong order of pixels cannot hide."""
    bin = 3
    period, exposures = bin * cells, bin**2
    acquisition = Acquisition(bin=bin, period=period, exposures=exposures, excitation=NO_PSF, emission=NO_PSF)
    patterns = torch.from_numpy(raster_patterns(exposures, period, bin=bin)).double()
    microscope = Microscope(patterns, acquisition)
    training = specimens(30 * cells**4, 6 * period, sigma=0.0, seed=0)
    lifting = Lifting(exposures, bin, period).double()
    statistics = LiftingStatistics(lifting)
    statistics.add(microscope.forward(training), training[:, None])
    statistics.solve()
    ramp = torch.arange(float(4 * period * 5 * period), dtype=torch.float64).reshape(4 * period, 5 * period)
    image = ramp / ramp.max()
    with torch.no_grad():
        torch.testing.assert_close(lifting(microscope.forward(image)[None])[0, 0], image, atol=1e-4, rtol=0)


def test_lifting_beats_repeating_each_sample_over_its_block() -> None:
    acquisition = Acquisition(bin=4, period=4, exposures=1)
    microscope = Microscope(torch.from_numpy(plain_patterns(1, 4)).double(), acquisition)
    training, held_out = specimens(60, 48, sigma=3.0, seed=1), specimens(10, 48, sigma=3.0, seed=2)
    lifting = Lifting(1, 4, 4).double()
    statistics = LiftingStatistics(lifting)
    statistics.add(microscope.forward(training), training[:, None])
    statistics.solve()
    signal = microscope.forward(held_out)
    with torch.no_grad():
        lifted = lifting(signal)[:, 0]
    repeated = (signal[:, 0] / 16).repeat_interleave(4, 1).repeat_interleave(4, 2)
    assert (lifted - held_out).square().mean() < 0.25 * (repeated - held_out).square().mean()


def test_samples_that_never_vary_do_no_harm() -> None:
    lifting = Lifting(2, 2, 2)
    statistics = LiftingStatistics(lifting)
    signal = torch.rand(8, 2, 10, 10, generator=torch.Generator().manual_seed(0))
    signal[:, 1] = 0.0
    target = signal[:, :1].repeat_interleave(2, 2).repeat_interleave(2, 3)
    statistics.add(signal, target)
    statistics.solve()
    assert torch.isfinite(lifting.linear.weight).all()
    with torch.no_grad():
        torch.testing.assert_close(lifting(signal), target, atol=1e-3, rtol=0)


@given(cell=st.integers(1, 4), rows=st.integers(1, 9), columns=st.integers(1, 9), exposures=st.integers(1, 3))
def test_cells_gather_their_own_samples_and_repeat_the_last_ones(
    cell: int, rows: int, columns: int, exposures: int
) -> None:
    signal = torch.arange(float(exposures * rows * columns)).reshape(1, exposures, rows, columns)
    cells = to_cells(signal, cell)
    assert cells.shape == (1, exposures * cell**2, -(-rows // cell), -(-columns // cell))
    for i in range(cells.shape[2]):
        for j in range(cells.shape[3]):
            y = np.minimum(np.arange(i * cell, (i + 1) * cell), rows - 1)
            x = np.minimum(np.arange(j * cell, (j + 1) * cell), columns - 1)
            expected = signal[0].numpy()[:, y][:, :, x]
            np.testing.assert_array_equal(cells[0, :, i, j].reshape(exposures, cell, cell).numpy(), expected)


def test_neighbourhoods_are_read_row_by_row_and_repeat_the_edge() -> None:
    cells = torch.arange(12.0).reshape(1, 1, 3, 4)
    around = neighbourhoods(cells)
    assert around.shape == (1, 9, 3, 4)
    assert around[0, :, 1, 1].tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert around[0, :, 0, 0].tolist() == [0, 0, 1, 0, 0, 1, 4, 4, 5]
    assert neighbourhoods(cells[..., :1, :1]).flatten().tolist() == [0.0] * 9
