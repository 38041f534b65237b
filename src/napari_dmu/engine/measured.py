"""What all verbs on a measurement do: find its pattern set, go through its planes, give intensities their units."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dmu.engine.progress import CancelToken, Progress, check, report
from napari_dmu.errors import PatternSetError, SettingsError
from napari_dmu.files.planes import held
from napari_dmu.microscope.measurement import Measurement, MeasurementInfo
from napari_dmu.zoo.registry import load_by_hash

if TYPE_CHECKING:
    from napari_dmu.zoo.pattern_set import PatternSet


def instrument_of(measurement: Measurement, given: PatternSet | None) -> PatternSet:
    """The pattern set a measurement was taken with: the one given if it is that, else found by its hash.

    Raises
    ------
    PatternSetError
        It is another one, or not installed.
    SettingsError
        The data were cut after they were measured.
    """
    info = measurement.info
    frames = (info.acquisition.exposures, *info.acquisition.bins(info.field))
    if tuple(measurement.data.shape[-3:]) != frames:
        raise SettingsError(
            f"The data of the measurement have shape {tuple(measurement.data.shape)}, its settings say (…, T, y, x) "
            f"with {frames}: they were cut or transposed since, measure again."
        )
    if given is None:
        return load_by_hash(info.set_hash, f"×{info.ratio:g} {info.set_name}, {info.family}")
    if given.hash != info.set_hash:
        raise PatternSetError(
            f"The measurement was taken with another pattern set (×{info.ratio:g} {info.set_name}, {info.family}) "
            "than the one given: leave the set out to have the right one found."
        )
    return given


def each_plane(
    measurement: Measurement,
    one: Callable[[NDArray[np.generic]], NDArray[Any]],
    dtype: np.dtype[Any],
    what: str,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> NDArray[Any]:
    """Apply a function of one plane's counts (T, y, x) to every plane of a measurement."""
    lead, frames = measurement.data.shape[:-3], held(measurement.data, trailing=3)
    result = np.empty((*lead, *measurement.info.field), dtype=dtype)
    for done, index in enumerate(np.ndindex(*lead), start=1):
        check(cancel)
        result[index] = one(np.asarray(frames[index]))
        report(progress, done, measurement.planes, what)
    return result


def in_specimen_units(density: NDArray[np.float32], info: MeasurementInfo) -> NDArray[np.float32]:
    """Fluorescence density as the specimen's own intensity."""
    low, high = info.intensity_range
    return density * np.float32(high - low) + np.float32(low)
