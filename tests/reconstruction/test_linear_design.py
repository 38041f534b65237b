"""The search: never worse than its start, reproducible, binary, and better than raster where that is possible."""

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_support import exponential
from support import assert_sentence, discs

from napari_dmu.errors import Cancelled, SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.patterns import make_patterns, random_patterns
from napari_dmu.reconstruction.linear_design import (
    Method,
    coarse_pixel,
    design,
    designed_on,
    designed_patterns,
    grey_optimum,
    search,
)
from napari_dmu.reconstruction.linear_estimate import LinearEstimate
from napari_dmu.reconstruction.linear_starts import Start, component_patterns, dithered, start_patterns

A = Acquisition(bin=8, exposures=4, period=8, photons=100)
METHODS: tuple[Method, ...] = get_args(Method)


def estimate(acquisition: Acquisition = A) -> LinearEstimate:
    return LinearEstimate(acquisition, exponential(LinearEstimate.reach(acquisition), length=6.0))


@settings(max_examples=8)
@given(st.integers(0, 1000), st.sampled_from(METHODS))
def test_never_worse_than_its_start(seed: int, method: Method) -> None:
    begin, closed = random_patterns(4, 8, seed=seed), estimate()
    found = search(closed, begin, method=method, steps=6, rounds=2)
    assert found.error <= found.start_error
    assert found.patterns.dtype == np.uint8
    assert found.patterns.shape == begin.shape
    assert set(np.unique(found.patterns)) <= {0, 1}
    with torch.no_grad():
        assert found.error == pytest.approx(float(closed.error(torch.from_numpy(found.patterns).double())))
        assert found.start_error == pytest.approx(float(closed.error(torch.from_numpy(begin).double())))
    assert found.curve == sorted(found.curve, reverse=True)
    assert found.curve[0] == found.start_error
    assert found.curve[-1] == found.error


@pytest.mark.parametrize("method", METHODS)
def test_beats_the_raster_it_starts_from(method: Method) -> None:
    begin = make_patterns("raster", exposures=4, period=8, bin=8)
    found = search(estimate(), begin, method=method, steps=60, rounds=20)
    # Here the raster's dark gaps and the shot noise leave several per cent to gain.
    assert found.error < 0.985 * found.start_error
    again = search(estimate(), begin, method=method, steps=60, rounds=20)
    np.testing.assert_array_equal(found.patterns, again.patterns)


def test_one_flip_search_ends_where_no_mirror_helps() -> None:
    a = Acquisition(bin=4, exposures=2, period=4, photons=100)
    closed = estimate(a)
    found = search(closed, random_patterns(2, 4), method="flips", rounds=200)
    for place in range(32):
        other = torch.from_numpy(found.patterns).double().flatten()
        other[place] = 1 - other[place]
        with torch.no_grad():
            assert float(closed.error(other.reshape(2, 4, 4))) >= found.error * (1 - 2e-2)


def test_grey_is_at_least_as_good_as_the_binary_it_starts_from() -> None:
    closed = estimate()
    begin = make_patterns("raster", exposures=4, period=8, bin=8)
    binary = search(closed, begin, steps=40, rounds=10)
    patterns, error = grey_optimum(closed, binary.patterns, steps=60)
    assert error <= binary.error
    assert float(patterns.min()) >= 0
    assert float(patterns.max()) <= 1


def test_the_best_of_several_starts_is_no_worse_than_any() -> None:
    closed = estimate()
    own = random_patterns(4, 8, seed=5)
    best = designed_on(closed, also=[own], steps=5)
    for begin in (own, make_patterns("raster", exposures=4, period=8, bin=8)):
        with torch.no_grad():
            assert best.error <= float(closed.error(torch.from_numpy(begin).double()))


@pytest.mark.parametrize("start", get_args(Start))
@pytest.mark.parametrize("acquisition", [A, Acquisition(bin=8, exposures=1, period=16)])
def test_starts_fit_the_acquisition(start: Start, acquisition: Acquisition) -> None:
    patterns = start_patterns(start, acquisition, estimate(acquisition), seed=1)
    assert patterns.shape == (acquisition.exposures, acquisition.period, acquisition.period)
    assert patterns.dtype == np.uint8
    np.testing.assert_array_equal(patterns, start_patterns(start, acquisition, estimate(acquisition), seed=1))


def test_the_first_component_is_all_on_and_the_next_ones_are_halves() -> None:
    patterns = component_patterns(A, estimate())
    assert patterns[0].all()
    assert patterns[1].mean() == pytest.approx(0.5, abs=0.1)


@given(st.floats(0.05, 0.95))
def test_dither_keeps_the_mean(level: float) -> None:
    pattern = dithered(torch.full((1, 16, 16), level, dtype=torch.float64))
    assert float(pattern.mean()) == pytest.approx(level, abs=0.04)
    assert set(pattern.unique().tolist()) <= {0.0, 1.0}


def test_design_from_images() -> None:
    crops = torch.from_numpy(np.stack([discs((64, 64), seed=s)[0] for s in range(4)]))
    found = design(A, crops, "raster", steps=10, rounds=2)
    assert found.error <= found.start_error
    best = designed_patterns(A, crops, steps=5)
    assert best.shape == (4, 8, 8)
    # Images of several sizes do as well.
    assert designed_patterns(A, [crops[0], crops[1, :40]], steps=2).shape == (4, 8, 8)


def test_geometries_without_a_raster_are_designed_too() -> None:
    a = Acquisition(bin=8, exposures=2, period=8)
    crops = torch.from_numpy(discs((64, 64))[0])[None]
    assert designed_patterns(a, crops, steps=3).shape == (2, 8, 8)


@pytest.mark.parametrize("period", [9, 18, 22])
def test_periods_that_blocks_of_mirrors_do_not_divide_are_designed_too(period: int) -> None:
    """Such as those of ×81: the search by flips takes the blocks that fit."""
    a = Acquisition(bin=period, exposures=1, period=period, photons=100)
    closed = LinearEstimate(a, exponential(LinearEstimate.reach(a, pixel=1), length=6.0), pixel=1)
    found = search(closed, random_patterns(1, period), method="flips", rounds=2)
    assert found.patterns.shape == (1, period, period)
    assert found.error < found.start_error


@pytest.mark.parametrize(("bin", "period", "pixel"), [(8, 8, 1), (16, 32, 1), (32, 32, 2), (64, 64, 4), (3, 96, 1)])
def test_pooling_follows_the_bin(bin: int, period: int, pixel: int) -> None:
    assert coarse_pixel(Acquisition(bin=bin, exposures=1, period=period)) == pixel


def test_refusals_and_stopping() -> None:
    begin = make_patterns("raster", exposures=4, period=8, bin=8)
    with pytest.raises(SettingsError) as error:
        search(estimate(), begin, method="magic")  # type: ignore[arg-type]
    assert_sentence(error.value)

    def stop() -> None:
        raise Cancelled("Stopped: nothing was changed.")

    with pytest.raises(Cancelled):
        search(estimate(), begin, between=stop)
