"""The sample images that are shipped: simulated, so that they are ours to give away, and made again by this module.

``python -m napari_dmu.files.samples FOLDER`` writes them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import FileError
from napari_dmu.files.calibration import MICROMETER, SECOND
from napari_dmu.files.specimen import write_image
from napari_dmu.microscope.specimens import (
    simulated_filaments,
    simulated_nuclei,
    simulated_time_series,
    simulated_z_stack,
)

Pair = tuple[NDArray[np.uint16], NDArray[np.uint16]]

PIXEL_SIZE, PLANE_STEP, FRAME_STEP = 0.65, 2.0, 60.0  # µm, µm, s
_STEPS = {"t": (FRAME_STEP, SECOND), "z": (PLANE_STEP, MICROMETER)}


@dataclass(frozen=True)
class Sample:
    """One sample image: what it is, its axes, how it is made, and whether its labels are shipped too."""

    name: str
    title: str
    axes: tuple[str, ...]
    make: Callable[[], Pair]
    labels: bool = True


SAMPLES = (
    Sample("nuclei_2d", "Nuclei", ("y", "x"), lambda: simulated_nuclei((512, 696), seed=2203)),
    Sample("nuclei_time_series", "Nuclei, time series", ("t", "y", "x"), lambda: simulated_time_series(seed=14945)),
    Sample("nuclei_z_stack", "Nuclei, z stack", ("z", "y", "x"), lambda: simulated_z_stack(seed=64)),
    Sample("filaments_2d", "Filaments", ("y", "x"), lambda: simulated_filaments(seed=1024), labels=False),
)


def sample_folder() -> Path:
    """Where the shipped sample images lie."""
    return Path(__file__).resolve().parents[1] / "sample_data"


def write_samples(folder: str | Path) -> list[Path]:
    """Make all sample images anew.

    Parameters
    ----------
    folder
        Must exist.

    Returns
    -------
    list of Path
        The files: OME-TIFF, 0.65 µm pixels, 2 µm between planes, 60 s between frames.

    Raises
    ------
    FileError
        The folder is not there or cannot be written to.
    """
    where = Path(folder)
    if not where.is_dir():
        raise FileError(f"'{where}' is no folder: make it first.")
    written = []
    for sample in SAMPLES:
        steps = [_STEPS.get(axis, (PIXEL_SIZE, MICROMETER)) for axis in sample.axes]
        for array, is_labels in zip(sample.make(), (False, True), strict=True):
            if is_labels and not sample.labels:
                continue
            path = where / f"{sample.name}{'_labels' if is_labels else ''}.tif"
            write_image(
                path,
                array,
                axes=sample.axes,
                scale=[step for step, _ in steps],
                units=[unit for _, unit in steps],
                labels=is_labels,
                uuid=f"urn:uuid:{uuid5(NAMESPACE_URL, f'napari-dmu/{path.name}')}",
            )
            written.append(path)
    return written


if __name__ == "__main__":
    write_samples(sys.argv[1] if len(sys.argv) > 1 else ".")
