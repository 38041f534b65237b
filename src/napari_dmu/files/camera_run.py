"""The YAML file that says how the frames of a camera were taken, and where it is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from napari_dmu.errors import FileError
from napari_dmu.files.yaml_file import read_yaml
from napari_dmu.microscope.acquisition import Registration
from napari_dmu.microscope.checking import Ratio, file_error

SCHEMA_VERSION = 1
# Bits in which a camera stores counts that have fewer.
CONTAINER = 16
_PROBE = 64 * 1024

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class Roi(BaseModel):
    """Part of the camera frame that is used, in camera pixels of the frame as it is stored."""

    model_config = _FROZEN

    y: int = Field(default=0, ge=0)
    x: int = Field(default=0, ge=0)
    height: int = Field(ge=1)
    width: int = Field(ge=1)


class Orientation(BaseModel):
    """How the part is turned until it lies like the patterns: first the flip, then quarter turns anticlockwise."""

    model_config = _FROZEN

    flip: Literal["none", "vertical", "horizontal", "both"] = "none"
    rotate90: int = Field(default=0, ge=0, le=3)


class Planes(BaseModel):
    """More than one plane: a time series or a z stack.

    Attributes
    ----------
    axis
        ``"t"`` or ``"z"``.
    step
        Seconds between two planes of a time series, µm between two of a z stack.
    order
        ``"plane"``: all exposures of the first plane, then all of the second; ``"exposure"``: the first exposure of
        all planes, then the second of all.
    """

    model_config = _FROZEN

    axis: Literal["t", "z"] = "t"
    step: float | None = Field(default=None, gt=0)
    order: Literal["plane", "exposure"] = "plane"


class CameraRun(BaseModel):
    """The YAML file of a camera run. What concerns the camera is per camera pixel, as in its data sheet.

    Attributes
    ----------
    frames
        A TIFF stack, a pattern such as ``frames/*.tif`` (natural order of the names), or a list of either, in the
        order of exposure. Paths are relative to the YAML file.
    set, ratio, family
        Pattern set that was on the DMD.
    set_hash
        Of the set, as in the manifest of ``export-patterns``; checked where given.
    gain, offset, bits
        Electrons per count, counts, bit depth.
    left_aligned
        Whether the camera stores its ``bits`` in the upper ones of 16, as multiples of `step`.
    dark_frame
        TIFF taken without light (a stack is averaged): replaces the offset.
    flat_field
        TIFF of an even fluorescent slide (a stack is averaged): differences between pixels are divided out.
    photons
        Peak photons k: those that reach the camera, before its quantum efficiency, from one specimen pixel of density
        1, fully lit, in one exposure. ``"auto"`` takes the brightest 0.1 % of the bins as evenly filled with density
        1, which is too low where no bin is.
    all_on
        TIFF of the same field with all mirrors on and the same exposure (a stack is averaged): with photons
        ``"auto"``, its brightest 0.1 % of the camera pixels are taken instead.
    background
        Photons per camera pixel per exposure, beyond the dark frame.
    read_noise, quantum_efficiency, excess_noise, dark_current, exposure_time
        Electrons; 0 … 1; F²; electrons per second; seconds.
    roi, orientation, camera_bin
        Part of the frame, its orientation, and how many camera pixels (along one side) make a detector pixel: their
        counts are added. The part must begin where a period of the patterns begins.
    registration
        Where the patterns lie on the specimen against where they should; in specimen pixels, see `Registration`.
    align
        ``"record"`` keeps the registration in the measurement; ``"resample"`` moves the frames onto the patterns by
        linear interpolation before they are added up, which needs a ``camera_bin`` of 2 or more.
    pixel_size
        Of the specimen pixel (µm), that is of a pattern pixel at the specimen.
    planes
        Of a time series or z stack.
    """

    model_config = _FROZEN

    schema_version: int = Field(default=SCHEMA_VERSION, ge=1, le=SCHEMA_VERSION)
    frames: tuple[str, ...]
    set: str
    ratio: Ratio = Field(gt=0)
    family: str = "learned"
    set_hash: str | None = None
    gain: float = Field(gt=0)
    offset: float = Field(ge=0)
    bits: int = Field(default=16, ge=1, le=32)
    left_aligned: bool = False
    dark_frame: str | None = None
    flat_field: str | None = None
    photons: float | None = Field(gt=0)
    all_on: str | None = None
    background: float = Field(default=0.0, ge=0)
    read_noise: float = Field(ge=0)
    quantum_efficiency: float = Field(default=1.0, gt=0, le=1)
    excess_noise: float = Field(default=1.0, ge=1)
    dark_current: float = Field(default=0.0, ge=0)
    exposure_time: float = Field(default=0.1, gt=0)
    roi: Roi | None = None
    orientation: Orientation = Orientation()
    camera_bin: int = Field(default=1, ge=1, le=256)
    registration: Registration = Registration()
    align: Literal["record", "resample"] = "record"
    pixel_size: float | None = Field(default=None, gt=0)
    planes: Planes | None = None

    @property
    def step(self) -> int:
        """What the numbers in the files are divided by to be the camera's counts."""
        return 2 ** max(0, CONTAINER - self.bits) if self.left_aligned else 1

    @field_validator("frames", mode="before")
    @classmethod
    def _list(cls, value: object) -> object:
        given = [value] if isinstance(value, str) else value
        if not isinstance(given, list | tuple) or not given or not all(isinstance(one, str) and one for one in given):
            raise ValueError("the frames are no file names: give a TIFF, a pattern such as frames/*.tif, or a list")
        return tuple(given)

    @field_validator("photons", mode="before")
    @classmethod
    def _auto(cls, value: object) -> object:
        if value == "auto":
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("the photons are no number: give the peak photons of a specimen pixel, or auto")
        return value

    @model_validator(mode="after")
    def _photons_once(self) -> CameraRun:
        if self.all_on is not None and self.photons is not None:
            raise ValueError("the all_on frame gives the photons: write 'photons: auto', or leave all_on out")
        return self


def is_run(path: str | os.PathLike[str]) -> bool:
    """Whether a file seems to be that of a camera run, though something in it may be wrong."""
    import yaml

    try:
        with Path(path).open(encoding="utf-8") as stream:
            raw = yaml.safe_load(stream.read(_PROBE))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(raw, dict) and {"frames", "set", "ratio"} <= raw.keys()


def read_run(path: str | os.PathLike[str]) -> CameraRun:
    """Read and check the YAML file of a camera run.

    Raises
    ------
    FileError
        The file is missing or no YAML.
    SettingsError
        A setting is missing, unknown or not possible.
    """
    where = Path(path)
    raw = read_yaml(where)
    if not isinstance(raw, dict):
        raise FileError(f"'{where.name}' holds no settings: write one 'name: value' a line.")
    try:
        return CameraRun.model_validate(raw)
    except ValidationError as error:
        raise file_error(error, where.name, CameraRun) from error
