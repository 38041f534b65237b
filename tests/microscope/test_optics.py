"""Kernels, convolutions and reflection against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from napari_dmu.microscope.acquisition import Psf
from napari_dmu.microscope.optics import convolve, convolve_periodic, gaussian_kernel, psf_kernel, reflect_index


@given(sigma=st.floats(0.0, 12.0))
def test_a_gaussian_has_unit_sum_and_its_centre_in_the_middle(sigma: float) -> None:
    kernel = psf_kernel(Psf(kind="gaussian", sigma=sigma), dtype=torch.float64)
    side = kernel.shape[0]
    assert kernel.shape == (side, side)
    assert side % 2 == 1
    assert float(kernel.sum()) == pytest.approx(1.0, abs=1e-12)
    places = torch.arange(side, dtype=torch.float64) - side // 2
    assert float((kernel.sum(1) * places).sum()) == pytest.approx(0.0, abs=1e-10)
    torch.testing.assert_close(kernel, kernel.T)
    assert kernel.argmax() == kernel.numel() // 2


@pytest.mark.parametrize("sigma", [1.0, 2.5, 7.0])
def test_a_gaussian_has_the_width_asked_for(sigma: float) -> None:
    profile = gaussian_kernel(sigma, dtype=torch.float64)
    places = torch.arange(len(profile), dtype=torch.float64) - len(profile) // 2
    assert float((profile * places**2).sum()) ** 0.5 == pytest.approx(sigma, rel=2e-3)


def test_no_psf_is_a_single_pixel() -> None:
    assert psf_kernel(Psf(kind="none")).tolist() == [[1.0]]


@given(period=st.integers(1, 9), radius=st.integers(0, 8), seed=st.integers(0, 1000))
def test_convolve_periodic_equals_the_sum_also_for_kernels_wider_than_the_period(
    period: int, radius: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pattern, kernel = rng.random((period, period)), rng.random((2 * radius + 1, 2 * radius + 1))
    expected = np.zeros_like(pattern)
    for y in range(period):
        for x in range(period):
            for a in range(-radius, radius + 1):
                for b in range(-radius, radius + 1):
                    expected[y, x] += kernel[a + radius, b + radius] * pattern[(y - a) % period, (x - b) % period]
    found = convolve_periodic(torch.from_numpy(pattern), torch.from_numpy(kernel)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_convolve_periodic_keeps_the_mean() -> None:
    patterns = torch.from_numpy(np.random.default_rng(0).random((3, 8, 8)))
    blurred = convolve_periodic(patterns, psf_kernel(Psf(kind="gaussian", sigma=3.0), dtype=torch.float64))
    torch.testing.assert_close(blurred.mean((1, 2)), patterns.mean((1, 2)))


@given(size=st.integers(1, 9), before=st.integers(0, 40), after=st.integers(0, 40))
def test_reflect_index_is_that_of_numpy_pad(size: int, before: int, after: int) -> None:
    expected = np.pad(np.arange(size), (before, after), mode="reflect")
    assert reflect_index(-before, size + after, size).tolist() == expected.tolist()


@pytest.mark.parametrize("method", ["direct", "fft"])
def test_convolve_is_a_true_convolution_with_zeros_beyond_the_border(method: str) -> None:
    rng = np.random.default_rng(2)
    image, kernel = rng.random((2, 11, 14)), rng.random((5, 5))
    found = convolve(torch.from_numpy(image), torch.from_numpy(kernel), method=method).numpy()
    expected = np.stack([ndimage.convolve(plane, kernel, mode="constant") for plane in image])
    np.testing.assert_allclose(found, expected, rtol=1e-10)
