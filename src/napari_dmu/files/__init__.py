"""Reading and writing image files: specimens, measurements, and nothing half-written."""

from napari_dmu.files.atomic import atomic_path
from napari_dmu.files.measurement import read_measurement, write_measurement
from napari_dmu.files.specimen import Specimen, read_specimen, write_image

__all__ = [
    "Specimen",
    "atomic_path",
    "read_measurement",
    "read_specimen",
    "write_image",
    "write_measurement",
]
