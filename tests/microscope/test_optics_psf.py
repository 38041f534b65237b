"""Point spread functions against references that are not our own: closed forms, SciPy, psf-generator."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, signal, special

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Psf
from napari_dmu.microscope.optics import (
    RADIUS,
    RADIUS_MOST,
    ConvolveMethod,
    born_wolf_radius,
    convolve,
    gaussian_kernel,
    gaussian_sigma,
    psf_kernel,
)
from napari_dmu.microscope.pupil import born_wolf_energy, born_wolf_integrals, born_wolf_kernel, intensity

NA, WAVELENGTH = 0.8, 520.0
MICRONS = WAVELENGTH / 1000
PEAK = math.pi * NA**2 / MICRONS**2
FIRST_ZERO = 1.2196698912665045 / 2 * MICRONS / NA  # j₁,₁/(2π) λ/NA, the 0.61 λ/NA of the textbooks


def airy(v: np.ndarray) -> np.ndarray:
    safe = np.where(v == 0, 1, v)
    return np.where(v == 0, 1.0, (2 * special.j1(safe) / safe) ** 2)


def debye(rho: float, aperture: float, index: float, defocus: float) -> float:
    """The diffraction integral over the angle, by SciPy's adaptive quadrature."""
    k = 2 * math.pi / MICRONS

    def integrand(angle: float) -> complex:
        phase = np.exp(1j * k * index * defocus * math.cos(angle))
        return complex(special.j0(k * index * rho * math.sin(angle)) * phase * math.sin(angle) * math.cos(angle))

    value = integrate.quad(integrand, 0, math.asin(aperture / index), limit=1000, epsabs=1e-12, complex_func=True)[0]
    return abs(value) ** 2 * (2 * (index / aperture) ** 2) ** 2


# -- in focus ----------------------------------------------------------------------------------------


def test_in_focus_it_is_the_airy_pattern() -> None:
    rho = torch.linspace(0, 12, 2001, dtype=torch.float64)
    expected = airy(2 * math.pi * NA / MICRONS * rho.numpy())
    np.testing.assert_allclose(intensity(rho, NA, WAVELENGTH).numpy() / PEAK, expected, atol=1e-12)


def test_first_zero_of_a_finely_sampled_kernel() -> None:
    pixel = 0.002
    kernel = born_wolf_kernel(NA, WAVELENGTH, pixel, radius=280)
    profile = kernel[280, 280:].numpy()
    zero = int(np.argmax(np.diff(profile) > 0)) * pixel
    assert zero == pytest.approx(0.61 * MICRONS / NA, rel=0.01)


def test_finely_sampled_kernel_is_the_airy_pattern() -> None:
    pixel = 0.01
    kernel = born_wolf_integrals(NA, WAVELENGTH, pixel, radius=100).numpy() / pixel**2 / PEAK
    line = np.arange(-100, 101) * pixel
    expected = airy(2 * math.pi * NA / MICRONS * np.hypot(line[:, None], line[None, :]))
    np.testing.assert_allclose(kernel, expected, atol=1e-3)


def test_encircled_energy_inside_the_first_zero() -> None:
    # One and a half pixels reach the first dark ring.
    energy = born_wolf_energy(NA, WAVELENGTH, FIRST_ZERO / 1.5, radius=1)
    assert float(energy[1]) == pytest.approx(0.838, abs=5e-4)
    assert float(energy[1]) == pytest.approx(1 - special.j0(special.jn_zeros(1, 1)[0]) ** 2, abs=1e-9)


def test_width_of_the_gaussian_is_the_least_squares_fit_to_the_airy_pattern() -> None:
    rho = np.linspace(0, 5, 5001) * MICRONS / NA
    pattern = intensity(torch.as_tensor(rho), NA, WAVELENGTH).numpy() / PEAK

    def misfit(sigma: float) -> float:
        return float(np.sum((np.exp(-(rho**2) / (2 * sigma**2)) - pattern) ** 2 * rho))

    best = optimize.minimize_scalar(misfit, bounds=(0.1, 0.3), method="bounded").x
    assert gaussian_sigma(NA, WAVELENGTH, 1.0) == pytest.approx(best, rel=0.02)
    assert gaussian_sigma(NA, WAVELENGTH, 0.1) == pytest.approx(0.21 * 0.52 / 0.8 / 0.1)


# -- defocus -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aperture", "index", "defocus"),
    [(0.3, 1.0, 5.0), (0.8, 1.0, -3.0), (0.99, 1.0, 5.0), (1.4, 1.515, 1.0), (1.45, 1.515, 10.0), (0.8, 1.33, 40.0)],
)
def test_defocus_is_the_debye_integral(aperture: float, index: float, defocus: float) -> None:
    rho = torch.tensor([0.0, 0.1, 0.5, 2.0, 8.0], dtype=torch.float64)
    ours = intensity(rho, aperture, WAVELENGTH, index, defocus).numpy() / (math.pi * aperture**2 / MICRONS**2)
    expected = [debye(float(r), aperture, index, defocus) for r in rho]
    np.testing.assert_allclose(ours, expected, atol=1e-9)


@pytest.mark.parametrize(("aperture", "index"), [(0.2, 1.0), (0.4, 1.515)])
def test_first_axial_zero(aperture: float, index: float) -> None:
    """2 n λ/NA² is paraxial; the exact phase moves it inwards by (NA/2n)², which is the tolerance."""
    expected = 2 * index * MICRONS / aperture**2
    depths = np.linspace(0.8, 1.2, 401) * expected
    axis = torch.zeros(1, dtype=torch.float64)
    values = [float(intensity(axis, aperture, WAVELENGTH, index, float(z))) for z in depths]
    assert depths[int(np.argmin(values))] == pytest.approx(expected, rel=(aperture / index / 2) ** 2 + 2e-3)
    assert min(values) < 1e-3 * float(intensity(axis, aperture, WAVELENGTH, index))


@pytest.mark.parametrize("defocus", [0.0, 0.5, 2.0, 6.0])
def test_light_is_conserved(defocus: float) -> None:
    """Defocus moves light about and loses none; of an Airy pattern 1 − 2/(πv) lies within v."""
    radius, pixel = 120, 0.2
    energy = float(born_wolf_energy(NA, WAVELENGTH, pixel, 1.0, defocus, radius=radius)[-1])
    v = 2 * math.pi * NA / MICRONS * (radius + 0.5) * pixel
    assert energy == pytest.approx(1 - 2 / (math.pi * v), abs=1.5e-3)
    square = float(born_wolf_integrals(NA, WAVELENGTH, pixel, 1.0, defocus, radius=radius).sum())
    assert energy < square < 1


def test_defocus_widens_and_its_sign_does_not_matter() -> None:
    kernels = [born_wolf_kernel(NA, WAVELENGTH, 0.2, 1.0, z, radius=20) for z in (-2.0, 0.0, 2.0)]
    torch.testing.assert_close(kernels[0], kernels[2], rtol=0, atol=1e-14)
    assert kernels[2].max() < 0.5 * kernels[1].max()


# -- an independent library --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aperture", "index", "depth"), [(0.8, 1.0, 0), (0.8, 1.0, 3000), (1.3, 1.515, 0), (1.3, 1.515, 1000)]
)
def test_psf_generator_draws_the_same_curves(aperture: float, index: float, depth: int) -> None:
    library = pytest.importorskip("psf_generator", reason="psf-generator is not installed here")
    settings = {"n_pix_pupil": 1001, "n_pix_psf": 65, "wavelength": WAVELENGTH, "na": aperture, "pix_size": 40}
    settings |= {"n_i": index, "n_i0": index, "cos_factor": True}
    focus = library.ScalarSphericalPropagator(**settings)
    peak = float(focus.compute_focus_field().abs().square().max())
    other = library.ScalarSphericalPropagator(**settings, defocus_step=depth, n_defocus=1)
    theirs = other.compute_focus_field().abs().square().squeeze() / peak
    # Its grid spans the field from end to end, so its pitch is not quite pix_size; lengths are nm.
    rho = torch.sqrt(other.xx.double() ** 2 + other.yy.double() ** 2) / 1000
    ours = intensity(rho, aperture, WAVELENGTH, index, other.defocus_min / 1000)
    ours = ours / (math.pi * aperture**2 / MICRONS**2)
    assert theirs.shape == ours.shape
    assert float((ours - theirs).abs().max()) < 0.02 * float(theirs.max())
    bright = theirs > 0.1 * theirs.max()
    assert float((ours / theirs - 1)[bright].abs().max()) < 0.02


# -- kernels -----------------------------------------------------------------------------------------

MICROSCOPES = [
    {},
    {"defocus": 3.0},
    {"numerical_aperture": 1.4, "index": 1.515, "pixel_size": 0.065},
    {"numerical_aperture": 0.3, "pixel_size": 0.65, "defocus": 20.0},
    {"pixel_size": 1.0},
    {"pixel_size": 20.0},
    {"pixel_size": 100.0, "wavelength": 100.0},
]


@pytest.mark.parametrize("settings", MICROSCOPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernels_have_unit_sum_and_are_centred_and_symmetric(settings: dict, dtype: torch.dtype) -> None:
    psf = Psf(kind="born_wolf", **settings)
    kernel = psf_kernel(psf, dtype=dtype)
    side = kernel.shape[0]
    assert kernel.dtype == dtype
    assert kernel.shape == (side, side)
    assert side % 2 == 1
    assert side <= 2 * RADIUS + 1
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-6)
    assert kernel.min() >= 0
    for image in (kernel.flip(0), kernel.flip(1), kernel.T):
        torch.testing.assert_close(image, kernel, rtol=0, atol=1e-9)
    line = torch.arange(side, dtype=dtype) - side // 2
    assert abs(float((kernel.sum(0) * line).sum())) < 1e-5


@pytest.mark.parametrize("settings", MICROSCOPES[:5])
def test_kernels_hold_the_light_that_they_promise(settings: dict) -> None:
    psf = Psf(kind="born_wolf", **settings)
    optics = (psf.numerical_aperture, psf.wavelength, psf.pixel_size, psf.index, psf.defocus)
    radius = born_wolf_radius(psf)
    held = float(born_wolf_integrals(*optics, radius=radius).sum())
    assert held >= (0.99 if radius < RADIUS else 0.95)


def test_a_kernel_grows_with_strong_defocus_and_is_refused_beyond() -> None:
    assert RADIUS < born_wolf_radius(Psf(kind="born_wolf", defocus=15.0)) <= RADIUS_MOST
    with pytest.raises(SettingsError, match="lower the defocus"):
        psf_kernel(Psf(kind="born_wolf", defocus=100.0))


def test_pixels_integrate_where_the_optics_are_undersampled() -> None:
    """Coarse pixels are sums of fine ones; a kernel sampled at the centres would be far off."""
    fine = born_wolf_integrals(NA, WAVELENGTH, 0.2, radius=17)  # 35 = 7·5
    coarse = born_wolf_integrals(NA, WAVELENGTH, 1.0, radius=3)
    torch.testing.assert_close(fine.reshape(7, 5, 7, 5).sum((1, 3)), coarse, rtol=0, atol=1e-9)
    line = torch.arange(-3, 4, dtype=torch.float64)
    sampled = intensity(torch.hypot(line[:, None], line[None, :]), NA, WAVELENGTH)
    assert float((sampled / sampled.sum() - coarse / coarse.sum()).abs().max()) > 0.1


def test_callers_do_not_share_a_kernel() -> None:
    psf = Psf(kind="born_wolf")
    psf_kernel(psf, dtype=torch.float64).zero_()
    assert float(psf_kernel(psf, dtype=torch.float64).sum()) == pytest.approx(1)


def test_a_kernel_first_asked_for_in_inference_mode_can_be_trained_with() -> None:
    psf = Psf(kind="born_wolf", wavelength=543.21)
    with torch.inference_mode():
        psf_kernel(psf)
    image = torch.rand(1, 8, 8, requires_grad=True)
    convolve(image, psf_kernel(psf)).sum().backward()
    assert image.grad is not None


def test_measured_kernels_are_scaled_to_unit_sum_and_keep_their_orientation() -> None:
    rows = ((0.0, 2.0, 1.0), (0.0, 4.0, 0.0), (0.0, 1.0, 0.0))
    kernel = psf_kernel(Psf(kind="measured", kernel=rows), dtype=torch.float64)
    torch.testing.assert_close(kernel, torch.tensor(rows, dtype=torch.float64) / 8)


@pytest.mark.parametrize("middle", [0.0, -1.0, math.nan, math.inf])
def test_measured_kernels_without_light_are_refused(middle: float) -> None:
    rows = ((0.0, 0.0, 0.0), (0.0, middle, 0.0), (0.0, 0.0, 0.0))
    with pytest.raises(SettingsError, match="positive sum"):
        psf_kernel(Psf(kind="measured", kernel=rows))


@pytest.mark.parametrize(
    ("optics", "words"),
    [
        ((-0.5, 520.0, 0.3), "numerical aperture is -0.5"),
        ((0.0, 520.0, 0.3), "numerical aperture is 0"),
        ((1.2, 520.0, 0.3), "below the immersion's index"),
        ((1.0, 520.0, 0.3), "below the immersion's index"),
        ((0.5, math.nan, 0.3), "wavelength is nan"),
        ((0.5, 520.0, 0.0), "pixel size is 0"),
        ((0.5, 520.0, 0.3, math.inf), "refractive index is inf"),
        ((0.8, 100.0, 100.0), "too coarse"),
    ],
)
def test_optics_that_cannot_be_are_refused(optics: tuple[float, ...], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        born_wolf_kernel(*optics, radius=2)


# -- gradients ---------------------------------------------------------------------------------------


def test_gradients_of_the_born_wolf_kernel() -> None:
    values = (0.8, 520.0, 0.325, 1.33, 0.7)
    inputs = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
    assert torch.autograd.gradcheck(lambda *x: born_wolf_kernel(*x, radius=3), inputs, atol=1e-7)
    assert torch.autograd.gradgradcheck(lambda na: born_wolf_kernel(na, *values[1:], radius=1), inputs[:1], atol=1e-6)


def test_defocus_has_a_gradient_at_the_focus_and_it_is_zero() -> None:
    defocus = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(born_wolf_kernel(0.8, 520.0, 0.325, 1.0, defocus, radius=3)[3, 3], defocus)
    assert abs(float(gradient)) < 1e-12


def test_the_gradient_finds_the_defocus() -> None:
    truth = born_wolf_kernel(NA, WAVELENGTH, 0.2, 1.0, 1.5, radius=8)
    defocus = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([defocus], line_search_fn="strong_wolfe", max_iter=50, tolerance_grad=1e-12)

    def misfit() -> torch.Tensor:
        solver.zero_grad()
        loss = 1e3 * (born_wolf_kernel(NA, WAVELENGTH, 0.2, 1.0, defocus, radius=8) - truth).square().sum()
        loss.backward()
        return loss

    solver.step(misfit)
    assert float(defocus.detach()) == pytest.approx(1.5, abs=1e-3)


def test_gradients_of_the_gaussian_width() -> None:
    sigma = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: gaussian_kernel(s, radius=5, dtype=torch.float64), sigma)
    aperture = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)

    def kernel(na: torch.Tensor) -> torch.Tensor:
        return gaussian_kernel(gaussian_sigma(na, 520.0, 0.1), radius=5, dtype=torch.float64)

    assert torch.autograd.gradcheck(kernel, aperture)


def test_gradients_of_the_kernel_under_torch_func() -> None:
    def middle(na: torch.Tensor) -> torch.Tensor:
        return born_wolf_kernel(na, 520.0, 0.325, radius=2)[2, 2]

    na = torch.tensor(0.8, dtype=torch.float64)
    reverse = torch.func.grad(middle)(na)
    forward = torch.func.jvp(middle, (na,), (torch.ones_like(na),))[1]
    torch.testing.assert_close(forward, reverse)
    assert float(reverse) > 0  # a larger aperture gives a sharper spot


def test_gaussian_of_a_tensor_is_that_of_the_number() -> None:
    for sigma in (0.0, 0.4, 2.5):
        number = gaussian_kernel(sigma, radius=6)
        torch.testing.assert_close(gaussian_kernel(torch.tensor(sigma, dtype=torch.float64), radius=6), number)
    assert gaussian_kernel(0.0).tolist() == [1.0]
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(SettingsError, match="width"):
            gaussian_kernel(bad)


# -- convolution -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "direct", "fft"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (9, 9), (31, 7), (41, 41)])
@pytest.mark.parametrize("field", [(1, 1), (24, 17), (61, 40)])
def test_convolution_is_true_convolution(method: ConvolveMethod, shape: tuple, field: tuple) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, *field, generator=generator)
    kernel = torch.rand(*shape, generator=generator)  # of no symmetry
    full = np.stack([signal.convolve(p.double(), kernel.double(), mode="full", method="direct") for p in image])
    down, across = shape[0] // 2, shape[1] // 2
    expected = full[:, down : down + field[0], across : across + field[1]]
    result = convolve(image, kernel, method=method)
    assert result.dtype == image.dtype
    assert np.abs(result.numpy() - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_point_becomes_the_kernel_and_not_its_mirror_image() -> None:
    kernel = torch.arange(25.0).reshape(5, 5)
    point = torch.zeros(1, 11, 11)
    point[0, 5, 5] = 1
    for method in ("direct", "fft"):
        torch.testing.assert_close(convolve(point, kernel, method=method)[0, 3:8, 3:8], kernel, rtol=0, atol=1e-5)


def test_the_cheaper_method_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    rfft2 = torch.fft.rfft2

    def counted(*arguments: object, **keywords: object) -> torch.Tensor:
        calls.append("fft")
        return rfft2(*arguments, **keywords)

    monkeypatch.setattr(torch.fft, "rfft2", counted)
    image = torch.rand(1, 64, 64)
    convolve(image, torch.rand(3, 3))
    assert not calls
    convolve(image, torch.rand(33, 33))
    assert calls


def test_kernels_without_a_centre_and_unknown_methods_are_refused() -> None:
    image = torch.rand(1, 8, 8)
    with pytest.raises(SettingsError, match="odd sides"):
        convolve(image, torch.ones(4, 4))
    with pytest.raises(SettingsError, match="no method"):
        convolve(image, torch.ones(3, 3), method="magic")  # type: ignore[arg-type]
