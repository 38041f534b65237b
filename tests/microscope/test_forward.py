"""The forward model against its equations (docs/model.md), written out a second time in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import NO_PSF, assert_sentence

from napari_dmu.errors import SettingsError
from napari_dmu.microscope import forward as forward_module
from napari_dmu.microscope import illumination as illumination_module
from napari_dmu.microscope.acquisition import Acquisition, Psf, Registration
from napari_dmu.microscope.detector import noisy_signal
from napari_dmu.microscope.forward import Microscope, dose
from napari_dmu.microscope.optics import psf_kernel
from napari_dmu.microscope.patterns import plain_patterns, random_patterns, raster_patterns

Field = NDArray[np.float64]


def circular(pattern: Field, kernel: Field) -> Field:
    """Σ_ab h[a, b] · H[y − a, x − b] on the period, kernel index from the centre."""
    radius = kernel.shape[0] // 2
    result = np.zeros_like(pattern)
    for a in range(-radius, radius + 1):
        for b in range(-radius, radius + 1):
            result += kernel[a + radius, b + radius] * np.roll(pattern, (a, b), axis=(-2, -1))
    return result


def brute_force(specimen: Field, patterns: Field, excitation: Field, emission: Field, bin: int) -> Field:
    """The equations of docs/model.md on an array that is reflected and tiled explicitly."""
    period, radius = patterns.shape[-1], emission.shape[0] // 2
    whole = [-(-size // period) * period for size in specimen.shape]
    pads = [(radius, total - size + radius) for total, size in zip(whole, specimen.shape, strict=True)]
    reflected = np.pad(specimen, pads, mode="reflect")
    signal = []
    for pattern in patterns:
        light = circular(pattern, excitation)
        rows, columns = ((np.arange(size) - radius) % period for size in reflected.shape)
        emitted = reflected * light[rows][:, columns]
        image = np.zeros(whole)
        for a in range(-radius, radius + 1):
            for b in range(-radius, radius + 1):
                weight = emission[a + radius, b + radius]
                image += weight * emitted[radius - a : radius - a + whole[0], radius - b : radius - b + whole[1]]
        binned = image.reshape(whole[0] // bin, bin, whole[1] // bin, bin).sum((1, 3))
        signal.append(binned[: -(-specimen.shape[0] // bin), : -(-specimen.shape[1] // bin)])
    return np.stack(signal)


def psf(sigma: float) -> Psf:
    return Psf(kind="gaussian", sigma=sigma) if sigma else NO_PSF


@st.composite
def cases(draw: st.DrawFn) -> tuple[Acquisition, tuple[int, int], int]:
    """Settings, a field (also 1 px wide, smaller than a bin, larger than a period) and a seed."""
    bin = draw(st.sampled_from([1, 2, 3, 4]))
    acquisition = Acquisition(
        bin=bin,
        period=bin * draw(st.sampled_from([1, 2, 4])),
        exposures=draw(st.integers(1, 3)),
        excitation=psf(draw(st.sampled_from([0.0, 0.5, 1.2]))),
        emission=psf(draw(st.sampled_from([0.0, 0.4, 1.0, 1.6]))),
    )
    return acquisition, (draw(st.integers(1, 21)), draw(st.integers(1, 21))), draw(st.integers(0, 10_000))


def random_patterns_of(acquisition: Acquisition, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.from_numpy(random_patterns(acquisition.exposures, acquisition.period, seed=seed)).to(dtype)


@given(cases())
def test_equals_the_equations(case: tuple[Acquisition, tuple[int, int], int]) -> None:
    acquisition, field, seed = case
    patterns = random_patterns_of(acquisition, seed)
    specimen = np.random.default_rng(seed).random(field)
    kernels = [psf_kernel(p, dtype=torch.float64).numpy() for p in (acquisition.excitation, acquisition.emission)]
    found = Microscope(patterns, acquisition).forward(torch.from_numpy(specimen)).numpy()
    assert found.shape == (acquisition.exposures, *acquisition.bins(field))
    np.testing.assert_allclose(
        found, brute_force(specimen, patterns.numpy(), *kernels, acquisition.bin), rtol=1e-9, atol=1e-11
    )


@pytest.mark.parametrize("fft_above", [0.0, 1e9], ids=["fft", "fused"])
@pytest.mark.parametrize("field", [(12, 16), (13, 7), (1, 9), (3, 2)])
def test_kernels_are_turned_round_as_in_a_true_convolution(
    monkeypatch: pytest.MonkeyPatch, fft_above: float, field: tuple[int, int]
) -> None:
    rng = np.random.default_rng(3)
    kernels = {1.0: rng.random((5, 5)), 2.0: rng.random((7, 7))}
    kernels = {sigma: kernel / kernel.sum() for sigma, kernel in kernels.items()}

    def lopsided(which: Psf, *, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.from_numpy(kernels[which.sigma]).to(dtype)

    monkeypatch.setattr(forward_module, "psf_kernel", lopsided)
    monkeypatch.setattr(illumination_module, "psf_kernel", lopsided)
    monkeypatch.setattr(forward_module, "FFT_ABOVE", fft_above)
    acquisition = Acquisition(bin=2, period=4, exposures=2, excitation=psf(1.0), emission=psf(2.0))
    patterns = random_patterns_of(acquisition, 5)
    specimen = rng.random(field)
    found = Microscope(patterns, acquisition).forward(torch.from_numpy(specimen)).numpy()
    expected = brute_force(specimen, patterns.numpy(), kernels[1.0], kernels[2.0], 2)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
    turned = brute_force(specimen, patterns.numpy(), kernels[1.0], kernels[2.0][::-1, ::-1], 2)
    assert not np.allclose(turned, expected, rtol=1e-3)  # the test can tell


@given(cases())
def test_is_linear(case: tuple[Acquisition, tuple[int, int], int]) -> None:
    acquisition, field, seed = case
    microscope = Microscope(random_patterns_of(acquisition, seed), acquisition)
    one, two = torch.from_numpy(np.random.default_rng(seed).standard_normal((2, *field)))
    together = microscope.forward(2.5 * one - 0.75 * two)
    apart = 2.5 * microscope.forward(one) - 0.75 * microscope.forward(two)
    torch.testing.assert_close(together, apart, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@given(case=cases())
def test_adjoint_is_the_transpose(
    dtype: torch.dtype, tolerance: float, case: tuple[Acquisition, tuple[int, int], int]
) -> None:
    acquisition, field, seed = case
    microscope = Microscope(random_patterns_of(acquisition, seed, dtype), acquisition)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(field, generator=generator, dtype=dtype)
    image = microscope.forward(x)
    y = torch.randn(image.shape, generator=generator, dtype=dtype)
    back = microscope.adjoint(y, field)
    assert back.shape == x.shape
    assert back.dtype == image.dtype == dtype
    left, right = (image.double() * y.double()).sum(), (x.double() * back.double()).sum()
    size = image.double().norm() * y.double().norm() + x.double().norm() * back.double().norm()
    assert abs(left - right) <= tolerance * size


def dense(microscope: Microscope, field: tuple[int, int]) -> torch.Tensor:
    """The operator as a matrix, (samples, pixels)."""
    basis = torch.eye(field[0] * field[1], dtype=torch.float64).reshape(-1, *field)
    return microscope.forward(basis).flatten(1).T


def test_adjoint_gram_and_norm_are_those_of_the_matrix() -> None:
    acquisition, field = Acquisition(bin=3, period=6, exposures=2, emission=psf(0.8)), (7, 10)
    microscope = Microscope(random_patterns_of(acquisition, 1), acquisition)
    matrix = dense(microscope, field)
    y = torch.randn(matrix.shape[0], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    back = microscope.adjoint(y.reshape(2, *acquisition.bins(field)), field)
    torch.testing.assert_close(back.flatten(), matrix.T @ y)
    x = torch.randn(field, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(microscope.gram(x).flatten(), matrix.T @ matrix @ x.flatten())
    assert microscope.norm(field, iterations=200) == pytest.approx(float(torch.linalg.matrix_norm(matrix, 2)), rel=1e-4)


def test_leading_axes_are_kept_and_independent() -> None:
    acquisition = Acquisition(bin=2, period=4, exposures=3)
    microscope = Microscope(random_patterns_of(acquisition, 0), acquisition)
    stack = torch.rand(2, 3, 9, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    signal = microscope.forward(stack)
    assert signal.shape == (2, 3, 3, 5, 3)
    torch.testing.assert_close(signal[1, 2], microscope.forward(stack[1, 2]))
    back = microscope.adjoint(signal, (9, 5))
    assert back.shape == stack.shape
    torch.testing.assert_close(back[0, 1], microscope.adjoint(signal[0, 1], (9, 5)))


@given(seed=st.integers(0, 1000), sigma=st.sampled_from([0.0, 0.7, 1.3]), bin=st.sampled_from([1, 2, 4]))
def test_no_light_is_lost_away_from_the_borders(seed: int, sigma: float, bin: int) -> None:
    acquisition = Acquisition(bin=bin, period=4, exposures=2, excitation=psf(0.6), emission=psf(sigma))
    patterns = random_patterns_of(acquisition, seed)
    specimen = torch.zeros(36, 40, dtype=torch.float64)
    specimen[12:22, 14:27] = torch.from_numpy(np.random.default_rng(seed).random((10, 13)))
    light = circular(patterns.numpy(), psf_kernel(acquisition.excitation, dtype=torch.float64).numpy())
    emitted = specimen.numpy() * np.tile(light, (1, 9, 10))
    signal = Microscope(patterns, acquisition).forward(specimen).numpy()
    np.testing.assert_allclose(signal.sum((1, 2)), emitted.sum((1, 2)), rtol=1e-10)


def test_a_plain_camera_averages_its_pixels() -> None:
    acquisition = Acquisition(bin=4, period=4, exposures=1, excitation=NO_PSF, emission=NO_PSF)
    specimen = np.random.default_rng(0).random((12, 20))
    signal = Microscope(torch.ones(1, 4, 4, dtype=torch.float64), acquisition).forward(torch.from_numpy(specimen))
    mean = specimen.reshape(3, 4, 5, 4).mean((1, 3))
    np.testing.assert_allclose(signal.numpy()[0] / 16, mean, rtol=1e-12)


@pytest.mark.parametrize(("bin", "exposures", "period"), [(4, 4, 4), (4, 16, 8), (6, 9, 12), (8, 4, 8)])
def test_a_raster_is_a_plain_camera_with_smaller_pixels(bin: int, exposures: int, period: int) -> None:
    side = int(exposures**0.5)
    specimen = torch.from_numpy(np.random.default_rng(1).random((2 * period, 3 * period)))
    raster = Acquisition(bin=bin, period=period, exposures=exposures, excitation=NO_PSF, emission=NO_PSF)
    patterns = torch.from_numpy(raster_patterns(exposures, period, bin=bin)).double()
    scanned = Microscope(patterns, raster).forward(specimen)
    fine = Acquisition(bin=bin // side, period=period, exposures=1, excitation=NO_PSF, emission=NO_PSF)
    whole = Microscope(torch.from_numpy(plain_patterns(1, period)).double(), fine).forward(specimen)[0]
    for t in range(exposures):
        row, column = divmod(t, side)
        torch.testing.assert_close(scanned[t], whole[row::side, column::side])


def test_the_signal_is_between_dark_and_fully_lit() -> None:
    acquisition = Acquisition(bin=4, period=8, exposures=2, emission=psf(1.0))
    patterns = torch.ones(2, 8, 8, dtype=torch.float64)
    lit = Microscope(patterns, acquisition).forward(torch.ones(17, 30, dtype=torch.float64))
    torch.testing.assert_close(lit, torch.full_like(lit, 16.0))
    assert not Microscope(0 * patterns, acquisition).forward(torch.ones(17, 30, dtype=torch.float64)).any()


@pytest.mark.parametrize("shift", [(1, 0), (0, -3), (5, 2)])
def test_a_registration_shift_moves_the_patterns(shift: tuple[int, int]) -> None:
    moved = Acquisition(bin=2, period=8, exposures=2, registration=Registration(shift=shift))
    patterns = random_patterns_of(moved, 4)
    specimen = torch.from_numpy(np.random.default_rng(4).random((13, 18)))
    found = Microscope(patterns, moved).forward(specimen)
    rolled = patterns.roll((-shift[0], -shift[1]), (1, 2))
    expected = Microscope(rolled, Acquisition(bin=2, period=8, exposures=2)).forward(specimen)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def test_a_leaking_mirror_adds_its_share_of_light() -> None:
    leaky = Acquisition(bin=2, period=4, exposures=1, contrast=50.0)
    specimen = torch.from_numpy(np.random.default_rng(5).random((9, 9)))
    off = Microscope(torch.zeros(1, 4, 4, dtype=torch.float64), leaky).forward(specimen)
    on = Microscope(torch.ones(1, 4, 4, dtype=torch.float64), leaky).forward(specimen)
    torch.testing.assert_close(off * 50, on)


def test_patterns_of_another_shape_are_refused() -> None:
    with pytest.raises(SettingsError) as refusal:
        Microscope(torch.ones(2, 8, 8), Acquisition(bin=4, period=4, exposures=2))
    assert_sentence(refusal.value)


def test_dose_counts_full_on_exposures() -> None:
    patterns = torch.tensor([[[1, 0], [0, 0]], [[1, 1], [0, 0]], [[1, 1], [0, 0]]], dtype=torch.uint8)
    assert dose(patterns) == (5 / 4, 3.0)


# -- gradients to the patterns -----------------------------------------------------------------------


def _setting() -> tuple[Acquisition, torch.Tensor, torch.Tensor]:
    acquisition = Acquisition(bin=2, period=4, exposures=2, photons=50.0, background=3.0, read_noise=2.0)
    specimen = torch.from_numpy(np.random.default_rng(7).random((8, 8)))
    soft = torch.from_numpy(np.random.default_rng(8).uniform(0.2, 0.8, (2, 4, 4)))
    return acquisition, specimen, soft


def test_the_gradient_to_the_patterns_agrees_with_finite_differences() -> None:
    acquisition, specimen, soft = _setting()

    def total(patterns: torch.Tensor) -> torch.Tensor:
        return Microscope(patterns, acquisition).forward(specimen).square().sum()

    assert torch.autograd.gradcheck(total, (soft.clone().requires_grad_(True),))


def test_the_gradient_through_the_noise_is_that_of_the_expectation() -> None:
    """E[ŝ²] = s² + variance: its gradient holds both the mean's and the variance's; within 4 standard errors."""
    acquisition, specimen, soft = _setting()
    repeats, step = 4000, 1e-4

    def expected(patterns: torch.Tensor) -> float:
        s = Microscope(patterns, acquisition).forward(specimen)
        k = acquisition.photons
        variance = (k * s + acquisition.background + acquisition.read_noise**2) / k**2
        return float((s**2 + variance).mean())

    draws = []
    for part in range(10):
        patterns = soft.clone().requires_grad_(True)
        signal = Microscope(patterns, acquisition).forward(specimen)
        many = signal.expand(repeats // 10, *signal.shape)
        noisy = noisy_signal(many, acquisition, generator=torch.Generator().manual_seed(part))
        noisy.square().mean().backward()
        assert patterns.grad is not None
        draws.append(patterns.grad)
    gradients = torch.stack(draws)
    for place in [(0, 0, 0), (1, 2, 3), (0, 3, 1)]:
        up, down = soft.clone(), soft.clone()
        up[place] += step
        down[place] -= step
        slope = (expected(up) - expected(down)) / (2 * step)
        found = gradients[(slice(None), *place)]
        assert abs(float(found.mean()) - slope) <= 4 * float(found.std()) / 10**0.5
        assert float(found.std()) / 10**0.5 < 0.05 * abs(slope)  # precise enough to mean something
