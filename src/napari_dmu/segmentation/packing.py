"""Pieces of foreground moved close together, so that what works on whole images need not go over the background."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class Packing:
    """Where every foreground pixel of a field has its place in a smaller one, each piece in its own shape.

    Attributes
    ----------
    field, packed
        Shapes (Y, X) of the field and of the smaller one.
    source, target
        Flat indices of the foreground's pixels, in scan order of the field, and their places in the smaller field.
    """

    field: tuple[int, int]
    packed: tuple[int, int]
    source: NDArray[np.intp]
    target: NDArray[np.intp]

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Packing:
        """Pack the pieces of ``mask`` (Y, X), which holds at least one; pixels that touch at a corner stay together.

        Pieces stand side by side on shelves, the tallest first, with a pixel of background between them.
        """
        pieces, count = ndimage.label(mask, structure=np.ones((3, 3)))
        boxes = ndimage.find_objects(pieces)
        top, bottom, left, right = np.array([(r.start, r.stop, c.start, c.stop) for r, c in boxes]).T
        order = np.argsort(top - bottom, kind="stable")
        heights, widths = (bottom - top + 1)[order], (right - left + 1)[order]
        ends = np.cumsum(widths)
        shelf = (ends - widths) // math.ceil(math.sqrt(float((heights * widths).sum())))
        first = np.searchsorted(shelf, np.arange(shelf[-1] + 1))
        tops = np.concatenate([[0], np.cumsum(heights[first])])
        starts = (ends - widths)[first]
        down, across = np.zeros((2, count), dtype=np.intp)
        down[order], across[order] = tops[shelf], ends - widths - starts[shelf]
        packed = int(tops[-1]), int((ends - starts[shelf]).max())

        source = np.flatnonzero(mask)
        piece = pieces.ravel()[source] - 1
        rows, columns = np.divmod(source, mask.shape[1])
        target = (rows + (down - top)[piece]) * packed[1] + columns + (across - left)[piece]
        return cls((mask.shape[0], mask.shape[1]), packed, source, target)

    def pack(self, image: NDArray[Any], background: float) -> NDArray[Any]:
        """Values (Y, X) of the foreground in the smaller field, and ``background`` around them."""
        small = np.full(self.packed, background, dtype=image.dtype)
        small.ravel()[self.target] = image.ravel()[self.source]
        return small

    def unpack(self, labels: NDArray[np.integer]) -> NDArray[np.int32]:
        """Labels of the smaller field put back into the field (Y, X), 0 elsewhere."""
        large = np.zeros(self.field, dtype=np.int32)
        large.ravel()[self.source] = labels.ravel()[self.target]
        return large
