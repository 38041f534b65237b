"""Opens compressed measurements, so that they can be reconstructed; leaves every other file to others."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_dmu.engine.progress import CancelToken, Progress
from napari_dmu.files.camera_run import is_run
from napari_dmu.files.measurement import is_run_name, read_measurement
from napari_dmu.files.zarr_measurement import is_zarr_measurement
from napari_dmu.viewer.geometry import geometry_from_info
from napari_dmu.viewer.layers import LayerData, measurement_layer
from napari_dmu.viewer.record import RunRecord

_SUFFIXES = (".tif", ".tiff")
_STEMS = (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".ome.zarr", ".zarr", ".yaml", ".yml", ".dmu")
# Our note lies in the OME-XML of the first page, and that within the first or the last bytes of the file.
_NOTE, _KIND = b"napari-dmu", re.compile(rb'(?:"|&quot;)kind(?:"|&quot;): ?(?:"|&quot;)measurement(?:"|&quot;)')
_PROBE = 256 * 1024

Reader = Callable[[Any], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """A reader where every path is a measurement of napari-dmu, else None; looks at the ends of the files only.

    The manifest names files alone: readers of folders cannot be told apart by name, and a second one would make napari
    ask the user at every folder that is dropped. The panel opens OME-Zarr measurements.
    """
    paths = _paths(path)
    return read_layers if paths and all(is_measurement(p) for p in paths) else None


def is_measurement(path: str | os.PathLike[str]) -> bool:
    """Whether a file or an OME-Zarr folder seems to be a compressed measurement of napari-dmu, or a camera run."""
    file = Path(path)
    if file.is_dir():
        return is_zarr_measurement(file)
    if is_run_name(file.name):
        return is_run(file)
    if not file.name.lower().endswith(_SUFFIXES):
        return False
    try:
        with file.open("rb") as stream:
            probe = stream.read(_PROBE)
            stream.seek(0, os.SEEK_END)
            if stream.tell() > _PROBE:
                stream.seek(-_PROBE, os.SEEK_END)
                probe += stream.read(_PROBE)
    except OSError:
        return False
    return probe[:2] in (b"II", b"MM") and _NOTE in probe and _KIND.search(probe) is not None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Measurement layers of files.

    Raises
    ------
    FileError
        A file is damaged or written by a newer version.
    """
    return [read_layer(p) for p in _paths(path)]


def read_layer(path: str | os.PathLike[str]) -> LayerData:
    """The measurement layer of one file or OME-Zarr folder."""
    measurement = read_measurement(path)
    name = Path(path).name
    for stem in _STEMS:
        name = name.removesuffix(stem)
    record = RunRecord(kind="measurement", geometry=geometry_from_info(measurement.info), info=measurement.info)
    data, options, kind = measurement_layer(measurement, record)
    # What is made of it is named after the file; saved under its own name, it keeps it.
    record = record.model_copy(update={"specimen": name.partition(" · ")[0]})
    return data, {**options, "name": name, "metadata": record.as_metadata()}, kind


def opened_from_zarr(layer: Any) -> bool:
    """Whether a layer shows the frames of an OME-Zarr measurement."""
    path = layer.source.path
    return path is not None and is_zarr_measurement(str(path))


def open_measurement(path: str, progress: Progress, cancel: CancelToken) -> LayerData:
    """The measurement layer of one file or folder; to be called in a thread, since a large one takes seconds."""
    progress(0, 1000, "Opening the measurement")
    return read_layer(path)


def _paths(path: str | Sequence[str]) -> list[str]:
    return [os.fspath(path)] if isinstance(path, str | os.PathLike) else [os.fspath(p) for p in path]
