"""The verbs: simulate, reconstruct, assess, segment, compare. Every door calls these functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_dmu._version import __version__
from napari_dmu.engine.arguments import geometry_of, range_of, seed_of, settings_of
from napari_dmu.engine.comparison import Comparison, compare_planes
from napari_dmu.engine.device import memory_explained, resolve_device
from napari_dmu.engine.measured import each_plane, in_specimen_units, instrument_of
from napari_dmu.engine.progress import CancelToken, Progress, check, report
from napari_dmu.engine.stacks import as_stack, plane, stack_range
from napari_dmu.errors import SettingsError
from napari_dmu.microscope.measurement import (
    ArrayLike,
    Measurement,
    MeasurementInfo,
    check_plane,
    normalise,
)
from napari_dmu.zoo.registry import load_set

if TYPE_CHECKING:
    from napari_dmu.engine.assessment import Assessment
    from napari_dmu.zoo.pattern_set import PatternSet

Method = Literal["learned", "lmmse", "ridge", "tv"]


def load(name: str = "nuclei", *, ratio: float, family: str = "learned") -> PatternSet:
    """Load a pattern set, e.g. ``load("nuclei", ratio=64)``; see ``napari-dmu sets`` for what there is."""
    return load_set(name, ratio=ratio, family=family)


@memory_explained()
def simulate(
    specimen: ArrayLike,
    instrument: PatternSet,
    *,
    photons: float | None = None,
    read_noise: float | None = None,
    background: float | None = None,
    detector: str | None = None,
    acquisition: Mapping[str, Any] | None = None,
    intensity_range: tuple[float, float] | None = None,
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
        percentiles (over the whole stack) become fluorescence densities 0 and 1. Measure channels one by one: together
        they share this range, so that a dim one gets a fraction of the light, and scores too high.
    instrument
        Pattern set to measure with.
    photons, read_noise, background
        Peak photons k per specimen pixel, electrons, photons per detector pixel; the set's own where not given.
    detector
        Name of a detector preset (``microscope.presets``) in place of the set's detector.
    acquisition
        Any other settings than the set's, by their names in ``microscope.acquisition.Acquisition``: point spread
        functions, DMD contrast, registration error, …; all but the patterns' geometry. ``None`` is a value of its own.
    intensity_range
        Specimen values that become 0 and 1 in place of the percentiles: for a part that is to be lit as the whole.
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
    settings = settings_of(instrument.acquisition, detector, light, acquisition)
    seed, geometry = seed_of(seed), geometry_of(stack.ndim, axes, scale, translate, units)
    where = resolve_device(device)
    microscope = instrument.microscope(where, acquisition=settings)
    limits = stack_range(stack, cancel) if intensity_range is None else range_of(intensity_range)
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
        **geometry,
    )
    return Measurement(counts, info)


@memory_explained()
def reconstruct(
    measurement: Measurement,
    *,
    instrument: PatternSet | None = None,
    method: Method = "learned",
    flips: bool = False,
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
    flips
        Mean of the learned reconstruction over eight mirrored measurements, in eight times the time; for sets with
        symmetric patterns, such as plain ones.

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
    from napari_dmu.engine.flips import flipped_plane

    if method not in get_args(Method):
        raise SettingsError(f"There is no reconstruction method {method!r}: choose learned, lmmse, ridge or tv.")
    if flips and method != "learned":
        raise SettingsError(f"Flips are for the learned reconstruction, not for {method}: leave one of the two out.")
    where = resolve_device(device)
    used = instrument_of(measurement, instrument)

    def one(counts: NDArray[np.generic]) -> NDArray[np.float32]:
        if method in ("ridge", "tv"):
            image = classical_plane(used.patterns, counts, measurement.info, method, device=where, cancel=cancel)
        elif flips:
            image = flipped_plane(used.to(where), counts, measurement.info, cancel=cancel)
        else:
            image = decoded_plane(used.to(where), counts, measurement.info, linear=method == "lmmse", cancel=cancel)
        return in_specimen_units(image, measurement.info)

    return each_plane(measurement, one, np.dtype(np.float32), "Reconstructing", progress, cancel)


def segment(
    measurement: Measurement,
    *,
    instrument: PatternSet | None = None,
    segmenter: str = "pattern set",
    image: ArrayLike | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> NDArray[np.int32]:
    """Segment cells, plane by plane.

    Parameters
    ----------
    measurement
        From ``simulate`` or a file.
    instrument
        The pattern set it was taken with; found by its hash where not given.
    segmenter
        ``"pattern set"``: the network trained with the patterns, straight from the measurement. Any other name of
        ``segmentation.registry.available_segmenters``: that function, on the reconstruction.
    image
        (..., Y, X), the reconstruction for such a function, where there is one already; otherwise it is made first.

    Returns
    -------
    ndarray
        (..., Y, X) int32, 0 = background, cells 1 … n in each plane.

    Raises
    ------
    PatternSetError
        Where the pattern set has no segmenter or is not installed.
    SettingsError
        Where there is no such segmenter, or it cannot be loaded.
    SpecimenError
        Where it fails on the image or gives anything but labels for it, or the image is not of the measurement.
    DeviceError, Cancelled
    """
    from napari_dmu.engine.cells import find_labels

    return find_labels(
        measurement,
        instrument=instrument,
        segmenter=segmenter,
        image=image,
        device=device,
        progress=progress,
        cancel=cancel,
    )


def compare(
    image: ArrayLike,
    truth: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    truth_labels: ArrayLike | None = None,
    intensity_range: tuple[float, float] | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Comparison:
    """Compare a reconstruction, and labels where given, with the truth.

    All are (..., Y, X) of one shape. Scores are means over planes; the truth's 0.1 and 99.9 percentiles (over
    the whole stack), or the ``intensity_range``, are 0 and 1.

    Raises
    ------
    SpecimenError
        Where shapes differ or values are not finite.
    SettingsError
        Where only one of the two label images is given, or the range is none.
    """
    limits = None if intensity_range is None else range_of(intensity_range)
    return compare_planes(image, truth, labels, truth_labels, limits=limits, progress=progress, cancel=cancel)


def assess(
    measurement: Measurement,
    image: ArrayLike | None = None,
    *,
    instrument: PatternSet | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Assessment:
    """Say how far a reconstruction is to be trusted: error bar, imagined part, and whether it fits the data.

    Parameters
    ----------
    measurement
        From ``simulate`` or a file.
    image
        (..., Y, X), its reconstruction by any method, in the specimen's own units; the learned one where not given.
    instrument
        The pattern set it was taken with; found by its hash where not given.

    Returns
    -------
    Assessment
        Maps, figures of every plane and one sentence; see ``engine.assessment``.

    Raises
    ------
    SpecimenError
        Where the image is not of this measurement's shape, or not finite.
    PatternSetError, DeviceError, Cancelled
    """
    from napari_dmu.engine.assessment import assess_planes

    return assess_planes(measurement, image, instrument=instrument, device=device, progress=progress, cancel=cancel)
