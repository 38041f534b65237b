"""The closed form against matrices written out, against known results, and against measurements."""

from dataclasses import replace

import pytest
import torch
from linear_support import exponential, matrix, white
from support import NO_PSF, assert_sentence

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition, Psf
from napari_dmu.microscope.detector import electrons_variance
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.patterns import make_patterns, plain_patterns
from napari_dmu.reconstruction.linear_estimate import LinearEstimate

BLUR = Psf(sigma=0.5)


def small(exposures: int = 2, bin: int = 2, period: int = 4, **changes: object) -> Acquisition:
    settings = {"photons": 200.0, "background": 1.0, "excitation": BLUR, "emission": BLUR, **changes}
    return Acquisition.model_validate({"exposures": exposures, "bin": bin, "period": period, **settings})


def grey(acquisition: Acquisition, seed: int = 0) -> torch.Tensor:
    shape = (acquisition.exposures, acquisition.period, acquisition.period)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def written_out(acquisition: Acquisition, patterns: torch.Tensor, *, cells: int) -> float:
    """The error of the central cell of a field of 5 × 5 cells, by matrices of every pixel and every sample."""
    side, p, d = 5 * acquisition.period, acquisition.period, acquisition.bin
    statistics = exponential(side)
    pixels = matrix(statistics, side)
    unit = torch.eye(side**2, dtype=torch.float64).reshape(-1, side, side)
    samples = Microscope(patterns, acquisition).forward(unit)  # (pixels, T, y, x)
    first, last = ((2 - cells // 2) * p // d, (3 + cells // 2) * p // d)
    operator = samples[:, :, first:last, first:last].flatten(1).T
    light = (acquisition.quantum_efficiency * acquisition.photons) ** 2
    noise = electrons_variance(operator.sum(1) * statistics.mean, acquisition) / light
    centre = torch.arange(side**2).reshape(side, side)[2 * p : 3 * p, 2 * p : 3 * p].flatten()
    cross = (operator @ pixels)[:, centre]
    gram = operator @ pixels @ operator.T + torch.diag(noise)
    explained = (cross * torch.linalg.solve(gram, cross)).sum(0)
    return float((pixels.diagonal()[centre] - explained).mean())


@pytest.mark.parametrize("cells", [1, 3])
@pytest.mark.parametrize(("exposures", "bin", "period"), [(2, 2, 4), (3, 4, 4), (1, 2, 2)])
def test_error_is_that_of_the_matrices(exposures: int, bin: int, period: int, cells: int) -> None:
    acquisition = small(exposures, bin, period)
    patterns = grey(acquisition)
    statistics = exponential(LinearEstimate.reach(acquisition))
    found = float(LinearEstimate(acquisition, statistics, cells=cells).error(patterns))
    assert found == pytest.approx(written_out(acquisition, patterns, cells=cells), rel=1e-3)


def test_what_pooling_took_away_is_lost() -> None:
    a = small(2, 2, 4)
    statistics = exponential(LinearEstimate.reach(a))
    errors = [float(LinearEstimate(a, one).error(grey(a))) for one in (statistics, replace(statistics, lost=0.01))]
    assert errors[1] == pytest.approx(errors[0] + 0.01)


def test_independent_pixels_have_a_formula() -> None:
    """One sample of the sum of d² independent pixels explains v² / (d² v + noise) of the variance v of each."""
    a = small(1, 4, 4, excitation=NO_PSF, emission=NO_PSF)
    v = 0.04
    statistics = white(LinearEstimate.reach(a), variance=v)
    noise = float(electrons_variance(torch.tensor(16 * statistics.mean), a)) / a.photons**2
    found = float(LinearEstimate(a, statistics).error(torch.ones(1, 4, 4)))
    assert found == pytest.approx(v - v**2 / (16 * v + noise), rel=1e-9)


def test_one_sample_a_pixel_without_noise_leaves_no_error() -> None:
    quiet = {"photons": 1e9, "background": 0.0, "read_noise": 0.0, "excitation": NO_PSF, "emission": NO_PSF}
    camera, scan = small(1, 1, 2, **quiet), small(4, 2, 2, **quiet)
    for a, patterns in ((camera, plain_patterns(1, 2)), (scan, make_patterns("raster", exposures=4, period=2, bin=2))):
        estimate = LinearEstimate(a, exponential(LinearEstimate.reach(a)))
        assert float(estimate.error(torch.from_numpy(patterns))) == pytest.approx(0, abs=1e-7)


def test_without_light_the_mean_is_all_there_is() -> None:
    a = small()
    estimate = LinearEstimate(a, exponential(LinearEstimate.reach(a)))
    dark = torch.zeros(2, 4, 4)
    assert float(estimate.error(dark)) == pytest.approx(estimate.statistics.variance)


def test_more_to_see_is_never_worse() -> None:
    a = small(2, 4, 4)
    statistics, patterns = exponential(LinearEstimate.reach(a)), grey(a)
    near, far = (float(LinearEstimate(a, statistics, cells=c).error(patterns)) for c in (1, 3))
    assert far < near
    bright = a.model_copy(update={"photons": 2000.0})
    assert float(LinearEstimate(bright, statistics).error(patterns)) < far


def test_gradient_is_that_of_finite_differences() -> None:
    a = small()
    estimate = LinearEstimate(a, exponential(LinearEstimate.reach(a)))
    patterns = (0.2 + 0.6 * grey(a)).requires_grad_()
    assert torch.autograd.gradcheck(estimate.error, (patterns,), eps=1e-6, atol=1e-8)


def test_pooling_hardly_matters_where_the_specimen_is_smooth() -> None:
    a = small(4, 8, 8)
    patterns = torch.from_numpy(make_patterns("raster", exposures=4, period=8, bin=8)).double()
    reach = LinearEstimate.reach(a)
    smooth = exponential(reach, length=60.0)
    pooled = type(smooth)(smooth.mean, smooth.covariance[reach % 2 :: 2, reach % 2 :: 2])
    coarse = LinearEstimate(a, pooled, pixel=2) if pooled.reach >= LinearEstimate.reach(a, pixel=2) else None
    assert coarse is not None
    assert float(coarse.error(patterns)) == pytest.approx(
        float(LinearEstimate(a, smooth).error(patterns)), abs=0.02 * smooth.variance
    )


def test_lifting_reaches_the_error_that_is_promised() -> None:
    a = small(2, 4, 4, photons=500.0)
    statistics = exponential(LinearEstimate.reach(a))
    estimate, patterns = LinearEstimate(a, statistics), grey(a, 3)
    generator = torch.Generator().manual_seed(0)
    size = estimate.size * 4
    power = exponential(size // 2).grid(size)
    noise = torch.randn(40, size, size, generator=generator, dtype=torch.float64)
    specimens = torch.fft.irfft2(torch.fft.rfft2(noise) * power.sqrt(), s=(size, size)) + statistics.mean
    signal = Microscope(patterns, a).forward(specimens)
    # The noise of the mean signal, as the closed form has it.
    level = electrons_variance(signal.mean((0, 2, 3), keepdim=True), a).sqrt() / a.photons
    signal = signal + level * torch.randn(signal.shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        picture = estimate.lifting(patterns).double()(signal / a.bin**2)[:, 0]
    inner = slice(2 * a.period, size - 2 * a.period)
    error = (picture - specimens)[:, inner, inner].square().mean()
    assert float(error) == pytest.approx(float(estimate.error(patterns)), rel=0.03)


def test_refusals() -> None:
    a = small()
    statistics = exponential(LinearEstimate.reach(a))
    wrong = (
        lambda: LinearEstimate(a, statistics, cells=2),
        lambda: LinearEstimate(a, statistics, pixel=3),
        lambda: LinearEstimate(a, statistics, cells=1).lifting(grey(a)),
    )
    for make in wrong:
        with pytest.raises(SettingsError) as error:
            make()
        assert_sentence(error.value)
