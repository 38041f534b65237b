"""Plates of a screening microscope as OME-Zarr (NGFF "plate" and "well" metadata, 0.4 and 0.5): which fields there are.

Source: https://ngff.openmicroscopy.org/0.5/#hcs-layout
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_dmu.errors import FileError


def plate_fields(path: Path) -> dict[str, Path] | None:
    """The fields of a plate in its own order; None where the Zarr folder is no plate.

    Parameters
    ----------
    path
        Zarr folder.

    Returns
    -------
    dict
        From ``A1`` (or, where wells have several fields, ``A1_0``) to the folder of the field's image.

    Raises
    ------
    FileError
        The plate is damaged, or has no field.
    """
    plate = _entry(path, "plate")
    if plate is None:
        return None
    try:
        wells = {str(well["path"]): _images(path / str(well["path"])) for well in plate["wells"]}
    except (KeyError, TypeError) as error:
        raise FileError(f"The list of wells in '{path.name}' is damaged: get a fresh copy of the plate.") from error
    several = any(len(images) > 1 for images in wells.values())
    fields = {
        well.replace("/", "") + (f"_{image}" if several else ""): path / well / image
        for well, images in wells.items()
        for image in images
    }
    if not fields:
        raise FileError(f"The plate '{path.name}' has no field: choose another one.")
    return fields


def _images(well: Path) -> list[str]:
    entry = _entry(well, "well")
    if entry is None:
        raise FileError(f"The well '{well.parent.name}/{well.name}' is missing: get a fresh copy of the plate.")
    return [str(image["path"]) for image in entry["images"]]


def _entry(path: Path, name: str) -> Any:
    """An entry of a group's NGFF attributes; None where there is none, or no group."""
    import zarr

    try:
        attributes = dict(zarr.open_group(path, mode="r").attrs)
    except Exception:  # zarr has many kinds; what is no group is no plate, and says so where it is read
        return None
    ome: Any = attributes.get("ome", attributes)
    return ome.get(name) if isinstance(ome, dict) else None
