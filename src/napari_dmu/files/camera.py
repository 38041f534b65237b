"""The frames of a real camera as a measurement: TIFF files and a small YAML file that says how they were taken."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_dmu._version import __version__
from napari_dmu.errors import FileError, PatternSetError, SettingsError
from napari_dmu.files.calibration import MICROMETER, PIXEL, SECOND
from napari_dmu.files.camera_run import CONTAINER, CameraRun, read_run
from napari_dmu.files.frame_stack import FrameStack, open_frames
from napari_dmu.files.frames import Corrections, corrections_of, spare_bits
from napari_dmu.files.peak_photons import photons_of_all_on, photons_of_bins
from napari_dmu.microscope.acquisition import Acquisition, Registration
from napari_dmu.microscope.checking import checked_update
from napari_dmu.microscope.detector import WELL_MARGIN
from napari_dmu.microscope.measurement import Measurement, MeasurementInfo

if TYPE_CHECKING:
    from napari_dmu.zoo.registry import SetSummary


def read_camera(path: str | os.PathLike[str]) -> Measurement:
    """Read the frames of a camera run as a measurement that `reconstruct` takes like a simulated one.

    Without corrections the data are the camera's counts, of ``camera_bin``² pixels each. With a dark frame, a flat
    field or resampling they are corrected counts in sixteenths of a camera count on a new offset, so that rounding
    them adds nothing and noise below the dark level is not cut off; gain and offset in the measurement say so, and
    its gain turns them into electrons as before. The intensity range is (0, 1): the reconstruction is in units of
    the density that sends ``photons``.

    Parameters
    ----------
    path
        The YAML file; see `CameraRun`.

    Returns
    -------
    Measurement
        In memory, frame by frame read from the files.

    Raises
    ------
    FileError
        A file is missing, or frames do not fit together.
    SettingsError
        A setting is missing, unknown or does not fit the frames.
    PatternSetError
        The pattern set is not installed.
    """
    where = Path(path)
    run = read_run(where)
    summary = set_of_run(run)
    acquisition = summary.header.acquisition
    if run.align == "resample" and run.camera_bin == 1:
        raise SettingsError(
            "Frames can be resampled only where a camera pixel is finer than a bin: use a camera_bin of 2 or more, or "
            "align: record."
        )
    stack = open_frames(where.parent, run.frames, run.step)
    planes = _plane_count(run, stack, acquisition.exposures)
    corrections = corrections_of(run, where.parent, stack, acquisition.bin)
    data, saturated, remarks = _counts(run, stack, planes, acquisition.exposures, corrections)
    camera = _camera(run, acquisition, corrections)
    if run.photons is None:
        if run.all_on is None:
            photons = photons_of_bins(data, camera, summary.dose_mean)
        else:
            photons = photons_of_all_on(run, where.parent, stack.shape, corrections)
        camera = checked_update(camera, {"photons": photons})
    step, unit = (1.0, PIXEL) if run.pixel_size is None else (run.pixel_size, MICROMETER)
    axes: tuple[str, ...] = ("y", "x")
    scale, units = (step, step), (unit, unit)
    shape = data.shape[1:]
    if run.planes is None:
        data = data[0]
    else:
        axes = (run.planes.axis, *axes)
        known = SECOND if run.planes.axis == "t" else MICROMETER
        scale = (run.planes.step or 1.0, *scale)  # type: ignore[assignment]
        units = (known if run.planes.step else PIXEL, *units)  # type: ignore[assignment]
    info = MeasurementInfo(
        acquisition=camera, set_name=summary.name, family=summary.family, ratio=summary.ratio,
        set_hash=summary.header.tensors_sha256,
        field=(shape[-2] * acquisition.bin, shape[-1] * acquisition.bin),
        intensity_range=(0.0, 1.0), axes=axes, scale=scale, translate=(0.0,) * len(axes), units=units,
        dtype="float32", saturated=saturated, camera=True, remarks=remarks, version=__version__,
    )  # fmt: skip
    return Measurement(data, info)


def set_of_run(run: CameraRun) -> SetSummary:
    """The header of the pattern set that was on the DMD.

    Raises
    ------
    PatternSetError
        It is not installed, or in another version.
    """
    from napari_dmu.zoo.registry import find_set

    found = find_set(run.set, ratio=run.ratio, family=run.family)
    if run.set_hash is not None and run.set_hash != found.header.tensors_sha256:
        raise PatternSetError(
            f"The pattern set {found.label} is installed in another version than the frames were taken with: "
            "install the one of that set_hash."
        )
    return found


def _plane_count(run: CameraRun, stack: FrameStack, exposures: int) -> int:
    count = len(stack)
    if run.planes is None and count != exposures:
        more = " (for a time series or z stack add 'planes')" if count > exposures and count % exposures == 0 else ""
        raise FileError(
            f"There are {count} frames and the pattern set has {exposures} exposures{more}: check 'frames'."
        )
    if count % exposures:
        raise FileError(f"There are {count} frames, no multiple of the {exposures} exposures: check 'frames'.")
    return count // exposures


def _counts(
    run: CameraRun, stack: FrameStack, planes: int, exposures: int, corrections: Corrections
) -> tuple[NDArray[np.unsignedinteger], float, tuple[str, ...]]:
    """(planes, T, y, x) stored counts, the fraction of samples with a saturated camera pixel, and what strikes."""
    plane_first = run.planes is None or run.planes.order == "plane"
    data: NDArray[np.unsignedinteger] | None = None
    full = bits_seen = 0
    for index in range(planes * exposures):  # as they lie in the files, so that each of these is read once
        place = divmod(index, exposures) if plane_first else divmod(index, planes)[::-1]
        frame = stack[index]
        counts, saturated = corrections.apply(frame, index)
        if data is None:
            data = np.empty((planes, exposures, *counts.shape), dtype=counts.dtype)
        data[place] = counts
        full += saturated
        bits_seen |= int(np.bitwise_or.reduce(corrections.cropped(frame), axis=None))
        del frame  # a view would keep its file while the next one is read
    assert data is not None
    return data, full / data.size, _remarks(run, spare_bits(bits_seen))


def _remarks(run: CameraRun, spare: int) -> tuple[str, ...]:
    """What to tell the user where counts said to have 16 bits are all multiples of 4, 16, …"""
    if run.bits != CONTAINER or spare < 2:
        return ()
    bits = CONTAINER - spare
    return (
        f"All counts are multiples of {2**spare}: if the camera has {bits} bits, write 'bits: {bits}' and "
        "'left_aligned: true'.",
    )


def _camera(run: CameraRun, acquisition: Acquisition, corrections: Corrections) -> Acquisition:
    """The set's geometry and optics with the camera's light and detector, per detector pixel."""
    pixels = run.camera_bin**2
    dark = pixels * run.dark_current
    # Rounding in every camera pixel, less what the stored gain already stands for.
    variance = pixels * run.read_noise**2 + max(0.0, pixels * run.gain**2 - corrections.gain**2) / 12
    if run.dark_frame is not None:  # its mean is subtracted, its noise stays
        variance += dark * run.exposure_time * run.excess_noise
        dark = 0.0
    read_noise = math.sqrt(variance) if variance != run.read_noise**2 else run.read_noise
    # Of the camera only full scale is known; where the stored counts have room above it, it is stored as a full well.
    full_well = None
    if corrections.full is not None and corrections.full < 2**corrections.bits - 1:
        full_well = (corrections.full - corrections.offset) * corrections.gain + WELL_MARGIN * read_noise
    return checked_update(
        acquisition.model_copy(update={"full_well": full_well}),
        {
            "photons": run.photons,
            "background": pixels * run.background,
            "read_noise": read_noise,
            "quantum_efficiency": run.quantum_efficiency,
            "excess_noise": run.excess_noise,
            "dark_current": dark,
            "exposure_time": run.exposure_time,
            "gain": corrections.gain,
            "offset": corrections.offset,
            "bits": corrections.bits,
            "registration": Registration() if run.align == "resample" else run.registration,
        },
    )
