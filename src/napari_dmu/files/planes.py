"""Planes of a dask array one by one, without computing a chunk anew for each of the planes in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

HELD = 2**30  # bytes that are held at most, so that a stack in one large chunk does not fill the memory

Index = tuple[Any, ...]  # whole numbers and slices


def held(array: Any, trailing: int = 2) -> Any:
    """The array itself, or `HeldPlanes` of it where a chunk of dask holds several planes of ``trailing`` axes."""
    chunks = array.chunks[:-trailing] if hasattr(array, "blocks") and hasattr(array, "chunks") else ()
    return HeldPlanes(array, trailing) if any(max(sizes) > 1 for sizes in chunks) else array


class HeldPlanes:
    """A dask array that is asked for its planes in C order, and computes as many at once as lie in its chunks.

    Parameters
    ----------
    array
        (..., Y, X) dask.
    trailing
        Axes of a plane.
    any_chunk
        Hold a single chunk even where it is above ``HELD``.
    scheduler
        Of dask; its own choice where not given.
    """

    def __init__(self, array: Any, trailing: int = 2, *, any_chunk: bool = False, scheduler: str | None = None) -> None:
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self._array, self._lead, self._any_chunk, self._scheduler = array, array.ndim - trailing, any_chunk, scheduler
        self._where: Index | None = None
        self._slab: NDArray[Any] | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self._array, dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        """The plane at an index of one whole number for each leading axis; else what the array itself gives."""
        if not (isinstance(index, tuple) and len(index) == self._lead and all(map(_is_whole, index))):
            return self._array[index]
        where, place = self._slab_of(tuple(int(i) for i in index))
        if not place:
            return self._computed(where)
        if self._slab is None or where != self._where:
            self._slab = None  # let go of the last one before the next is computed
            self._slab, self._where = self._computed(where), where
        return self._slab[place].copy()  # a view would keep the slab

    def _computed(self, where: Index) -> NDArray[Any]:
        return np.asanyarray(self._array[where].compute(scheduler=self._scheduler))  # masked where the array is

    def _slab_of(self, index: Index) -> tuple[Index, Index]:
        """Where the planes lie that are computed with this one, and its place among them; alone it has none.

        They follow one another in C order: a chunk long along one axis, and all there is along those after it.
        """
        for axis in range(self._lead):
            sizes = self._array.chunks[axis]
            if max(sizes) == 1:
                continue
            ends = np.cumsum(sizes)
            which = int(np.searchsorted(ends, index[axis], side="right"))
            start, stop = int(ends[which]) - sizes[which], int(ends[which])
            each = math.prod(self.shape[axis + 1 :]) * self.dtype.itemsize
            one_chunk = all(len(sizes) == 1 for sizes in self._array.chunks[axis + 1 :])
            fit = stop - start if one_chunk and self._any_chunk else HELD // each
            if fit:
                start += (index[axis] - start) // fit * fit  # of a chunk above the bound as much as it allows
                return (*index[:axis], slice(start, min(stop, start + fit))), (index[axis] - start, *index[axis + 1 :])
        return index, ()


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer)
