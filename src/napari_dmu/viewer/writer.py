"""Saves a measurement layer as a file that is enough to reconstruct from."""

from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.notifications import show_warning

from napari_dmu.errors import FileError
from napari_dmu.files.measurement import write_measurement
from napari_dmu.microscope.measurement import Measurement
from napari_dmu.viewer.record import read_record


def write_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save the measurement layer ``(data, attributes)``; the paths written.

    Raises
    ------
    FileError
        The layer is no measurement, or the disk refused.
    """
    record = read_record(attributes.get("metadata", {}))
    if record is None or record.kind != "measurement":
        raise FileError(
            f"The layer '{attributes.get('name', '')}' is no compressed measurement: save it as a plain TIFF instead."
        )
    if any((record.geometry.rotate, record.geometry.shear, record.geometry.affine)):
        show_warning(
            f"'{Path(path).name}' keeps scale and origin alone: rotation, shear and affine transform of "
            f"'{attributes.get('name', '')}' are not saved."
        )
    write_measurement(path, Measurement(np.moveaxis(data, 0, -3), record.info))
    return [path]
