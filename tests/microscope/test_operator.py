"""The microscope as a linear operator: transposes, norms, transforms, derivatives, and what its parameters mean."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from napari_dmu.microscope import forward as forward_module
from napari_dmu.microscope.acquisition import Acquisition, Psf, Registration
from napari_dmu.microscope.forward import Microscope


def _random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _patterns(exposures: int, period: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return (torch.rand(exposures, period, period, generator=_random(seed), dtype=torch.float64) > 0.5).to(dtype)


def _microscope(
    *,
    bin: int = 4,
    cells: int = 2,
    exposures: int = 3,
    emission: float = 0.8,
    excitation: float = 0.6,
    registration: Registration | None = None,
    contrast: float | None = None,
    dtype: torch.dtype = torch.float64,
) -> Microscope:
    acquisition = Acquisition(
        bin=bin,
        exposures=exposures,
        period=bin * cells,
        emission=Psf(sigma=emission) if emission else Psf(kind="none"),
        excitation=Psf(sigma=excitation) if excitation else Psf(kind="none"),
        registration=registration or Registration(),
        contrast=contrast,
    )
    return Microscope(_patterns(exposures, bin * cells, dtype=dtype), acquisition)


def _dense(microscope: Microscope, field: tuple[int, int]) -> Tensor:
    """The operator as a matrix: (samples, pixels)."""
    pixels = field[0] * field[1]
    basis = torch.eye(pixels, dtype=microscope.patterns.dtype).reshape(pixels, *field)
    return microscope.forward(basis).reshape(pixels, -1).T


registrations = st.one_of(
    st.none(),
    st.builds(
        Registration,
        shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
        rotation=st.floats(-5, 5),
        scale=st.floats(0.95, 1.05),
    ),
)
microscopes = st.builds(
    _microscope,
    bin=st.sampled_from([1, 2, 3, 4, 8]),
    cells=st.integers(1, 3),
    exposures=st.integers(1, 5),
    emission=st.sampled_from([0.0, 0.5, 1.0, 2.5]),  # the last is wider than small bins: exposure by exposure, by FFT
    excitation=st.sampled_from([0.0, 1.0]),
    registration=registrations,
    contrast=st.one_of(st.none(), st.floats(5, 1000)),
)
fields = st.tuples(st.integers(1, 29), st.integers(1, 29))


# -- transposes ------------------------------------------------------------------------------------


@given(microscopes, fields, st.integers(0, 2**31))
def test_the_adjoint_is_the_transpose(microscope: Microscope, field: tuple[int, int], seed: int) -> None:
    acquisition = microscope.acquisition
    specimen = torch.randn(2, *field, generator=_random(seed), dtype=torch.float64)
    shape = (2, acquisition.exposures, *acquisition.bins(field))
    signal = torch.randn(shape, generator=_random(seed + 1), dtype=torch.float64)
    seen = microscope.forward(specimen)
    left, right = (seen * signal).sum(), (specimen * microscope.adjoint(signal, field)).sum()
    scale = float(seen.norm() * signal.norm()) + 1e-300
    assert abs(float(left - right)) <= 1e-10 * scale


@given(microscopes, fields, st.integers(0, 2**31))
def test_the_gram_operator_is_forward_then_adjoint(microscope: Microscope, field: tuple[int, int], seed: int) -> None:
    specimen = torch.randn(field, generator=_random(seed), dtype=torch.float64)
    expected = microscope.adjoint(microscope.forward(specimen), field)
    torch.testing.assert_close(microscope.gram(specimen), expected, rtol=1e-10, atol=1e-10)


@given(microscopes, fields, st.integers(0, 2**31))
def test_it_is_linear(microscope: Microscope, field: tuple[int, int], seed: int) -> None:
    one, other = torch.randn(2, *field, generator=_random(seed), dtype=torch.float64)
    both = microscope.forward(2.5 * one - 0.5 * other)
    torch.testing.assert_close(both, 2.5 * microscope.forward(one) - 0.5 * microscope.forward(other))


def test_the_adjoint_in_single_precision() -> None:
    microscope = _microscope(dtype=torch.float32)
    specimen = torch.rand(37, 50, generator=_random(0))
    signal = torch.rand(3, *microscope.acquisition.bins((37, 50)), generator=_random(1))
    left = (microscope.forward(specimen).double() * signal).sum()
    right = (specimen.double() * microscope.adjoint(signal, (37, 50))).sum()
    assert float(left) == pytest.approx(float(right), rel=1e-5)


@pytest.mark.parametrize("emission", [0.0, 1.0, 12.0])
@pytest.mark.parametrize("registration", [None, Registration(shift=(0.4, -1.2), rotation=1.0, scale=1.01)])
def test_the_norm_is_the_largest_singular_value(emission: float, registration: Registration | None) -> None:
    microscope = _microscope(emission=emission, registration=registration)
    field = (9, 11)
    expected = float(torch.linalg.matrix_norm(_dense(microscope, field), ord=2))
    assert microscope.norm(field, iterations=80) == pytest.approx(expected, rel=1e-4)
    assert microscope.norm(field, iterations=5) <= expected * (1 + 1e-12)


@given(microscopes)
def test_the_windows_are_the_weights_of_interior_samples(microscope: Microscope) -> None:
    acquisition = microscope.acquisition
    windows = microscope.windows()
    d, period = acquisition.bin, acquisition.period
    reach = (windows.shape[-1] - d) // 2
    if microscope.registration is not None or reach > period:
        return
    aligned = Microscope(microscope.patterns, acquisition)
    side = 3 * period
    signal = torch.zeros(acquisition.exposures, side // d, side // d, dtype=torch.float64)
    place = period // d  # the first bin of the middle period
    signal[0, place, place] = 1.0
    expected = torch.zeros(side, side, dtype=torch.float64)
    expected[period - reach : period + d + reach, period - reach : period + d + reach] = windows[0, 0, 0]
    if reach < period:
        torch.testing.assert_close(aligned.adjoint(signal, (side, side)), expected, rtol=0, atol=1e-12)


# -- transforms of functions -----------------------------------------------------------------------

KINDS = {
    "fused": {},
    "registered": {"registration": Registration(shift=(0.5, 0.2), rotation=0.5)},
    "fft": {"emission": 12.0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_vmap_jvp_and_vjp(kind: str) -> None:
    microscope = _microscope(**KINDS[kind])  # type: ignore[arg-type]
    field = (19, 14)
    planes = torch.rand(3, *field, generator=_random(0), dtype=torch.float64)
    signal = microscope.forward(planes)
    torch.testing.assert_close(torch.func.vmap(microscope.forward)(planes), signal)
    pulled = torch.func.vmap(lambda s: microscope.adjoint(s, field))(signal)
    torch.testing.assert_close(pulled, microscope.adjoint(signal, field))
    value, tangent = torch.func.jvp(microscope.forward, (planes[0],), (planes[1],))
    torch.testing.assert_close(value, signal[0])
    torch.testing.assert_close(tangent, signal[1])
    cotangent = torch.func.vjp(microscope.forward, planes[0])[1](signal[2])[0]
    torch.testing.assert_close(cotangent, microscope.adjoint(signal[2], field))


@pytest.mark.parametrize("kind", KINDS)
def test_it_compiles(kind: str) -> None:
    """Traced as a whole; the code that inductor makes of the trace is torch's own business, and slow to make."""
    microscope = _microscope(dtype=torch.float32, **KINDS[kind])  # type: ignore[arg-type]
    specimen = torch.rand(24, 24, generator=_random(0))
    torch.compiler.reset()
    signal = microscope.forward(specimen)
    compiled = torch.compile(microscope.forward, backend="aot_eager")
    torch.testing.assert_close(compiled(specimen), signal, rtol=1e-5, atol=1e-5)
    if kind == "fused":
        transposed = torch.compile(lambda s: microscope.adjoint(s, (24, 24)), backend="aot_eager")
        torch.testing.assert_close(transposed(signal), microscope.adjoint(signal, (24, 24)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_type_is_that_of_the_patterns(dtype: torch.dtype) -> None:
    microscope = _microscope(dtype=dtype)
    signal = microscope.forward(torch.rand(2, 5, 9, 10))
    assert signal.dtype == dtype
    assert signal.shape == (2, 5, 3, 3, 3)
    assert microscope.adjoint(signal.float(), (9, 10)).dtype == dtype
    assert microscope.adjoint(signal, (9, 10)).shape == (2, 5, 9, 10)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_the_device_is_that_of_the_patterns(kind: str) -> None:
    here = _microscope(**KINDS[kind])  # type: ignore[arg-type]
    there = Microscope(here.patterns.cuda(), here.acquisition)
    specimen = torch.rand(30, 41, generator=_random(0), dtype=torch.float64)
    signal = there.forward(specimen.cuda())
    assert signal.is_cuda
    torch.testing.assert_close(signal.cpu(), here.forward(specimen))
    torch.testing.assert_close(there.adjoint(signal, (30, 41)).cpu(), here.adjoint(signal.cpu(), (30, 41)))


# -- derivatives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_in_the_patterns(kind: str) -> None:
    acquisition = _microscope(bin=2, exposures=2, **KINDS[kind]).acquisition  # type: ignore[arg-type]
    if kind == "fft":
        acquisition = acquisition.model_copy(update={"emission": Psf(sigma=3.0)})
    specimen = torch.rand(5, 6, generator=_random(0), dtype=torch.float64)
    logits = torch.randn(2, 4, 4, generator=_random(1), dtype=torch.float64, requires_grad=True)

    def signal(values: Tensor) -> Tensor:
        return Microscope(values.sigmoid(), acquisition).forward(specimen)

    def pulled(values: Tensor) -> Tensor:
        return Microscope(values.sigmoid(), acquisition).adjoint(signal(values), (5, 6))

    assert torch.autograd.gradcheck(signal, (logits,))
    assert torch.autograd.gradcheck(pulled, (logits,))


def test_gradients_in_the_registration() -> None:
    microscope = _microscope()
    specimen = torch.rand(9, 10, generator=_random(0), dtype=torch.float64)
    # Away from whole pixels, where bicubic interpolation has a continuous derivative but a kinked second one.
    start = torch.tensor([0.3, -0.6, 0.02, 1.013], dtype=torch.float64, requires_grad=True)

    def signal(registration: Tensor) -> Tensor:
        return Microscope(microscope.patterns, microscope.acquisition, registration=registration).forward(specimen)

    assert torch.autograd.gradcheck(signal, (start,), eps=1e-7, atol=1e-4, rtol=1e-3)


def test_gradients_in_the_specimen_without_a_psf() -> None:
    microscope = _microscope(emission=0.0, excitation=0.0)
    specimen = torch.rand(7, 9, generator=_random(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(microscope.forward, (specimen,))


# -- what the parameters mean ----------------------------------------------------------------------


@pytest.mark.parametrize("emission", [0.0, 0.7, 1.5, 3.0])
@pytest.mark.parametrize("cells", [1, 2])
def test_the_fft_path_agrees_with_the_direct_one(monkeypatch: pytest.MonkeyPatch, emission: float, cells: int) -> None:
    microscope = _microscope(emission=emission, cells=cells, dtype=torch.float32)
    specimen = torch.rand(45, 38, generator=_random(0))
    direct = microscope.forward(specimen)
    monkeypatch.setattr(forward_module, "FFT_ABOVE", 0.0)
    by_fft = microscope.forward(specimen)
    assert float((direct - by_fft).norm() / direct.norm()) < 1e-5
    torch.testing.assert_close(
        microscope.adjoint(by_fft, (45, 38)), microscope.adjoint(direct, (45, 38)), rtol=1e-4, atol=1e-4
    )


def _registered(microscope: Microscope, *values: float) -> Microscope:
    registration = torch.tensor(values, dtype=microscope.patterns.dtype)
    return Microscope(microscope.patterns, microscope.acquisition, registration=registration)


def test_no_registration_error_is_the_aligned_microscope() -> None:
    microscope = _microscope()
    specimen = torch.rand(21, 30, generator=_random(0), dtype=torch.float64)
    still = _registered(microscope, 0.0, 0.0, 0.0, 1.0)
    torch.testing.assert_close(still.forward(specimen), microscope.forward(specimen), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_by_one_period_changes_nothing_inside(axis: int) -> None:
    microscope = _microscope()
    shift = [0.0, 0.0]
    shift[axis] = float(microscope.acquisition.period)
    specimen = torch.rand(32, 40, generator=_random(0), dtype=torch.float64)
    moved, expected = _registered(microscope, *shift, 0.0, 1.0).forward(specimen), microscope.forward(specimen)
    torch.testing.assert_close(moved[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], rtol=1e-9, atol=1e-9)


@given(st.integers(-9, 9), st.integers(-9, 9))
def test_a_shift_by_whole_pixels_rolls_the_patterns(down: int, across: int) -> None:
    microscope = _microscope()
    specimen = torch.rand(22, 17, generator=_random(0), dtype=torch.float64)
    moved = _registered(microscope, float(down), float(across), 0.0, 1.0)
    rolled = Microscope(microscope.patterns.roll((-down, -across), (1, 2)), microscope.acquisition)
    torch.testing.assert_close(moved.forward(specimen), rolled.forward(specimen), rtol=1e-9, atol=1e-9)


def test_mirrors_that_are_off_leak() -> None:
    contrast = 20.0
    perfect, leaky = _microscope(), _microscope(contrast=contrast)
    everything_on = Microscope(torch.ones_like(perfect.patterns), perfect.acquisition)
    specimen = torch.rand(16, 16, generator=_random(0), dtype=torch.float64)
    expected = perfect.forward(specimen) * (1 - 1 / contrast) + everything_on.forward(specimen) / contrast
    torch.testing.assert_close(leaky.forward(specimen), expected)


@given(st.sampled_from([0.0, 0.8, 2.0, 6.0]), st.integers(1, 3), st.booleans())
def test_no_light_is_lost_or_made(emission: float, cells: int, dark_border: bool) -> None:
    """All mirrors on: a specimen with a dark border gives the sum of its pixels, a uniform one d² everywhere."""
    shape = _microscope(emission=emission, cells=cells, exposures=2)
    microscope = Microscope(torch.ones_like(shape.patterns), shape.acquisition)
    if dark_border:
        specimen = torch.zeros(96, 96, dtype=torch.float64)
        specimen[40:56, 40:56] = torch.rand(16, 16, generator=_random(0), dtype=torch.float64)
        total = microscope.forward(specimen).sum((-1, -2))
        # A specimen in the middle of the field, farther from its borders than the PSF reaches.
        torch.testing.assert_close(total, specimen.sum().expand(2), rtol=1e-9, atol=1e-9)
    else:
        signal = microscope.forward(torch.ones(13, 22, dtype=torch.float64))
        torch.testing.assert_close(signal, torch.full_like(signal, 16.0), rtol=1e-9, atol=1e-9)
