"""Measured against imagined: a linear split, blind to the data's noise, that knows what the microscope cannot see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import NO_PSF, discs
from torch import Tensor

from napari_dmu.errors import Cancelled
from napari_dmu.microscope.acquisition import Acquisition, Psf, Registration
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.patterns import make_patterns
from napari_dmu.reconstruction.null_space import CONTRAST, NullSpace, expected_variance


def _microscope(
    family: str = "random", *, bin: int = 4, exposures: int = 4, period: int = 8, **more: Any
) -> Microscope:
    acquisition = Acquisition(bin=bin, exposures=exposures, period=period, **{"emission": Psf(sigma=0.8), **more})
    patterns = make_patterns(family, exposures=exposures, period=period, bin=bin)
    return Microscope(torch.from_numpy(patterns).double(), acquisition)


def _image(field: tuple[int, int] = (48, 40), seed: int = 0) -> Tensor:
    return torch.from_numpy(discs(field, seed=seed, count=3)[0]).double()


def _noise(field: tuple[int, int], seed: int) -> Tensor:
    return torch.randn(field, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _space(microscope: Microscope, image: Tensor, **more: Any) -> NullSpace:
    field = (image.shape[0], image.shape[1])
    return NullSpace(microscope, expected_variance(microscope, image), field, **more)


@given(
    family=st.sampled_from(["plain", "random", "hadamard"]),
    exposures=st.sampled_from([1, 4]),
    bin=st.sampled_from([2, 4, 8]),
    sigma=st.sampled_from([0.0, 0.7, 1.5]),
    field=st.tuples(st.integers(9, 30), st.integers(9, 30)),
    seed=st.integers(0, 99),
)
def test_it_is_the_split_of_its_definition(
    family: str, exposures: int, bin: int, sigma: float, field: tuple[int, int], seed: int
) -> None:
    """Against dense matrices: (1 + c² BᵀB)⁻¹, whatever the microscope."""
    psf = Psf(sigma=sigma) if sigma else NO_PSF
    microscope = _microscope(family, bin=bin, exposures=exposures, period=8, emission=psf, photons=300.0)
    image = _image(field, seed)
    variance = expected_variance(microscope, image)
    pixels = field[0] * field[1]
    columns = microscope.forward(torch.eye(pixels, dtype=torch.float64).reshape(pixels, *field))
    b = (columns / variance.sqrt()).flatten(1)  # the transpose of B
    dense = torch.linalg.solve(torch.eye(pixels) + CONTRAST**2 * (b @ b.T), image.flatten()).reshape(field)
    found = NullSpace(microscope, variance, field).split(image, tolerance=1e-9)
    assert torch.allclose(found.imagined, dense, atol=1e-5)
    assert found.fraction == pytest.approx(float(dense.square().sum() / image.square().sum()), abs=1e-6)
    assert 0.0 <= found.fraction <= 1.0


@given(seed=st.integers(0, 999), a=st.floats(-3, 3), b=st.floats(-3, 3))
def test_it_is_linear_and_self_adjoint(seed: int, a: float, b: float) -> None:
    microscope, field = _microscope(), (48, 40)
    space = _space(microscope, _image(field))
    x, y = _noise(field, seed), _noise(field, seed + 1)

    def imagined(image: Tensor) -> Tensor:
        return space.split(image, tolerance=1e-9).imagined

    assert torch.allclose(imagined(a * x + b * y), a * imagined(x) + b * imagined(y), atol=1e-6)
    assert float((imagined(x) * y).sum()) == pytest.approx(float((x * imagined(y)).sum()), abs=1e-5)


@pytest.mark.parametrize("family", ["plain", "random", "hadamard"])
def test_the_data_do_not_see_the_imagined_part(family: str) -> None:
    microscope, image = _microscope(family, photons=1000.0), _image()
    variance = expected_variance(microscope, image)
    split = NullSpace(microscope, variance, (48, 40)).split(image, tolerance=1e-8)
    in_noise = microscope.forward(split.imagined).square() / variance
    whole = microscope.forward(image).square() / variance
    assert float(in_noise.mean()) < 0.2  # standard deviations of the noise, squared
    assert float(whole.mean()) > 500
    assert split.fraction > 0.02  # and yet it is not nothing


def test_it_is_a_projection_where_there_is_much_light() -> None:
    microscope, image = _microscope(photons=1e7), _image()
    space = _space(microscope, image)
    once = space.split(image, tolerance=1e-9).imagined
    twice = space.split(once, tolerance=1e-9).imagined
    assert float((twice - once).norm() / once.norm()) < 1e-3
    measured = image - once
    assert float((measured * once).sum().abs() / image.square().sum()) < 1e-3  # at right angles


def test_single_precision_is_enough() -> None:
    exact, image = _microscope(), _image()
    single = Microscope(exact.patterns.float(), exact.acquisition)
    found = [_space(m, image.to(m.patterns)).split(image) for m in (exact, single)]
    assert found[0].fraction == pytest.approx(found[1].fraction, rel=1e-2)
    assert float((found[0].imagined - found[1].imagined).abs().max()) < 2e-3


def test_a_camera_that_sees_every_pixel_leaves_nothing_to_imagine() -> None:
    microscope = _microscope("plain", bin=1, exposures=1, period=1, emission=NO_PSF, excitation=NO_PSF, photons=1e5)
    assert _space(microscope, _image()).contrast_of(_image()).fraction < 1e-4


def test_fewer_samples_and_less_light_leave_more_to_imagine() -> None:
    image = _image((64, 64))
    by_bin = [
        _space(m, image).contrast_of(image).fraction
        for m in (_microscope("plain", bin=d, exposures=1) for d in (1, 2, 4, 8))
    ]
    assert by_bin == sorted(by_bin)
    assert by_bin[-1] > 0.1
    by_light = [
        _space(m, image).contrast_of(image).fraction for m in (_microscope(photons=k) for k in (1e4, 100.0, 1.0))
    ]
    assert by_light == sorted(by_light)
    assert by_light[-1] > 1.5 * by_light[0]


def test_a_structure_within_a_bin_is_imagined_and_a_bin_is_measured() -> None:
    microscope = _microscope("plain", bin=4, exposures=1, period=4, emission=NO_PSF, excitation=NO_PSF)
    blocks = torch.from_numpy(np.kron(np.random.default_rng(0).random((8, 8)), np.ones((4, 4))))
    stripes = torch.from_numpy(np.tile([[1.0, 0.0]], (32, 16)))
    space = _space(microscope, torch.full((32, 32), 0.5, dtype=torch.float64))
    assert space.contrast_of(blocks).fraction < 1e-3
    assert space.contrast_of(stripes).fraction > 0.999


def test_pixels_that_only_lost_samples_saw_are_imagined() -> None:
    microscope = _microscope("plain", bin=4, exposures=1, period=4, emission=NO_PSF, excitation=NO_PSF)
    image = torch.ones(32, 32, dtype=torch.float64)
    lost = torch.zeros(1, 8, 8, dtype=torch.bool)
    lost[0, 2, 3] = True
    found = NullSpace(microscope, expected_variance(microscope, image, lost), (32, 32)).split(image).imagined
    assert torch.allclose(found[8:12, 12:16], image[8:12, 12:16])
    found[8:12, 12:16] = 0.0
    assert float(found.abs().max()) < 0.02


def test_registration_errors_and_empty_images_are_no_obstacle() -> None:
    microscope = _microscope(registration=Registration(shift=(0.4, -0.3), rotation=1.0))
    image = _image()
    assert 0.0 < _space(microscope, image).contrast_of(image).fraction < 1.0
    assert _space(microscope, image).contrast_of(torch.full((48, 40), 0.3)).fraction == 0.0


def test_it_can_be_stopped() -> None:
    def stop(done: int, total: int) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        _space(_microscope(), _image()).split(_image(), report=stop)
