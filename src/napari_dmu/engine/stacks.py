"""Stacks plane by plane: any array-like of (..., Y, X), never read as a whole."""

from __future__ import annotations

import math
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_dmu.engine.progress import CancelToken, check
from napari_dmu.errors import SpecimenError
from napari_dmu.files.planes import held
from napari_dmu.microscope.measurement import (
    ArrayLike,
    check_plane,
    check_precision,
    check_specimen,
    intensity_range,
)

# Pixels that the intensity range of a stack is taken from.
RANGE_PIXELS = 8_000_000
# Rows of a plane, at least, that its fingerprint is taken from.
FINGERPRINT_ROWS = 64


def as_stack(specimen: ArrayLike) -> ArrayLike:
    """The specimen itself if it slices like an array, else as numpy; refused where it cannot be an image.

    Of a dask array with several planes a chunk the planes of a chunk are held, so that it is computed once.
    """
    if not _is_array(specimen):
        try:
            specimen = np.asarray(specimen)
        except (TypeError, ValueError, RuntimeError) as error:  # torch has all three
            raise SpecimenError("The specimen is no regular array of numbers: give one of shape (…, Y, X).") from error
    if any(math.isnan(length) for length in specimen.shape):  # of a dask array that was cut by a condition
        raise SpecimenError("The specimen does not know its own shape: call compute_chunk_sizes() of the array first.")
    check_specimen(tuple(specimen.shape), np.dtype(specimen.dtype))
    return held(specimen)


def _is_array(specimen: Any) -> bool:
    """Whether it slices like an array and has a type that numpy knows (a tensor of torch has one of its own)."""
    if not (hasattr(specimen, "shape") and hasattr(specimen, "__getitem__")):
        return False
    try:
        np.dtype(specimen.dtype)
    except (AttributeError, TypeError):
        return False
    return True


def plane_count(stack: ArrayLike) -> int:
    """Number of planes of (..., Y, X)."""
    return int(np.prod(stack.shape[:-2], dtype=np.int64))


def plane(stack: ArrayLike, index: int) -> NDArray[np.generic]:
    """Plane number ``index`` in C order, (Y, X), read now; refused where pixels of it are masked."""
    part = stack[np.unravel_index(index, stack.shape[:-2])] if stack.ndim > 2 else stack
    # Turned into numpy, a dask array would drop its mask.
    values = np.asanyarray(part.compute() if hasattr(part, "compute") else part)
    if masked := int(np.sum(np.ma.getmask(values))):
        raise SpecimenError(
            f"Plane {index} of the specimen has {masked} masked pixels: "
            "fill them (for example with the background level) first."
        )
    return np.asarray(values)


def fingerprint(stack: ArrayLike) -> str:
    """Tells a stack from others: a checksum of rows of its first, middle and last plane, whatever their type."""
    stack, checksum = as_stack(stack), 0
    for index in sorted({0, plane_count(stack) // 2, plane_count(stack) - 1}):
        values = plane(stack, index)
        rows = values[:: max(1, len(values) // FINGERPRINT_ROWS)].astype(np.float32)
        checksum = zlib.crc32(rows.tobytes(), checksum)
    return f"{checksum:08x}"


def stack_range(stack: ArrayLike, cancel: CancelToken | None = None) -> tuple[float, float]:
    """Specimen values that count as 0 and 1, over the whole stack.

    Every plane is looked at, so that nothing is cut off because it is rare: of a single one every pixel counts, of a
    stack evenly spaced ones, ``RANGE_PIXELS`` in all.

    Raises
    ------
    SpecimenError
        Where a value is not finite, or values differ by less than single precision can tell.
    """
    count = plane_count(stack)
    wanted = RANGE_PIXELS // count
    sample, extremes = [], []
    for index in range(count):
        check(cancel)
        stored = plane(stack, index)
        pixels = check_plane(stored, index).ravel()
        extremes += [stored.min(), stored.max()]
        # A copy: a view would keep the whole plane.
        sample.append(pixels if count == 1 else pixels[:: _stride(pixels.size, stored.shape[-1], wanted)].copy())
    low, high = min(extremes), max(extremes)
    check_precision(low, high, np.dtype(stack.dtype))
    return intensity_range(np.concatenate(sample), top=float(high))


def _stride(size: int, columns: int, wanted: int) -> int:
    """Step through the pixels of a plane that keeps about ``wanted`` of them, and not always the same columns."""
    step = max(1, size // max(1, wanted))
    while math.gcd(step, columns) > 1:
        step += 1
    return step
