"""The registration of a camera run, from frames of the dots on an even slide."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_dmu.errors import SettingsError
from napari_dmu.files.camera import set_of_run
from napari_dmu.files.camera_run import read_run
from napari_dmu.files.frame_stack import open_frames
from napari_dmu.files.frames import corrections_of
from napari_dmu.microscope.registration import Found, find_registration


def measure_registration(run: str | os.PathLike[str], frames: Sequence[str | os.PathLike[str]]) -> Found:
    """Find where the patterns lie against where the settings of a run put them.

    Parameters
    ----------
    run
        The YAML file of the run; of it the pattern set, the part, the orientation, ``camera_bin``, dark frame and flat
        field are used, not the frames and not the registration that it may have.
    frames
        TIFF files of the frame ``dots`` of ``export-patterns``; several frames are averaged.

    Raises
    ------
    FileError, SettingsError, PatternSetError
        As in ``read_camera``.
    SpecimenError
        The dots cannot be found.
    """
    where, settings = Path(run), read_run(run)
    acquisition = set_of_run(settings).header.acquisition
    if settings.camera_bin < 2:
        raise SettingsError(
            "Dots can be found only where a camera pixel is finer than a bin: use a camera_bin of 2 or more."
        )
    stack = open_frames(Path.cwd(), [str(Path(frame).absolute()) for frame in frames], settings.step)
    corrections = corrections_of(settings, where.parent, stack, acquisition.bin)
    pictures = [stack[number] for number in range(len(stack))]
    if full := sum(int((corrections.checked(p, n) >= corrections.top).sum()) for n, p in enumerate(pictures)):
        raise SettingsError(
            f"The frames of dots are saturated in {full} pixels, which moves the dots: expose them for a shorter time."
        )
    image = np.mean([corrections.light(picture) for picture in pictures], axis=0)
    return find_registration(image, corrections.side, period=acquisition.period, bin=acquisition.bin)
