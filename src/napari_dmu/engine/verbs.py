"""The verbs: simulate, reconstruct, segment, compare. Every door calls these functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_dmu._version import __version__
from napari_dmu.engine.comparison import Comparison, compare_planes
from napari_dmu.engine.device import resolve_device
from napari_dmu.engine.progress import CancelToken, Progress, check, report
from napari_dmu.engine.stacks import as_stack, plane, stack_range
from napari_dmu.errors import PatternSetError, SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.checking import checked_update
from napari_dmu.microscope.measurement import (
    ArrayLike,
    Measurement,
    MeasurementInfo,
    check_plane,
    normalise,
)
from napari_dmu.microscope.presets import apply_preset
from napari_dmu.zoo.registry import load_by_hash, load_set

if TYPE_CHECKING:
    from napari_dmu.zoo.pattern_set import PatternSet

Method = Literal["learned", "lmmse", "ridge", "tv"]


def load(name: str = "nuclei", *, ratio: float, family: str = "learned") -> PatternSet:
    """Load a pattern set, e.g. ``load("nuclei", ratio=64)``; see ``napari-dmu sets`` for what there is."""
    return load_set(name, ratio=ratio, family=family)


def simulate(
    specimen: ArrayLike,
    instrument: PatternSet,
    *,
    photons: float | None = None,
    read_noise: float | None = None,
    background: float | None = None,
    detector: str | None = None,
    acquisition: Mapping[str, Any] | None = None,
    seed: int = 0,
    axes: Sequence[str] | None = None,
    scale: Sequence[float] | None = None,
    translate: Sequence[float] | None = None,
    units: Sequence[str] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Measurement:
    """Simulate the compressed measurement of a specimen.

    Parameters
    ----------
    specimen
        (..., Y, X), numpy, dask or alike, any integer or floating type; read plane by plane. Its 0.1 and 99.9
        percentiles (over the whole stack) become fluorescence densities 0 and 1.
    instrument
        Pattern set to measure with.
    photons, read_noise, background
        Peak photons k per specimen pixel, electrons, photons per detector pixel; the set's own where not given.
    detector
        Name of a detector preset (``microscope.presets``) in place of the set's detector.
    acquisition
        Any other settings than the set's, by their names in ``microscope.acquisition.Acquisition``: point spread
        functions, DMD contrast, registration error, …; all but the patterns' geometry.
    seed
        The noise of plane i depends on (seed, i) alone.
    axes, scale, translate, units
        Of the specimen, one entry an axis; kept in the measurement.
    device
        ``auto``, ``cpu``, ``cuda``, ``mps``.
    progress, cancel
        Called with (planes done, planes, text); token that stops the work.

    Returns
    -------
    Measurement
        Counts (..., T, ⌈Y/d⌉, ⌈X/d⌉) and what is needed to reconstruct them.

    Raises
    ------
    SpecimenError, SettingsError, DeviceError, Cancelled
    """
    import torch

    from napari_dmu.microscope.detector import count_dtype, sample_counts, saturated_fraction

    stack = as_stack(specimen)
    light = {"photons": photons, "read_noise": read_noise, "background": background}
    settings = _settings(instrument.acquisition, detector, {**(acquisition or {}), **_given(light)})
    if seed < 0:
        raise SettingsError(f"The seed is {seed}: choose 0 or a positive whole number.")
    where = resolve_device(device)
    microscope = instrument.microscope(where, acquisition=settings)
    limits = stack_range(stack, cancel)
    field = (int(stack.shape[-2]), int(stack.shape[-1]))
    counts = np.empty((*stack.shape[:-2], settings.exposures, *settings.bins(field)), dtype=count_dtype(settings))
    flat = counts.reshape(-1, *counts.shape[-3:])
    for index in range(flat.shape[0]):
        check(cancel)
        density = torch.from_numpy(normalise(check_plane(plane(stack, index), index), limits)).to(where)
        with torch.inference_mode():
            signal = microscope.forward(density).cpu().numpy()
        flat[index] = sample_counts(signal, settings, seed=seed, index=index)
        report(progress, index + 1, flat.shape[0], "Measuring")
    info = MeasurementInfo(
        acquisition=settings,
        set_name=instrument.name,
        family=instrument.family,
        ratio=instrument.ratio,
        set_hash=instrument.hash,
        field=field,
        intensity_range=limits,
        seed=seed,
        dtype=str(stack.dtype),
        saturated=saturated_fraction(counts, settings),
        version=__version__,
        **_geometry(stack.ndim, axes, scale, translate, units),
    )
    return Measurement(counts, info)


def reconstruct(
    measurement: Measurement,
    *,
    instrument: PatternSet | None = None,
    method: Method = "learned",
    device: str = "auto",
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> NDArray[np.float32]:
    """Reconstruct the specimen from a measurement.

    Parameters
    ----------
    measurement
        From ``simulate`` or a file.
    instrument
        The pattern set it was taken with; found by its hash where not given.
    method
        ``"learned"`` (lifting and refinement), ``"lmmse"`` (the linear estimate alone), or, from the optics and the
        noise without anything learned, ``"ridge"`` (smooth) or ``"tv"`` (total variation, non-negative).

    Returns
    -------
    ndarray
        (..., Y, X) float32, in the specimen's own intensity units.

    Raises
    ------
    PatternSetError, SettingsError, DeviceError, Cancelled
    """
    from napari_dmu.engine.classical import classical_plane
    from napari_dmu.engine.decoding import decoded_plane

    if method not in get_args(Method):
        raise SettingsError(f"There is no reconstruction method {method!r}: choose learned, lmmse, ridge or tv.")
    low, high = measurement.info.intensity_range
    where = resolve_device(device)
    used = _instrument(measurement, instrument)

    def one(counts: NDArray[np.generic]) -> NDArray[np.float32]:
        if method in ("ridge", "tv"):
            image = classical_plane(used.patterns, counts, measurement.info, method, device=where, cancel=cancel)
        else:
            image = decoded_plane(used.to(where), counts, measurement.info, linear=method == "lmmse", cancel=cancel)
        return image * np.float32(high - low) + np.float32(low)

    return _each_plane(measurement, one, np.dtype(np.float32), "Reconstructing", progress, cancel)


def segment(
    measurement: Measurement,
    *,
    instrument: PatternSet | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> NDArray[np.int32]:
    """Segment cells straight from a measurement, plane by plane.

    Returns
    -------
    ndarray
        (..., Y, X) int32, 0 = background, cells 1 … n in each plane.

    Raises
    ------
    PatternSetError
        Where the pattern set has no segmenter or is not installed.
    DeviceError, Cancelled
    """
    from napari_dmu.engine.decoding import head_planes
    from napari_dmu.segmentation.instances import instances

    used = _instrument(measurement, instrument)
    if used.segmenter is None:
        raise PatternSetError(
            f"The pattern set ×{used.ratio:g} {used.name}, {used.family} has no segmenter: "
            "choose one with cells, such as nuclei."
        )
    used.to(resolve_device(device))

    def one(counts: NDArray[np.generic]) -> NDArray[np.int32]:
        foreground, distance = head_planes(used, counts, measurement.info, cancel=cancel)
        return instances(foreground, distance, used.header.instances)

    return _each_plane(measurement, one, np.dtype(np.int32), "Segmenting", progress, cancel)


def compare(
    image: ArrayLike,
    truth: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    truth_labels: ArrayLike | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Comparison:
    """Compare a reconstruction, and labels where given, with the truth.

    All are (..., Y, X) of one shape. Scores are means over planes; the truth's 0.1 and 99.9 percentiles (over
    the whole stack) are 0 and 1.

    Raises
    ------
    SpecimenError
        Where shapes differ or values are not finite.
    SettingsError
        Where only one of the two label images is given.
    """
    return compare_planes(image, truth, labels, truth_labels, progress=progress, cancel=cancel)


def _each_plane(
    measurement: Measurement,
    one: Callable[[NDArray[np.generic]], NDArray[Any]],
    dtype: np.dtype[Any],
    what: str,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> NDArray[Any]:
    """Apply a function of one plane's counts (T, y, x) to every plane of a measurement."""
    lead = measurement.data.shape[:-3]
    result = np.empty((*lead, *measurement.info.field), dtype=dtype)
    for done, index in enumerate(np.ndindex(*lead), start=1):
        check(cancel)
        result[index] = one(np.asarray(measurement.data[index]))
        report(progress, done, measurement.planes, what)
    return result


def _instrument(measurement: Measurement, given: PatternSet | None) -> PatternSet:
    info = measurement.info
    if given is None:
        return load_by_hash(info.set_hash, f"×{info.ratio:g} {info.set_name}, {info.family}")
    if given.hash != info.set_hash:
        raise PatternSetError(
            f"The measurement was taken with another pattern set (×{info.ratio:g} {info.set_name}, {info.family}) "
            "than the one given: leave the set out to have the right one found."
        )
    return given


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}


def _settings(own: Acquisition, detector: str | None, changes: Mapping[str, Any]) -> Acquisition:
    """The set's acquisition with another detector and other settings, and with the gain in use written down, so
    that the counts keep their meaning whatever chose it."""
    fixed = sorted({"bin", "exposures", "period"} & set(changes))
    if fixed:
        raise SettingsError(f"The {fixed[0]} belongs to the patterns: choose another pattern set to change it.")
    settings = own if detector is None else apply_preset(own, detector)
    settings = checked_update(settings, changes)
    return checked_update(settings, {"gain": settings.electrons_per_count})


def _geometry(
    ndim: int,
    axes: Sequence[str] | None,
    scale: Sequence[float] | None,
    translate: Sequence[float] | None,
    units: Sequence[str] | None,
) -> dict[str, Any]:
    """One entry an axis, with plain pixels for what is not given."""
    names = tuple(axes) if axes is not None else (*(f"axis {i}" for i in range(ndim - 2)), "y", "x")
    geometry: dict[str, Any] = {
        "axes": names,
        "scale": tuple(float(v) for v in scale) if scale is not None else (1.0,) * ndim,
        "translate": tuple(float(v) for v in translate) if translate is not None else (0.0,) * ndim,
        "units": tuple(str(v) for v in units) if units is not None else ("pixel",) * ndim,
    }
    for key, value in geometry.items():
        if len(value) != ndim:
            raise SettingsError(f"The {key} has {len(value)} entries, the specimen {ndim} axes: give one an axis.")
    return geometry
