"""Noise-free floors: known values, orderings, and the pictures that go with them."""

from dataclasses import replace

import pytest
import torch
from linear_support import exponential, matrix, white
from support import NO_PSF, assert_sentence

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.reconstruction.linear_estimate import LinearEstimate
from napari_dmu.reconstruction.linear_floor import (
    _spectrum,
    any_reach_floor,
    block_components,
    block_floor,
    keep_components,
    keep_frequencies,
)


def test_components_are_the_leading_eigenvectors() -> None:
    statistics = exponential(8)
    values, vectors = block_components(statistics, 4, 3)
    flat, covariance = vectors.reshape(3, 16), matrix(statistics, 4)
    torch.testing.assert_close(flat @ flat.T, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(covariance @ flat.T, flat.T * values)
    assert values[0] >= values[1] >= values[2]
    assert float(values[0]) == pytest.approx(float(torch.linalg.eigvalsh(covariance)[-1]))


def test_few_of_many_components_are_found_by_iteration() -> None:
    statistics = exponential(20, length=5)
    values, _ = block_components(statistics, 16, 4)
    expected = torch.linalg.eigvalsh(matrix(statistics, 16)).flip(0)[:4]
    torch.testing.assert_close(values, expected)


@pytest.mark.parametrize("exposures", [1, 3, 16])
def test_independent_pixels_lose_what_is_not_measured(exposures: int) -> None:
    statistics = white(16, variance=0.05)
    expected = 0.05 * (1 - exposures / 16)
    assert block_floor(statistics, 4, exposures) == pytest.approx(expected)
    assert any_reach_floor(statistics, 4, exposures) == pytest.approx(expected)


def test_more_reach_and_more_samples_lower_the_floor() -> None:
    statistics = exponential(32)
    assert any_reach_floor(statistics, 4, 4) < block_floor(statistics, 4, 4)
    assert block_floor(statistics, 4, 4) < block_floor(statistics, 4, 2)
    assert any_reach_floor(statistics, 4, 4) < any_reach_floor(statistics, 4, 2)
    # The same number of samples a pixel, more freely placed.
    assert any_reach_floor(statistics, 8, 16) <= any_reach_floor(statistics, 4, 4) + 1e-12
    assert any_reach_floor(statistics, 4, 16) == pytest.approx(0, abs=1e-12)


def test_no_patterns_go_below_the_floor() -> None:
    a = Acquisition(bin=4, exposures=4, period=4, photons=1e8, background=0, read_noise=0, excitation=NO_PSF,
                    emission=NO_PSF)  # fmt: skip
    statistics = exponential(LinearEstimate.reach(a))
    own, far = block_floor(statistics, 4, 4), any_reach_floor(statistics, 4, 4)
    _, best = block_components(statistics, 4, 4)
    components = LinearEstimate(a, statistics, cells=1).error(best)
    # The components themselves reach it (as grey patterns of both signs; shot noise is negligible here).
    assert float(components) == pytest.approx(own, rel=1e-4)
    for seed in range(5):
        patterns = torch.rand(4, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert float(LinearEstimate(a, statistics, cells=1).error(patterns)) >= own
        assert float(LinearEstimate(a, statistics, cells=3).error(patterns)) >= far


def test_pictures_lose_less_with_more_samples_and_nothing_with_all() -> None:
    statistics = exponential(24)
    image = torch.rand(21, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for keep in (keep_components, keep_frequencies):
        errors = [float((keep(image, statistics, 4, count) - image).square().mean()) for count in (1, 4, 9, 16)]
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] == pytest.approx(0, abs=1e-12)
    once = keep_components(image, statistics, 4, 4)
    torch.testing.assert_close(keep_components(once, statistics, 4, 4)[:20, :28], once[:20, :28])


def test_statistics_that_end_before_the_field_keep_their_variance() -> None:
    """They fade out, so that no frequency rings below zero: what is cut off there would come on top."""
    far = exponential(12, length=1000)
    assert float(_spectrum(far, 60, 80).mean()) == pytest.approx(far.variance)


def test_frequencies_are_chosen_by_what_is_known_within_four_periods() -> None:
    near = exponential(40)
    apart = (torch.arange(-40, 41).abs() > 16).double()
    far = torch.maximum(apart[:, None], apart[None, :]) * torch.cos(torch.pi * torch.arange(-40, 41))
    other = replace(near, covariance=near.covariance + near.variance * (far + far.T))
    image = torch.rand(36, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(keep_frequencies(image, near, 4, 3), keep_frequencies(image, other, 4, 3))


def test_what_pooling_took_away_is_lost() -> None:
    pooled = replace(exponential(16), lost=0.01)
    for floor in (block_floor, any_reach_floor):
        assert floor(pooled, 4, 4) == pytest.approx(floor(exponential(16), 4, 4) + 0.01)


def test_pooled_components_are_constant_over_a_pool() -> None:
    image = torch.rand(16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kept = keep_components(image, exponential(8), 8, 3, pixel=2)
    blocks = kept.reshape(8, 2, 8, 2)
    torch.testing.assert_close(blocks, blocks.mean((1, 3), keepdim=True).expand_as(blocks))


def test_refusals() -> None:
    statistics = exponential(6)
    wrong = (
        lambda: block_floor(statistics, 4, 17),
        lambda: block_floor(statistics, 16, 1),
        lambda: any_reach_floor(statistics, 16, 4),
        lambda: any_reach_floor(statistics, 4, 0),
    )
    for make in wrong:
        with pytest.raises(SettingsError) as error:
            make()
        assert_sentence(error.value)
