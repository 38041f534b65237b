"""Dask arrays with several planes a chunk: every chunk is computed once, and little is held."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_dmu.engine.stacks import as_stack, plane, plane_count
from napari_dmu.files import planes
from napari_dmu.files.ome import iter_planes
from napari_dmu.files.planes import HeldPlanes, held

Take = Callable[[Any], list[np.ndarray]]


def counting(values: np.ndarray, chunks: Any) -> tuple[Any, list[int]]:
    """A dask array, and a list that grows by the planes of a chunk whenever one is computed."""
    computed: list[int] = []

    def watch(block: np.ndarray) -> np.ndarray:
        computed.append(math.prod(block.shape[:-2]))
        return block

    return da.from_array(values, chunks=chunks).map_blocks(watch, meta=values[:0]), computed


def in_the_verbs(array: Any) -> list[np.ndarray]:
    stack = as_stack(array)
    return [plane(stack, index) for index in range(plane_count(stack))]


def numbered(*lead: int) -> np.ndarray:
    return np.arange(math.prod(lead) * 6, dtype=np.uint16).reshape(*lead, 2, 3)


@pytest.mark.parametrize("take", [in_the_verbs, lambda array: list(iter_planes(array))], ids=["verbs", "writing"])
@pytest.mark.parametrize(
    ("lead", "chunks"),
    [
        ((7,), (3, -1, -1)),
        ((6,), (6, 1, 2)),
        ((4, 3), (1, 3, -1, -1)),
        ((4, 3), (2, 3, -1, -1)),
        ((4, 3), (4, 1, -1, -1)),  # in the order of the planes every chunk comes up four times
        ((2, 3, 4), (1, 2, 2, 1, 1)),
        ((4, 3), ((1, 3), (2, 1), -1, -1)),
    ],
)
def test_a_chunk_is_computed_once(take: Take, lead: tuple[int, ...], chunks: Any) -> None:
    values = numbered(*lead)
    array, computed = counting(values, chunks)
    np.testing.assert_array_equal(np.stack(take(array)), values.reshape(-1, 2, 3))
    assert len(computed) == array.npartitions


@given(lead=st.lists(st.integers(1, 4), min_size=1, max_size=3), data=st.data())
def test_planes_are_those_of_the_array(lead: list[int], data: st.DataObject) -> None:
    values = numbered(*lead)
    chunks = (*(data.draw(st.integers(1, n)) for n in lead), 2, 3)
    stack = held(da.from_array(values, chunks=chunks))
    for index in np.ndindex(*lead):
        np.testing.assert_array_equal(stack[index], values[index])


def test_a_chunk_above_the_bound_is_not_held_by_the_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    values = numbered(4, 3)
    monkeypatch.setattr(planes, "HELD", values[0].nbytes)
    array, computed = counting(values, (2, 1, -1, -1))
    np.testing.assert_array_equal(np.stack(in_the_verbs(array)), values.reshape(-1, 2, 3))
    assert len(computed) == 12
    array, computed = counting(values, (2, 3, -1, -1))  # what lies in it along the last axis is within the bound
    in_the_verbs(array)
    assert len(computed) == 4


def test_one_chunk_is_held_at_a_time() -> None:
    stack = held(da.from_array(numbered(6), chunks=(2, 2, 3)))
    assert isinstance(stack, HeldPlanes)
    for index in range(6):
        assert stack[(index,)].base is None  # nobody keeps the chunk
        assert stack._slab is not None
        assert stack._slab.shape == (2, 2, 3)


def test_what_is_no_plane_is_that_of_the_array() -> None:
    values = numbered(4)
    array = da.from_array(values, chunks=(2, 2, 3))
    stack = held(array)
    np.testing.assert_array_equal(stack[1:3], values[1:3])
    np.testing.assert_array_equal(np.asarray(stack), values)
    single = da.from_array(values, chunks=(1, 2, 3))
    assert held(single) is single
    assert held(values) is values


def test_a_lazy_measurement_is_computed_once() -> None:
    values = numbered(4, 3)  # three exposures
    array, computed = counting(values, (2, 3, -1, -1))
    frames = held(array, trailing=3)
    for index in range(4):
        np.testing.assert_array_equal(frames[(index,)], values[index])
    assert len(computed) == 2
