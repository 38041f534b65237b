"""Stacks plane by plane: any array-like of (..., Y, X), never read as a whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_dmu.engine.progress import CancelToken, check
from napari_dmu.errors import SpecimenError
from napari_dmu.microscope.measurement import ArrayLike, check_plane, check_specimen, intensity_range

# Planes that the intensity range of a stack is taken from, evenly spaced, and pixels taken of each.
RANGE_PLANES = 32
RANGE_PIXELS = 1_000_000


def as_stack(specimen: ArrayLike) -> ArrayLike:
    """The specimen itself if it slices like an array, else as numpy; refused where it cannot be an image."""
    if not (hasattr(specimen, "shape") and hasattr(specimen, "dtype") and hasattr(specimen, "__getitem__")):
        try:
            specimen = np.asarray(specimen)
        except ValueError as error:
            raise SpecimenError("The specimen is no regular array of numbers: give one of shape (…, Y, X).") from error
    check_specimen(tuple(specimen.shape), np.dtype(specimen.dtype))
    return specimen


def plane_count(stack: ArrayLike) -> int:
    """Number of planes of (..., Y, X)."""
    return int(np.prod(stack.shape[:-2], dtype=np.int64))


def plane(stack: ArrayLike, index: int) -> NDArray[np.generic]:
    """Plane number ``index`` in C order, (Y, X), read now."""
    return np.asarray(stack[np.unravel_index(index, stack.shape[:-2])] if stack.ndim > 2 else stack)


def stack_range(stack: ArrayLike, cancel: CancelToken | None = None) -> tuple[float, float]:
    """Specimen values that count as 0 and 1, over the whole stack.

    Of a single plane every pixel counts; of a stack up to ``RANGE_PLANES`` evenly spaced planes and
    ``RANGE_PIXELS`` evenly spaced pixels of each, so that a long stack is not read twice.
    """
    count = plane_count(stack)
    if count == 1:
        return intensity_range(check_plane(plane(stack, 0)))
    chosen = np.unique(np.linspace(0, count - 1, min(count, RANGE_PLANES)).round().astype(int))
    sample = []
    for index in chosen:
        check(cancel)
        pixels = check_plane(plane(stack, int(index)), int(index)).ravel()
        sample.append(pixels[:: max(1, pixels.size // RANGE_PIXELS)])
    return intensity_range(np.concatenate(sample))
