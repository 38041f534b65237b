"""What an export of patterns for a DMD says about itself: ``manifest.json``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_dmu._version import __version__
from napari_dmu.errors import FileError

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
RUN = "run.yaml"
KIND = "napari-dmu dmd export"


class FrameEntry(BaseModel):
    """One 1-bit frame of an export."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    role: Literal["exposure", "all_on", "all_off", "orientation", "dots"]
    exposure: int | None = None
    on_fraction: float
    sha256: str


class PackedEntry(BaseModel):
    """One 24-bit frame: ``planes[k]`` is the 1-bit frame that bit plane ``packed_planes[k]`` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str
    planes: tuple[str, ...]


class Manifest(BaseModel):
    """What an export is; ``manifest.json`` in its folder.

    Attributes
    ----------
    frames
        In the order in which they are to be shown: exposures 0 … T − 1, then the frames for adjustment.
    tile_origin
        (row, column) of the mirror nearest to the top left corner at which a tile begins.
    tile_centre
        (row, column) of the chip's centre mirror, at which a tile begins too.
    mirrors
        (rows, columns) of mirrors that make one pattern pixel.
    dot_spacing
        Pattern pixels from dot to dot in the frame of dots; None where there is no such frame.
    pixel_pitch
        Side of a pattern pixel on the chip (µm), where the chip's pitch is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    kind: Literal["napari-dmu dmd export"] = "napari-dmu dmd export"
    version: str = __version__
    set_name: str
    family: str
    ratio: float
    set_hash: str
    exposures: int
    period: int
    bin: int
    chip: str
    columns: int
    rows: int
    pitch: float | None
    diamond: bool
    chip_source: str
    mirrors_per_pixel: int
    mirrors: tuple[int, int]
    pixel_pitch: float | None
    tile_origin: tuple[int, int]
    tile_centre: tuple[int, int]
    dot_spacing: int | None = None
    order: str = "One camera frame per exposure, in the order of `frames`; white is on."
    frames: tuple[FrameEntry, ...]
    packed: tuple[PackedEntry, ...] = ()
    packed_planes: tuple[str, ...] = ()


def files_of_export(folder: Path) -> frozenset[str]:
    """Names of the files that an export in a folder consists of; none where there is no export that can be read."""
    try:
        manifest = read_manifest(folder)
    except FileError:
        return frozenset()
    return frozenset({MANIFEST, RUN, *(e.file for e in manifest.frames), *(e.file for e in manifest.packed)})


def is_export(folder: Path) -> bool:
    """Whether a folder holds an export of ours."""
    try:
        return KIND in (folder / MANIFEST).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """The manifest of an export.

    Raises
    ------
    FileError
        There is none, or it is damaged or of a newer napari-dmu.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"'{folder}' holds no {MANIFEST}: choose a folder that export-patterns wrote.") from error
    except (ValidationError, UnicodeDecodeError) as error:
        raise FileError(f"'{path}' is damaged or of another version: export the patterns again.") from error
    if manifest.schema_version > SCHEMA_VERSION:
        raise FileError(f"'{path}' was written by a newer napari-dmu: upgrade napari-dmu.")
    return manifest
