"""Measurements as OME-TIFF or OME-Zarr: a normal stack for other programs, and enough to reconstruct for this one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from napari_dmu.errors import FileError
from napari_dmu.files.ome import SCHEMA_VERSION as NOTE_VERSION
from napari_dmu.files.ome import write_stack
from napari_dmu.files.specimen import read_with_note
from napari_dmu.files.zarr_measurement import is_zarr_name, write_zarr
from napari_dmu.microscope.measurement import SCHEMA_VERSION, Measurement, MeasurementInfo


def write_measurement(path: str | os.PathLike[str], m: Measurement) -> None:
    """Write a measurement; whole or not at all, dask data plane by plane.

    Parameters
    ----------
    path
        Ends with ``.ome.tif``, ``.ome.tiff``, ``.tif`` or ``.tiff``, or with ``.ome.zarr`` or ``.zarr``.
    m
        (..., T, y, x) counts and what is needed to invert them. In the OME metadata the exposures are channels and the
        pixel size is that of the detector pixel at the specimen.

    Raises
    ------
    FileError
        The data do not fit their description, or the file cannot be written.
    """
    name, info = Path(path).name, m.info
    if len(m.data.shape) != len(m.axes) or np.dtype(m.data.dtype).kind not in "ui":
        raise FileError(f"'{name}' cannot be written: a measurement holds whole counts along {', '.join(m.axes)}.")
    if m.data.shape[-3] != info.acquisition.exposures:
        raise FileError(f"'{name}' cannot be written: {info.acquisition.exposures} exposures were announced.")
    write = write_zarr if is_zarr_name(path) else write_stack
    write(
        path,
        m.data,
        axes=m.axes,
        scale=m.scale,
        units=m.units,
        translate=m.translate,
        kind="measurement",
        extra={"measurement": info.model_dump(mode="json"), "dtype": np.dtype(m.data.dtype).name},
    )


def is_run_name(name: str) -> bool:
    """Whether a file is named like that of a camera run."""
    return name.lower().endswith((".yaml", ".yml"))


def files_of_measurement(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The files that `read_measurement` reads: the one given and, of a camera run, those that it names.

    Raises
    ------
    FileError, SettingsError
        The YAML file of a camera run cannot be understood, or no frames fit a pattern in it.
    """
    where = Path(path)
    if not is_run_name(where.name):
        return (where,)
    from napari_dmu.files.camera_run import read_run
    from napari_dmu.files.frame_stack import frame_files

    run = read_run(where)
    others = [where.parent / name for name in (run.dark_frame, run.flat_field, run.all_on) if name is not None]
    return (where, *frame_files(where.parent, run.frames), *others)


def read_measurement(path: str | os.PathLike[str]) -> Measurement:
    """Read a measurement that `write_measurement` wrote, or the frames of a camera.

    Parameters
    ----------
    path
        An OME-TIFF or OME-Zarr, which alone is enough to reconstruct, or the YAML file of a camera run; see
        `napari_dmu.files.camera.read_camera`.

    Returns
    -------
    Measurement
        Its data are a dask array above 64 MB and of an OME-Zarr.

    Raises
    ------
    FileError
        The file is missing, damaged, no measurement, or of a newer napari-dmu.
    """
    name = Path(path).name
    if is_run_name(name):
        from napari_dmu.files.camera import read_camera

        return read_camera(path)
    stack, note = read_with_note(path, colours="luminance")
    if note is None or not isinstance(note.get("measurement"), dict):
        raise FileError(
            f"'{name}' is no napari-dmu measurement: measure an image first and save that, or open the YAML file "
            "of a camera run."
        )
    raw = note["measurement"]
    for version, known in ((note.get("schema_version"), NOTE_VERSION), (raw.get("schema_version"), SCHEMA_VERSION)):
        if not isinstance(version, int):
            raise FileError(f"'{name}' is a damaged measurement (it has no schema version): measure again.")
        if version > known:
            raise FileError(
                f"'{name}' was written by a newer napari-dmu (schema {version}, this one knows {known}): "
                "upgrade napari-dmu."
            )
    try:
        info = MeasurementInfo.model_validate(raw)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) or "its settings"
        raise FileError(f"'{name}' is a damaged measurement ({where} cannot be understood): measure again.") from error
    measurement = Measurement(stack.data, info)
    d = info.acquisition.bin
    frame = tuple(-(-side // d) for side in info.field)
    if stack.axes != measurement.axes or tuple(stack.data.shape[-3:]) != (info.acquisition.exposures, *frame):
        raise FileError(f"'{name}' was changed after it was measured (its shape does not fit): measure again.")
    if np.dtype(stack.data.dtype).kind not in "ui":
        raise FileError(f"'{name}' was changed after it was measured (its counts are no integers): measure again.")
    stored = note.get("dtype")
    if stored in ("uint64", "int64"):  # held in 32 bits on disk
        measurement = measurement.with_data(stack.data.astype(stored))
    return measurement
