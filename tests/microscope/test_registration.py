"""The registration found from dots is the one under which they were seen."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import assert_sentence

from napari_dmu.errors import SpecimenError
from napari_dmu.microscope.acquisition import Acquisition, Registration
from napari_dmu.microscope.forward import Microscope
from napari_dmu.microscope.registration import _neighbour, dot_pattern, dot_spacing, find_registration

PERIOD, BIN = 32, 32


def seen(
    registration: Registration, *, side: int = 8, field: int = 512, period: int = PERIOD, bin: int = BIN
) -> NDArray[np.float64]:
    """Light on camera pixels of ``side`` specimen pixels, from an even slide under the dots."""
    spacing = dot_spacing(period, bin)
    acquisition = Acquisition(
        bin=side, exposures=1, period=spacing, registration=registration,
    )  # fmt: skip
    dots = torch.from_numpy(dot_pattern(period, bin)[None]).double()
    return Microscope(dots, acquisition).forward(torch.ones(field, field, dtype=torch.float64)).numpy()[0]


def displacements(a: Registration, b: Registration, field: int) -> NDArray[np.float64]:
    """How far two registrations put the corners and the middle of a field apart, modulo the period."""
    centre = field / 2 * (1 + 1j)
    points = np.array([0, field, 1j * field, field * (1 + 1j), centre])

    def moved(r: Registration) -> NDArray[np.complex128]:
        return r.scale * np.exp(1j * np.radians(r.rotation)) * (points - centre) + complex(*r.shift)

    apart = moved(a) - moved(b)
    return np.abs(
        (apart.real + PERIOD / 2) % PERIOD - PERIOD / 2 + 1j * ((apart.imag + PERIOD / 2) % PERIOD - PERIOD / 2)
    )


@given(
    shift=st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
    rotation=st.floats(-3, 3),
    scale=st.floats(0.97, 1.03),
    side=st.sampled_from([4, 8, 16]),
)
@settings(max_examples=25, deadline=None)
def test_any_registration_is_found(shift: tuple[float, float], rotation: float, scale: float, side: int) -> None:
    true = Registration(shift=shift, rotation=rotation, scale=scale)
    found = find_registration(seen(true, side=side), side, period=PERIOD, bin=BIN)
    limit = 0.25 if side < 16 else 0.5  # a dot is one camera pixel wide there
    assert displacements(found.registration, true, 512).max() < limit
    assert found.residual < limit
    assert all(-PERIOD / 2 <= v <= PERIOD / 2 for v in found.registration.shift)


def test_noise_and_a_vignette_move_it_little() -> None:
    true = Registration(shift=(1.3, -0.7), rotation=0.4, scale=1.003)
    rng = np.random.default_rng(0)
    light = seen(true)
    y, x = np.indices(light.shape) / light.shape[0] - 0.5
    counts = rng.poisson(light * np.exp(-(y**2 + x**2)) * 50 + 5) + rng.normal(0, 2, light.shape)
    found = find_registration(counts, 8, period=PERIOD, bin=BIN)
    assert displacements(found.registration, true, 512).max() < 0.3
    assert found.dots >= 49


def test_the_largest_displacement_is_that_of_the_field() -> None:
    still = find_registration(seen(Registration()), 8, period=PERIOD, bin=BIN)
    assert still.largest < 0.05
    moved = find_registration(seen(Registration(shift=(3, 4))), 8, period=PERIOD, bin=BIN)
    assert moved.largest == pytest.approx(5, abs=0.1)
    turned = find_registration(seen(Registration(rotation=1.0)), 8, period=PERIOD, bin=BIN)
    assert turned.largest == pytest.approx(np.radians(1) * 256 * 2**0.5, rel=0.02)


def test_a_chip_at_45_degrees_is_told_to_be_turned() -> None:
    with pytest.raises(SpecimenError, match=r"the angle \(a chip on a 45° mount") as refusal:
        find_registration(seen(Registration(rotation=45.0)), 8, period=PERIOD, bin=BIN)
    assert_sentence(refusal.value)


@pytest.mark.parametrize(("period", "bin"), [(8, 2), (16, 4), (32, 32), (64, 64), (128, 128), (24, 12)])
def test_dots_repeat_with_whole_periods_and_are_wide_enough_for_a_camera(period: int, bin: int) -> None:
    spacing, dots = dot_spacing(period, bin), dot_pattern(period, bin)
    assert dots.shape == (spacing, spacing)
    assert spacing % period == 0
    assert spacing >= 64
    assert spacing // 4 >= bin / 2  # one camera pixel where two make a bin
    np.testing.assert_array_equal(dots, dots[::-1, ::-1])  # in the middle of its tile
    assert 0.05 < dots.mean() < 0.07


NOISE: dict[str, Callable[[np.random.Generator], NDArray[Any]]] = {
    "counts": lambda rng: rng.poisson(20, (64, 64)),
    "few counts": lambda rng: rng.poisson(0.2, (48, 64)),
    "normal": lambda rng: rng.normal(100, 5, (64, 64)),
    "small": lambda rng: rng.poisson(3, (20, 20)),
}


@pytest.mark.parametrize("count", [2, 5, 300])
def test_the_nearest_dot_is_the_nearest_other_one(count: int) -> None:
    rng = np.random.default_rng(count)
    dots = rng.uniform(0, 500, count) + 1j * rng.uniform(0, 500, count)
    dots[-1] = dots[0]  # on the same place is another one too
    apart = np.abs(dots[:, None] - dots)
    np.fill_diagonal(apart, np.inf)
    assert _neighbour(dots) == pytest.approx(np.median(apart.min(axis=1)))


def test_many_specks_in_a_large_frame_take_little_memory() -> None:
    rng = np.random.default_rng(0)
    dots = rng.uniform(0, 500, 5000) + 1j * rng.uniform(0, 500, 5000)
    tracemalloc.start()
    _neighbour(dots)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 10e6  # one number for each pair of dots would be 400 MB


@pytest.mark.parametrize("kind", list(NOISE))
def test_noise_is_refused_whatever_it_looks_like(kind: str) -> None:
    for seed in range(40):
        image = NOISE[kind](np.random.default_rng(seed))
        try:
            found = find_registration(image.astype(float), 8, period=PERIOD, bin=BIN)
        except SpecimenError as refusal:
            assert_sentence(refusal)
        else:  # a handful of specks may lie on a grid
            assert found.dots < 8
            assert np.isfinite(found.residual)


def test_specks_beside_the_dots_do_no_harm() -> None:
    light = seen(Registration(shift=(2, 1)))
    light[5, 30], light[40, 3], light[33:35, 20] = light.max() * 2, light.max(), light.max()
    found = find_registration(light, 8, period=PERIOD, bin=BIN)
    np.testing.assert_allclose(found.registration.shift, (2, 1), atol=0.1)


def test_noise_where_the_slide_is_dark_makes_no_dots() -> None:
    light = seen(Registration(shift=(2, 1)), field=768)
    light[:, light.shape[1] // 2 :] = 0
    light += np.random.default_rng(0).normal(0, 0.03 * light.max(), light.shape)
    found = find_registration(light, 8, period=PERIOD, bin=BIN)
    assert found.dots == 12 * 6
    np.testing.assert_allclose(found.registration.shift, (2, 1), atol=0.3)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((64, 64)), "0 dots"),
        (np.full((64, 64), 100.0), "0 dots"),
        (seen(Registration(), field=64), "1 dots in the picture, and 4"),
        (np.random.default_rng(0).normal(100, 5, (64, 64)), "grid of 64"),
        (seen(Registration(), side=4), "grid of 64"),  # taken for pixels twice as wide
    ],
    ids=["dark", "even", "one dot", "noise", "another magnification"],
)
def test_what_is_no_picture_of_dots_is_refused(image: NDArray[np.float64], words: str) -> None:
    with pytest.raises(SpecimenError, match=words) as refusal:
        find_registration(image, 8, period=PERIOD, bin=BIN)
    assert_sentence(refusal.value)
