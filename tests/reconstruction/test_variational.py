"""Ridge and total variation: they solve what they say, say how well, and beat the adjoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import Tensor

from napari_dmu.errors import Cancelled, SettingsError
from napari_dmu.microscope.acquisition import Acquisition, Psf
from napari_dmu.microscope.detector import counts_to_signal, electrons_variance, sample_counts
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.measurement import intensity_range, normalise
from napari_dmu.microscope.patterns import make_patterns
from napari_dmu.reconstruction.total_variation import gradient, gradient_transposed, total_variation
from napari_dmu.reconstruction.variational import CORRELATION_LENGTH, ridge
from napari_dmu.reconstruction.whitening import bin_preconditioner, pattern_gram, per_bin, signal_variance


def _microscope(
    family: str = "random", *, bin: int = 8, exposures: int = 4, period: int | None = None, dtype=torch.float32, **more
) -> Microscope:
    period = period or bin
    acquisition = Acquisition(bin=bin, exposures=exposures, period=period, **{"emission": Psf(sigma=0.8), **more})
    patterns = make_patterns(family, exposures=exposures, period=period, bin=bin)
    return Microscope(torch.from_numpy(patterns).to(dtype), acquisition)


def _measured(microscope: Microscope, specimen: Tensor, seed: int = 0) -> Tensor:
    acquisition = microscope.acquisition
    counts = sample_counts(microscope.forward(specimen).numpy(), acquisition, seed=seed)
    return counts_to_signal(torch.from_numpy(counts.astype(np.float32)), acquisition)


def _discs(side: int = 64) -> Tensor:
    """A piecewise constant specimen: total variation's own."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    specimen = torch.zeros(side, side)
    for row, column, radius, value in ((18, 20, 9, 1.0), (44, 40, 13, 0.6), (14, 50, 6, 0.8)):
        specimen[(y - row) ** 2 + (x - column) ** 2 < radius**2] = value
    return specimen


def _psnr(image: Tensor, truth: Tensor) -> float:
    return float(-10 * torch.log10((image - truth).square().mean()))


def _scaled_adjoint(microscope: Microscope, signal: Tensor, field: tuple[int, int]) -> Tensor:
    """The adjoint image at the scale and offset that suit the measurement best."""
    image = microscope.adjoint(signal, field)
    columns = torch.stack([microscope.forward(image), microscope.forward(torch.ones(field))]).flatten(1).T
    scale, offset = torch.linalg.lstsq(columns.double(), signal.flatten()[:, None].double()).solution[:, 0]
    return float(scale) * image + float(offset)


def _objective(microscope: Microscope, signal: Tensor, deviation: Tensor, weight: float, image: Tensor) -> float:
    misfit = ((microscope.forward(image) - signal) / deviation).double()
    return float(0.5 * misfit.square().sum() + weight * gradient(image).double().square().sum(0).sqrt().sum())


# -- noise and whitening ---------------------------------------------------------------------------


def test_the_variance_is_that_of_the_detector() -> None:
    acquisition = Acquisition(bin=8, exposures=1, period=8, photons=300.0, quantum_efficiency=0.7, background=5.0)
    signal = torch.full((400, 500), 20.0)
    counts = torch.from_numpy(sample_counts(signal.numpy(), acquisition, seed=1).astype(np.float32))
    measured = counts_to_signal(counts, acquisition)
    # 200 000 samples: 0.3 % standard error.
    assert float(measured.var()) == pytest.approx(float(signal_variance(signal, acquisition)[0, 0]), rel=0.015)
    expected = float(electrons_variance(torch.tensor(20.0), acquisition)) / (0.7 * 300.0) ** 2
    assert float(signal_variance(torch.tensor(20.0), acquisition)) == pytest.approx(expected)


def test_a_dark_sample_is_never_certain() -> None:
    acquisition = Acquisition(bin=8, exposures=1, period=8, background=0.0, read_noise=0.0)
    assert float(signal_variance(torch.tensor(-3.0), acquisition)) > 0


@pytest.mark.parametrize(("background", "dark_current", "electrons"), [(0.0, 0.0, 1), (0.4, 1.0, 1), (8.0, 10.0, 5)])
def test_the_shot_noise_is_that_of_one_electron_at_least(
    background: float, dark_current: float, electrons: float
) -> None:
    """What comes without a specimen counts: background at an efficiency of one half, dark current in 0.1 s."""
    acquisition = Acquisition(
        bin=8, exposures=1, period=8, photons=300.0, quantum_efficiency=0.5, background=background, read_noise=3.0,
        dark_current=dark_current, gain=1.0,
    )  # fmt: skip
    found = float(signal_variance(torch.tensor(-0.1), acquisition)) * (0.5 * 300.0) ** 2
    assert found == pytest.approx(electrons + 3.0**2 + 1 / 12, rel=1e-5)


def test_whitening_inverts_the_covariance_of_every_bin() -> None:
    microscope = _microscope(bin=4, period=8, exposures=3, dtype=torch.float64)
    gram = pattern_gram(microscope)
    windows = microscope.windows()
    expected = torch.einsum("tijkl,sijkl->ijts", windows, windows)
    torch.testing.assert_close(gram, expected)
    deviation = 0.1 + torch.rand(3, 5, 6, dtype=torch.float64)
    inverse = bin_preconditioner(gram, deviation, scale=0.3, shift=1.5)
    samples = torch.randn(3, 5, 6, dtype=torch.float64)
    noise = deviation[:, 3, 4]
    block = 0.3 * gram[1, 0] / torch.outer(noise, noise) + 1.5 * torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(per_bin(inverse, samples)[:, 3, 4], torch.linalg.solve(block, samples[:, 3, 4]))


# -- ridge -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "period"), [((16, 16), 4), ((13, 18), 8)])
def test_ridge_solves_the_normal_equations(field: tuple[int, int], period: int) -> None:
    microscope = _microscope(bin=4, period=period, exposures=2, dtype=torch.float64)
    pixels = field[0] * field[1]
    basis = torch.eye(pixels, dtype=torch.float64).reshape(pixels, *field)
    generator = torch.Generator().manual_seed(0)
    specimen = torch.rand(field, generator=generator, dtype=torch.float64)
    signal = microscope.forward(specimen) + 0.05 * torch.randn(
        2, *microscope.acquisition.bins(field), generator=generator, dtype=torch.float64
    )
    variance = 0.01 + 0.01 * signal.abs()
    result = ridge(microscope, signal, field, variance=variance, weight=3.0, tolerance=1e-11)
    assert result.residual <= 1e-11
    dense = microscope.forward(basis).reshape(pixels, -1).T
    slopes = torch.stack([gradient(b) for b in basis]).reshape(pixels, -1).T
    prior = 3.0 * (slopes.T @ slopes + torch.eye(pixels, dtype=torch.float64) / CORRELATION_LENGTH**2)
    inverse = variance.reciprocal().flatten()
    light = dense.sum(1)
    mean = (inverse * light * signal.flatten()).sum() / (inverse * light**2).sum()
    left = dense.T @ (inverse[:, None] * dense) + prior
    right = dense.T @ (inverse * (signal.flatten() - mean * light))
    expected = mean + torch.linalg.solve(left, right).reshape(field)
    torch.testing.assert_close(result.image, expected, rtol=1e-6, atol=1e-7)


def test_ridge_chooses_a_weight_near_the_best() -> None:
    specimen = _discs()
    microscope = _microscope("hadamard", bin=8, exposures=16)
    signal = _measured(microscope, specimen)
    chosen = ridge(microscope, signal, (64, 64))
    assert chosen.iterations < 100
    scores = [_psnr(ridge(microscope, signal, (64, 64), weight=10.0**k).image, specimen) for k in range(-2, 6)]
    assert _psnr(chosen.image, specimen) > max(scores) - 0.5


def test_a_dark_measurement_gives_a_dark_image() -> None:
    microscope = _microscope()
    dark = torch.zeros(4, 4, 4)
    assert float(ridge(microscope, dark, (32, 32)).image.abs().max()) < 1e-3
    assert float(total_variation(microscope, dark, (32, 32), max_iterations=20).image.abs().max()) < 1e-3


# -- total variation -------------------------------------------------------------------------------


def test_the_gradient_and_its_transpose() -> None:
    image, edges = torch.randn(7, 9, dtype=torch.float64), torch.randn(2, 7, 9, dtype=torch.float64)
    left, right = (gradient(image) * edges).sum(), (image * gradient_transposed(edges)).sum()
    assert float(left) == pytest.approx(float(right))


def test_total_variation_agrees_with_scikit_image_on_denoising() -> None:
    """One exposure, all mirrors on, no blur, no binning: then it is denoising, and there is an oracle."""
    restoration = pytest.importorskip("skimage.restoration")
    microscope = _microscope(
        "plain", bin=1, exposures=1, dtype=torch.float64, emission=Psf(kind="none"), excitation=Psf(kind="none")
    )
    generator = torch.Generator().manual_seed(0)
    noisy = (0.2 + 0.6 * _discs().double()) + 0.05 * torch.randn(64, 64, generator=generator, dtype=torch.float64)
    variance = torch.full((1, 64, 64), 0.05**2, dtype=torch.float64)
    weight = 20.0
    ours = total_variation(
        microscope, noisy[None], (64, 64), variance=variance, weight=weight, tolerance=1e-4, max_iterations=3000
    )
    assert ours.converged
    theirs = torch.from_numpy(
        restoration.denoise_tv_chambolle(noisy.numpy(), weight=weight * 0.05**2, eps=1e-12, max_num_iter=3000)
    )
    values = [_objective(microscope, noisy[None], variance.sqrt(), weight, image) for image in (ours.image, theirs)]
    assert values[0] <= values[1] * (1 + 1e-4)
    assert values[1] <= values[0] * (1 + 1e-3)
    assert float((ours.image - theirs).square().mean().sqrt()) < 2e-3


def test_the_gap_bounds_what_is_left_to_gain() -> None:
    specimen = _discs(48)
    microscope = _microscope("hadamard", bin=4, exposures=4, photons=300.0, dtype=torch.float64)
    signal = _measured(microscope, specimen).double()
    deviation = signal_variance(signal, microscope.acquisition).sqrt()
    runs = [
        total_variation(microscope, signal, (48, 48), weight=40.0, tolerance=1e-9, max_iterations=n)
        for n in (50, 200, 800)
    ]
    values = [_objective(microscope, signal, deviation, 40.0, run.image) for run in runs]
    best = values[-1]
    for run, value in zip(runs, values, strict=True):
        assert run.gap >= 0
        assert value - best <= run.gap * value * (1 + 1e-9)
        assert run.gap == run.gaps[-1]
        assert float(run.image.min()) >= 0
    assert runs[0].gap > runs[1].gap > runs[2].gap
    assert runs[2].gap < 0.03
    reached = total_variation(microscope, signal, (48, 48), weight=40.0, tolerance=0.1, max_iterations=800)
    assert reached.converged
    assert reached.iterations < 800


@pytest.mark.parametrize("family", ["raster", "hadamard", "random"])
def test_ridge_and_total_variation_beat_the_adjoint_on_simulated_specimens(family: str) -> None:
    specimen = _discs()
    microscope = _microscope(family, bin=8, exposures=4)
    signal = _measured(microscope, specimen)
    adjoint = _psnr(_scaled_adjoint(microscope, signal, (64, 64)), specimen)
    smooth = _psnr(ridge(microscope, signal, (64, 64)).image, specimen)
    pieces = _psnr(total_variation(microscope, signal, (64, 64), max_iterations=300).image, specimen)
    assert smooth > adjoint + 1
    assert pieces > adjoint + 1


@pytest.mark.parametrize(("family", "bin", "exposures"), [("raster", 8, 4), ("hadamard", 16, 4)])
def test_ridge_and_total_variation_beat_the_adjoint_on_real_images(
    shared_data: Path, family: str, bin: int, exposures: int
) -> None:
    files = sorted((shared_data / "nuclei_bbbc039" / "val" / "images").glob("*.tif*"))[:2]
    assert len(files) == 2
    for file in files:
        pixels = tifffile.imread(file)[:256, :256].astype(np.float32)
        specimen = torch.from_numpy(normalise(pixels, intensity_range(pixels)))
        microscope = _microscope(family, bin=bin, exposures=exposures)
        signal = _measured(microscope, specimen)
        adjoint = _psnr(_scaled_adjoint(microscope, signal, (256, 256)), specimen)
        assert _psnr(ridge(microscope, signal, (256, 256)).image, specimen) > adjoint + 2
        assert _psnr(total_variation(microscope, signal, (256, 256), max_iterations=150).image, specimen) > adjoint + 2


# -- stopping and refusing -------------------------------------------------------------------------


@pytest.mark.parametrize("method", [ridge, total_variation])
def test_a_callback_sees_the_progress_and_can_stop_it(method) -> None:
    microscope = _microscope()
    signal = _measured(microscope, _discs(32))
    seen: list[tuple[int, int]] = []
    method(microscope, signal, (32, 32), max_iterations=30, report=lambda done, most: seen.append((done, most)))
    assert seen
    assert all(done <= most for done, most in seen)

    def stop(done: int, most: int) -> None:
        raise Cancelled("Stopped: nothing was changed.")

    with pytest.raises(Cancelled):
        method(microscope, signal, (32, 32), report=stop)


@pytest.mark.parametrize("method", [ridge, total_variation])
def test_it_asks_often_whether_to_stop(method, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks at the callback there are never more than a few applications of the operator."""
    microscope = _microscope()
    signal = _measured(microscope, _discs(32))
    steps: list[str] = []
    for name in ("forward", "adjoint"):
        original = getattr(Microscope, name)
        watched = lambda self, *a, original=original: (steps.append("x"), original(self, *a))[1]  # noqa: E731
        monkeypatch.setattr(Microscope, name, watched)
    method(microscope, signal, (32, 32), max_iterations=30, report=lambda done, most: steps.append("|"))
    assert max(len(part) for part in "".join(steps).split("|")) <= 6


@pytest.mark.parametrize("method", [ridge, total_variation])
def test_the_same_measurement_gives_the_same_image(method) -> None:
    microscope = _microscope()
    signal = _measured(microscope, _discs(32))
    state = torch.get_rng_state()
    first, second = (method(microscope, signal, (32, 32), max_iterations=20).image for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("method", [ridge, total_variation])
@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_weight_is_refused(method, weight: float) -> None:
    with pytest.raises(SettingsError, match="weight"):
        method(_microscope(), torch.zeros(4, 4, 4), (32, 32), weight=weight)


@pytest.mark.parametrize("method", [ridge, total_variation])
def test_a_signal_of_another_field_is_refused(method) -> None:
    with pytest.raises(SettingsError, match="belong together"):
        method(_microscope(), torch.zeros(4, 4, 4), (64, 32))
