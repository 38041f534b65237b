"""Conformal factors: the nominal share is covered on new images, and it is not without them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_dmu.evaluation.coverage import (
    FACTORS,
    Curve,
    conformal_factor,
    coverage,
    coverage_curve,
    held_back_coverage,
)

# What a scale that is a third of the 90 % quantile of a Gaussian error has to be multiplied by.
NEEDED = 3.0


def curves(count: int, seed: int, *, spread: float = 0.1) -> list[Curve]:
    """Images whose errors' size differs from pixel to pixel; the scale follows it, but is ``NEEDED`` times too small.

    ``spread`` is how much the images differ among each other in what they would need.
    """
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        sigma = np.exp(rng.normal(-3.0, 1.0, (60, 60)))
        error = rng.normal(0.0, sigma) * np.exp(rng.normal(0.0, spread))
        made.append(coverage_curve(error, (1.645 / NEEDED) * sigma))
    return made


@given(seed=st.integers(0, 1000), log_factor=st.floats(-4.0, 4.0))
def test_the_curve_is_the_share_of_pixels(seed: int, log_factor: float) -> None:
    rng = np.random.default_rng(seed)
    error, scale = rng.normal(size=(20, 30)), rng.uniform(0.1, 2.0, (20, 30))
    curve, factor = coverage_curve(error, scale), np.exp(log_factor)
    near = [float(np.mean(np.abs(error) <= factor * step * scale)) for step in (1 / 1.003, 1.003)]
    assert near[0] <= coverage(curve, factor) <= near[1]
    assert (np.diff(curve) >= 0).all()


def test_an_error_as_large_as_its_bar_is_covered() -> None:
    curve = coverage_curve(np.full((2, 2), -FACTORS[100]), np.ones((2, 2)))
    assert (curve[99], curve[100]) == (0.0, 1.0)


def test_calibrated_error_bars_cover_new_images_and_uncalibrated_ones_do_not() -> None:
    factor = conformal_factor({"all": curves(40, 0)}, 0.9)
    assert factor == pytest.approx(NEEDED, rel=0.06)
    new = curves(400, 1)
    covered = float(np.mean([coverage(curve, factor) for curve in new]))
    assert 0.89 < covered < 0.91
    # The same comparison fails when the calibration is dropped.
    assert float(np.mean([coverage(curve, 1.0) for curve in new])) < 0.5


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_any_level_can_be_asked_for(level: float) -> None:
    factor = conformal_factor({"all": curves(40, 0)}, level)
    assert np.mean([coverage(curve, factor) for curve in curves(200, 1)]) == pytest.approx(level, abs=0.015)


def test_few_images_are_made_up_for() -> None:
    """Five images that differ much: over many repetitions the mean coverage is the nominal one all the same."""
    pool = curves(600, 3, spread=0.8)
    plain, corrected = [], []
    for first in range(0, 600, 6):
        *some, new = pool[first : first + 6]
        plain.append(coverage(new, float(np.interp(0.9, np.mean(some, axis=0), FACTORS))))
        corrected.append(coverage(new, conformal_factor({"some": some}, 0.9)))
    assert np.mean(plain) < 0.885
    assert np.mean(corrected) > np.mean(plain) + 0.01
    assert np.mean(corrected) == pytest.approx(0.9, abs=0.02)


def test_halves_are_measured_with_each_others_factors() -> None:
    one, two = curves(20, 0), curves(10, 1)
    found = held_back_coverage({"one": one, "two": two}, 0.9)
    from_even = conformal_factor({"one": one[0::2], "two": two[0::2]}, 0.9)
    from_odd = conformal_factor({"one": one[1::2], "two": two[1::2]}, 0.9)
    expected = [coverage(c, from_odd if i % 2 == 0 else from_even) for i, c in enumerate(one + two)]
    assert found["one"] == pytest.approx(np.mean(expected[:20]))
    assert found["two"] == pytest.approx(np.mean(expected[20:]))


def test_a_half_that_is_unlike_the_other_shows() -> None:
    """Coverage is measured, not assumed: images that need another factor than those that calibrated are told."""
    rng = np.random.default_rng(0)
    easy, hard = (coverage_curve(rng.normal(0, s, (90, 90)), np.ones((90, 90))) for s in (0.5, 2.0))
    found = held_back_coverage({"easy and hard in turn": [easy, hard] * 5}, 0.9)
    assert found["easy and hard in turn"] < 0.75


def test_one_image_and_errors_beyond_all_factors_are_borne() -> None:
    curve = coverage_curve(np.full((4, 4), 1e9), np.ones((4, 4)))
    assert conformal_factor({"odd": [curve]}, 0.9) == FACTORS[-1]
    only = curves(1, 0)
    assert coverage(only[0], conformal_factor({"alone": only}, 0.9)) == pytest.approx(0.9, abs=0.005)
    assert held_back_coverage({"alone": only}, 0.9)["alone"] == pytest.approx(0.9, abs=0.005)


def test_a_source_of_many_images_does_not_outvote_one_of_few() -> None:
    rng = np.random.default_rng(0)
    easy, hard = (coverage_curve(rng.normal(0, s, (300, 300)), np.ones((300, 300))) for s in (1.0, 1.3))
    factor = conformal_factor({"many": [easy] * 90, "few": [hard] * 10}, 0.9)
    assert (coverage(easy, factor) + coverage(hard, factor)) / 2 == pytest.approx(0.9, abs=0.003)
    assert held_back_coverage({"many": [easy] * 90, "few": [hard] * 10}, 0.9)["few"] < 0.88
