"""Peak photons of a camera run that does not say them: read off its brightest pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import SettingsError
from napari_dmu.files.camera_run import CameraRun
from napari_dmu.files.frame_stack import mean_frame
from napari_dmu.files.frames import Corrections
from napari_dmu.microscope.acquisition import Acquisition

# The brightest pixels or bins (this percentile) count as evenly filled with density 1.
BRIGHT_PERCENTILE = 99.9


def photons_of_bins(data: NDArray[np.unsignedinteger], camera: Acquisition, dose: float) -> float:
    """Peak photons, if the brightest bins, summed over the exposures, were evenly filled with density 1.

    Such a bin sends photons · d² · dose, with the mean dose of the patterns.
    """
    electrons = (data.astype(np.float64) - camera.offset) * camera.electrons_per_count - camera.dark_electrons
    photons = (electrons / camera.quantum_efficiency - camera.background).sum(axis=1)
    return _brightest(photons) / (camera.bin**2 * dose)


def photons_of_all_on(run: CameraRun, folder: Path, shape: tuple[int, int], corrections: Corrections) -> float:
    """Peak photons, if the brightest camera pixels of a frame under all mirrors were evenly filled with density 1.

    A camera pixel is smaller than a bin and lit everywhere, so more specimens have one that is filled.
    """
    assert run.all_on is not None
    frame = mean_frame(folder, run.all_on, "all_on frame", shape, run.step)
    full = float((corrections.cropped(frame) >= corrections.top).mean())
    if full >= 1 - BRIGHT_PERCENTILE / 100:
        raise SettingsError(
            f"The all_on frame '{run.all_on}' is saturated where it is brightest: expose all frames for a shorter "
            "time, or give the photons as a number."
        )
    dark = 0.0 if run.dark_frame is not None else run.dark_current * run.exposure_time
    photons = (corrections.light(frame) * run.gain - dark) / run.quantum_efficiency - run.background
    return _brightest(photons) / corrections.side**2


def _brightest(photons: NDArray[np.float64]) -> float:
    peak = float(np.percentile(photons, BRIGHT_PERCENTILE))
    if not peak > 0:
        raise SettingsError(
            "The frames are not brighter than the offset and background: check them, or give the photons as a number."
        )
    return peak
