"""Pattern families: binary, seeded, ordered, complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import assert_sentence

from napari_dmu.errors import SettingsError
from napari_dmu.microscope.patterns import (
    check_binary,
    hadamard_patterns,
    make_patterns,
    plain_patterns,
    random_patterns,
    raster_patterns,
    walsh_matrix,
)


@pytest.mark.parametrize("family", ["plain", "random", "hadamard", "raster"])
@pytest.mark.parametrize(("bin", "exposures", "period"), [(4, 4, 4), (8, 4, 16), (4, 16, 16), (2, 1, 8)])
def test_every_family_is_binary_and_has_the_shape_asked_for(family: str, bin: int, exposures: int, period: int) -> None:
    patterns = make_patterns(family, exposures=exposures, period=period, bin=bin, seed=3)
    assert patterns.shape == (exposures, period, period)
    assert patterns.dtype == np.uint8
    assert set(np.unique(patterns)) <= {0, 1}
    assert patterns.any(axis=(1, 2)).all()  # no exposure is dark


def test_plain_is_all_on() -> None:
    assert plain_patterns(2, 5).min() == 1


def test_random_patterns_follow_the_seed_alone() -> None:
    np.random.seed(1)  # noqa: NPY002 (that the global state does not matter is the point)
    first = random_patterns(4, 32, seed=5)
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(first, random_patterns(4, 32, seed=5))
    assert (first != random_patterns(4, 32, seed=6)).mean() > 0.4


@pytest.mark.parametrize("fill", [0.1, 0.5, 0.9])
def test_random_patterns_have_the_fill_asked_for(fill: float) -> None:
    patterns = random_patterns(4, 64, fill=fill)
    assert abs(patterns.mean() - fill) < 4 * (fill * (1 - fill) / patterns.size) ** 0.5


@pytest.mark.parametrize("order", [1, 2, 4, 8, 16, 64])
def test_walsh_rows_are_orthogonal_and_in_sequency_order(order: int) -> None:
    walsh = walsh_matrix(order).astype(int)
    np.testing.assert_array_equal(walsh @ walsh.T, order * np.eye(order, dtype=int))
    changes = [(np.diff(row) != 0).sum() for row in walsh]
    assert changes == list(range(order))
    assert (walsh[0] == 1).all()


@pytest.mark.parametrize(("exposures", "period"), [(4, 8), (9, 8), (64, 8), (16, 32)])
def test_hadamard_patterns_are_distinct_orthogonal_and_begin_with_the_uniform_one(exposures: int, period: int) -> None:
    patterns = hadamard_patterns(exposures, period)
    assert patterns[0].min() == 1
    signs = 2 * patterns.reshape(exposures, -1).astype(int) - 1
    np.testing.assert_array_equal(signs @ signs.T, period**2 * np.eye(exposures, dtype=int))


def test_hadamard_patterns_have_the_lowest_sequencies_first() -> None:
    def sequencies(pattern: np.ndarray) -> tuple[int, int]:
        return int((np.diff(pattern[:, 0].astype(int)) != 0).sum()), int((np.diff(pattern[0].astype(int)) != 0).sum())

    found = [sequencies(p) for p in hadamard_patterns(64, 8)]
    assert sorted(found) == [(i, j) for i in range(8) for j in range(8)]
    finest = [max(pair) for pair in found]
    assert finest == sorted(finest)
    # Complete squares first: T = n² patterns resolve n × n blocks of the period, in both directions alike.
    assert set(found[:4]) == {(i, j) for i in range(2) for j in range(2)}
    assert set(found[:16]) == {(i, j) for i in range(4) for j in range(4)}


@given(side=st.sampled_from([1, 2, 3, 4]), block=st.integers(1, 4), cells=st.integers(1, 3))
def test_a_raster_lights_every_pixel_exactly_once(side: int, block: int, cells: int) -> None:
    bin = side * block
    patterns = raster_patterns(side**2, bin * cells, bin=bin)
    assert (patterns.sum(0) == 1).all()
    assert (patterns.sum((1, 2)) == (block * cells) ** 2).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: random_patterns(2, 8, fill=0.0),
        lambda: random_patterns(2, 8, fill=1.5),
        lambda: walsh_matrix(12),
        lambda: hadamard_patterns(17, 4),
        lambda: hadamard_patterns(2, 6),
        lambda: raster_patterns(3, 8, bin=4),
        lambda: raster_patterns(9, 8, bin=4),
        lambda: raster_patterns(4, 10, bin=4),
        lambda: make_patterns("learned", exposures=4, period=8, bin=4),
        lambda: make_patterns("zernike", exposures=4, period=8, bin=4),
        lambda: check_binary(np.array([[[0, 1], [1, 2]]])),
        lambda: check_binary(np.array([[[0.0, 0.5], [1.0, 1.0]]])),
        lambda: check_binary(np.zeros((4, 4))),
        lambda: check_binary(np.zeros((1, 4, 5))),
    ],
)
def test_what_cannot_be_shown_is_refused_with_a_sentence(make: Callable[[], Any]) -> None:
    with pytest.raises(SettingsError) as refusal:
        make()
    assert_sentence(refusal.value)


@pytest.mark.parametrize("top", [1, 255, 65535, True, 0.25])
def test_two_values_are_binary_whatever_the_brighter_one_is(top: float) -> None:
    checker = (np.indices((4, 4)).sum(0) % 2)[None]
    np.testing.assert_array_equal(check_binary(checker * np.asarray(top)), checker)


def test_all_dark_and_all_lit_patterns_are_binary() -> None:
    assert not check_binary(np.zeros((1, 2, 2), dtype=np.uint8)).any()
    assert check_binary(np.full((1, 2, 2), 255, dtype=np.uint8)).all()
