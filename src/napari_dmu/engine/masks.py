"""Masks in which every cell has the same number: their separate pieces are what can be counted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_dmu.engine.progress import CancelToken, check
from napari_dmu.engine.stacks import as_stack, plane, plane_count
from napari_dmu.microscope.measurement import ArrayLike


class Counted(NamedTuple):
    """Labels (..., Y, X) with a number a cell, and whether the separate pieces of a mask were numbered for that."""

    labels: ArrayLike
    pieces: bool


def counted(labels: ArrayLike, cancel: CancelToken | None = None) -> Counted:
    """Labels as they are; of a mask with one number for all cells, its separate pieces numbered plane by plane.

    It is such a mask where the whole stack knows one number besides 0, and some plane has it in more than one piece.
    Pixels that touch at a corner belong to one piece.
    """
    from skimage.measure import label

    stack = as_stack(labels)
    if not _has_one_number(stack, cancel):
        return Counted(labels, pieces=False)
    numbers = np.empty(stack.shape, dtype=np.int32)
    for index, place in enumerate(np.ndindex(*stack.shape[:-2])):
        check(cancel)
        numbers[place] = label(plane(stack, index) != 0)
    return Counted(numbers, pieces=True) if numbers.max() > 1 else Counted(labels, pieces=False)


def pieces_sentence(names: Sequence[str]) -> str:
    """What was done with the masks of a comparison, for the user."""
    have = f"The {' and the '.join(names)} have one number for all cells"
    return f"{have}: each separate piece was counted as a cell, and cells that touch as one."


def _has_one_number(stack: ArrayLike, cancel: CancelToken | None) -> bool:
    """Whether all pixels that are not 0 have one and the same number above it."""
    only = 0.0
    for index in range(plane_count(stack)):
        check(cancel)
        values: NDArray[np.generic] = plane(stack, index)
        only = only or float(values.max())
        if not (math.isfinite(only) and np.all((values == 0) | (values == only))):
            return False
    return only > 0
