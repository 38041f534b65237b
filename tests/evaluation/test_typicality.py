"""How far a measurement lies from those of the training images: near for what is known, far for what is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_dmu.evaluation.typicality import FeatureMean, distance, learn_typical, limit_at

CHANNELS = 24


def _crops(seed: int, count: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Features of two kinds of specimens, moved by the noise level in a bend."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(-0.2, 0.2, count)
    kind = rng.integers(0, 2, count)
    mix = np.random.default_rng(0).standard_normal((6, CHANNELS))
    hidden = rng.standard_normal((count, 6)) + 8.0 * kind[:, None] * (np.arange(6) == 0)
    trend = np.random.default_rng(1).standard_normal((2, CHANNELS))
    features = hidden @ mix + 10.0 * noise[:, None] * trend[0] + 30.0 * noise[:, None] ** 2 * trend[1]
    return features + 0.05 * rng.standard_normal((count, CHANNELS)), noise


@given(seed=st.integers(0, 1000))
def test_crops_themselves_are_at_no_distance_and_others_of_their_kind_are_near(seed: int) -> None:
    features, noise = _crops(seed)
    typical = learn_typical(features, noise)
    own = [distance(typical, f, n) for f, n in zip(features[:20], noise[:20], strict=True)]
    near = [distance(typical, f, n) for f, n in zip(*_crops(seed + 5000, 40), strict=True)]
    assert max(own) < 0.02  # what the rounding leaves
    assert np.median(near) < 1.5
    rng = np.random.default_rng(seed)
    strange = [distance(typical, f + 30.0 * rng.standard_normal(CHANNELS), 0.0) for f in features[:20]]
    assert min(strange) > 2 * max(near)


def test_what_lies_between_two_kinds_is_far() -> None:
    """One Gaussian would take the empty middle for the most usual of all."""
    features, noise = _crops(3)
    typical = learn_typical(features, noise)
    flat = features - np.asarray(_trend(features, noise))
    high = flat[:, 0] > np.median(flat[:, 0])
    middle = (features[high].mean(axis=0) + features[~high].mean(axis=0)) / 2
    near = np.median([distance(typical, f, n) for f, n in zip(*_crops(77, 40), strict=True)])
    assert distance(typical, middle, float(noise.mean())) > 1.3 * near


def _trend(features: np.ndarray, noise: np.ndarray) -> np.ndarray:
    terms = np.stack([np.ones_like(noise), noise, noise**2], axis=1)
    return terms @ np.linalg.lstsq(terms, features, rcond=None)[0]


def test_the_noise_level_is_allowed_for() -> None:
    features, noise = _crops(5)
    typical = learn_typical(features, noise)
    other, levels = _crops(6, 60)
    right = [distance(typical, f, n) for f, n in zip(other, levels, strict=True)]
    wrong = [distance(typical, f, -n) for f, n in zip(other, levels, strict=True) if abs(n) > 0.15]
    assert np.median(wrong) > 1.5 * np.median(right)


def test_the_units_of_the_channels_do_not_matter() -> None:
    features, noise = _crops(7)
    other, levels = _crops(8, 20)
    units = np.geomspace(0.01, 100.0, CHANNELS)
    before, after = learn_typical(features, noise), learn_typical(features * units, noise)
    for f, n in zip(other, levels, strict=True):
        assert distance(after, f * units, n) == pytest.approx(distance(before, f, n), abs=0.02)


def test_beyond_the_noise_levels_of_the_limits_the_nearest_counts() -> None:
    features, noise = _crops(9)
    typical = learn_typical(features, noise).model_copy(update={"limits": ((-0.2, 1.0), (0.2, 2.0))})
    assert distance(typical, features[0], 0.9) == distance(typical, features[0], 0.2)
    assert distance(typical, features[0], -0.9) == distance(typical, features[0], -0.2)


def test_a_channel_that_never_changes_is_borne() -> None:
    features, noise = _crops(10)
    features[:, 3] = 0.0
    assert np.isfinite(distance(learn_typical(features, noise), features[0] + 1.0, 0.0))


def test_fewer_channels_than_components_are_borne() -> None:
    features, noise = _crops(11)
    typical = learn_typical(features[:, :4], noise)
    assert np.shape(typical.whitening) == (4, 4)
    assert distance(typical, features[0, :4], float(noise[0])) < 0.02


@given(cut=st.integers(1, 6), stride=st.sampled_from([1, 2, 4]))
def test_a_field_in_parts_has_the_mean_of_the_whole(cut: int, stride: int) -> None:
    features = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 9, 7)))
    rows, columns = 9 * stride - (stride > 1), 7 * stride  # the last row of the grid stands for part of a step
    whole, parts = FeatureMean(stride), FeatureMean(stride)
    whole.add(features, slice(0, rows), slice(0, columns))
    np.testing.assert_allclose(whole.value, features.mean(dim=(1, 2)).numpy(), rtol=1e-6)
    for piece in (slice(0, cut * stride), slice(cut * stride, rows)):
        parts.add(features, piece, slice(0, columns))
    np.testing.assert_allclose(parts.value, whole.value, rtol=1e-6)


def test_a_limit_between_two_noise_levels_lies_between_theirs() -> None:
    limits = ((0.2, 1.0), (-0.2, 100.0), (0.0, 10.0))
    assert limit_at(limits, 0.0) == pytest.approx(10.0)
    assert limit_at(limits, 0.1) == pytest.approx(10.0**0.5)
    assert limit_at(limits, 5.0) == 1.0
    assert limit_at(limits, -5.0) == pytest.approx(100.0)
    assert limit_at(limits[:1], 0.7) == 1.0
