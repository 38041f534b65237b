"""Reconstruction as a mean over mirrored and transposed measurements, for patterns that it leaves as they are.

A decoder is not exactly the same in all directions; the mean over the eight symmetries of the square evens that out
(self-ensemble; B. Lim et al., Enhanced deep residual networks for single image super-resolution, CVPRW 2017,
arXiv:1707.02921), at eight times the work. A mirrored measurement is the measurement of a mirrored specimen only where
the mirrored patterns are again the set's, if in another order: the plain camera's and a raster's are.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_dmu.engine.decoding import decoded_plane
from napari_dmu.engine.progress import CancelToken
from napari_dmu.errors import SettingsError
from napari_dmu.microscope.measurement import MeasurementInfo
from napari_dmu.zoo.pattern_set import PatternSet

Scalar = TypeVar("Scalar", bound=np.generic)

# Bit 0 mirrors columns, bit 1 mirrors rows, bit 2 transposes first.
SYMMETRIES = range(8)


def turned(planes: NDArray[Scalar], symmetry: int) -> NDArray[Scalar]:
    """(..., Y, X) under one of the symmetries."""
    if symmetry & 4:
        planes = planes.swapaxes(-1, -2)
    if symmetry & 1:
        planes = planes[..., ::-1]
    return planes[..., ::-1, :] if symmetry & 2 else planes


def turned_back(planes: NDArray[Scalar], symmetry: int) -> NDArray[Scalar]:
    """The inverse of ``turned``."""
    mirrored = turned(planes, symmetry & 3)
    return mirrored.swapaxes(-1, -2) if symmetry & 4 else mirrored


def exposure_order(patterns: NDArray[np.uint8], symmetry: int) -> list[int] | None:
    """For every pattern (T, P, P) the number of the pattern that it becomes, or None where there is none."""
    numbers: dict[bytes, list[int]] = {}
    for number, pattern in enumerate(patterns):
        numbers.setdefault(pattern.tobytes(), []).append(number)
    order = []
    for pattern in turned(patterns, symmetry):
        same = numbers.get(np.ascontiguousarray(pattern).tobytes())
        if not same:
            return None
        order.append(same.pop(0))
    return order


def flipped_plane(
    instrument: PatternSet,
    counts: NDArray[np.generic],
    info: MeasurementInfo,
    *,
    cancel: CancelToken | None = None,
) -> NDArray[np.float32]:
    """Fluorescence density of one plane as the mean over eight symmetries: counts (T, y, x) → (Y, X).

    Raises
    ------
    SettingsError
        Where the patterns are not symmetric.
    """
    a = info.acquisition
    orders = [exposure_order(instrument.patterns, symmetry) for symmetry in SYMMETRIES]
    # Whole periods, with the last bins repeated, as the decoder itself would extend the field.
    cell = a.period // a.bin
    whole = np.pad(counts, ((0, 0), *((0, -n % cell) for n in counts.shape[-2:])), mode="edge")
    total = np.zeros((whole.shape[-2] * a.bin, whole.shape[-1] * a.bin), dtype=np.float32)
    for symmetry, order in zip(SYMMETRIES, orders, strict=True):
        if order is None:
            raise SettingsError(
                f"The patterns of ×{instrument.ratio:g} {instrument.name}, {instrument.family} are not symmetric, so a "
                "mirrored measurement is not one of theirs: leave flips out, or choose a plain set."
            )
        mirrored = turned(whole, symmetry)
        frames = np.empty_like(mirrored, order="C")
        frames[order] = mirrored
        field = (frames.shape[-2] * a.bin, frames.shape[-1] * a.bin)
        image = decoded_plane(instrument, frames, info.model_copy(update={"field": field}), cancel=cancel)
        total += turned_back(image, symmetry)
    total /= len(SYMMETRIES)
    return total[: info.field[0], : info.field[1]]
