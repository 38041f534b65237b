"""The compressed measurement: the frames and everything that is needed to invert them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_dmu.errors import SpecimenError
from napari_dmu.microscope.acquisition import Acquisition

# A numpy array, or anything that slices and converts like one (dask, zarr, xarray).
ArrayLike: TypeAlias = Any

SCHEMA_VERSION = 1
LOW_PERCENTILE, HIGH_PERCENTILE = 0.1, 99.9
NOTICEABLE_SATURATION = 0.001
# Steps of single precision that a specimen's contrast must have.
LEAST_LEVELS = 128


class MeasurementInfo(BaseModel):
    """What one needs to know to reconstruct a measurement; travels with it as JSON.

    Attributes
    ----------
    acquisition
        Geometry, light and detector as used.
    set_name, family, ratio, set_hash
        The pattern set; ``set_hash`` is the sha256 of its tensors.
    field
        (Y, X) of the specimen in pixels.
    intensity_range
        Specimen values that were mapped to 0 and 1, in the specimen's own intensity units.
    seed
        Seed of the noise; plane i has noise of (seed, i).
    axes, scale, translate, units
        Of the specimen, one entry an axis; the last two are ``"y"``, ``"x"``.
    dtype
        Of the specimen.
    saturated
        Fraction of the samples at full scale.
    camera
        Whether the frames are those of a real camera, and not simulated.
    remarks
        Sentences on what struck the reader of a camera's frames.
    version
        Of napari-dmu.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    acquisition: Acquisition
    set_name: str
    family: str
    ratio: float
    set_hash: str
    field: tuple[int, int]
    intensity_range: tuple[float, float] = (0.0, 1.0)
    seed: int = Field(default=0, ge=0)
    axes: tuple[str, ...] = ("y", "x")
    scale: tuple[float, ...] = (1.0, 1.0)
    translate: tuple[float, ...] = (0.0, 0.0)
    units: tuple[str, ...] = ("pixel", "pixel")
    dtype: str = "float32"
    saturated: float = 0.0
    camera: bool = False
    remarks: tuple[str, ...] = ()
    version: str = ""

    @property
    def saturation_note(self) -> str:
        """What to tell the user where more than 0.1 % of the samples are at full scale; else empty."""
        if self.saturated <= NOTICEABLE_SATURATION:
            return ""
        percent = float(f"{100 * self.saturated:.2g}")  # two digits, and 100 of them is not 1e+02
        remedy = "a shorter exposure" if self.camera else "fewer photons"
        return f"{percent:g}\u202f% of the samples are saturated: {remedy} may help."

    @property
    def notes(self) -> tuple[str, ...]:
        """All that the user should be told of it."""
        return (*self.remarks, self.saturation_note) if self.saturation_note else self.remarks


@dataclass(frozen=True)
class Measurement:
    """T compressed frames of every plane.

    Attributes
    ----------
    data
        (..., T, ⌈Y/d⌉, ⌈X/d⌉) counts, uint16 or uint32, numpy or dask.
    info
        Acquisition, pattern set, intensity range, axes, scale, units, seed.
    """

    data: ArrayLike
    info: MeasurementInfo

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the data's axes: those of the specimen with ``"pattern"`` before ``"y"``."""
        return (*self.info.axes[:-2], "pattern", *self.info.axes[-2:])

    @property
    def planes(self) -> int:
        """Number of specimen planes."""
        return int(np.prod(self.data.shape[:-3], dtype=np.int64))

    @property
    def scale(self) -> tuple[float, ...]:
        """World size of one step on each of the data's axes; a detector pixel is d specimen pixels wide."""
        d, scale = self.info.acquisition.bin, self.info.scale
        return (*scale[:-2], 1.0, scale[-2] * d, scale[-1] * d)

    @property
    def translate(self) -> tuple[float, ...]:
        """World position of the first sample: its centre lies (d − 1)/2 specimen pixels into the field."""
        shift, scale, origin = (self.info.acquisition.bin - 1) / 2, self.info.scale, self.info.translate
        return (*origin[:-2], 0.0, origin[-2] + shift * scale[-2], origin[-1] + shift * scale[-1])

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the data's axes."""
        return (*self.info.units[:-2], "pixel", *self.info.units[-2:])

    def with_data(self, data: ArrayLike) -> Measurement:
        """The same measurement around other data of the same layout (a plane, a lazy copy)."""
        return replace(self, data=data)


def check_specimen(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse what cannot be a specimen by its shape and type alone; values are checked plane by plane."""
    if len(shape) < 2:
        raise SpecimenError(f"A specimen needs two axes (Y, X) at least, this one has {len(shape)}: give an image.")
    if 0 in shape:
        raise SpecimenError(f"The specimen is empty (shape {tuple(shape)}): give an image with pixels in it.")
    if dtype.kind not in "uifb":
        raise SpecimenError(f"The specimen holds {dtype} values: convert it to integer or floating point first.")


def check_plane(plane: NDArray[np.generic], index: int = 0) -> NDArray[np.float32]:
    """One specimen plane as float32, (Y, X), or an error where a value is NaN or infinite."""
    values = np.asarray(plane)
    with np.errstate(over="ignore"):
        as_float = values.astype(np.float32)
    bad = int(as_float.size - np.count_nonzero(np.isfinite(as_float)))
    if bad:
        raise SpecimenError(
            f"Plane {index} of the specimen has {bad} pixels that are NaN or infinite: "
            "replace them (for example by the background level) first."
        )
    return as_float


def check_precision(low: Any, high: Any, dtype: np.dtype[Any]) -> None:
    """Refuse a specimen of values ``low`` … ``high`` whose differences single precision would round away."""
    if dtype.kind == "b" or dtype.itemsize < 4 or (dtype.kind == "f" and dtype.itemsize == 4):
        return
    spread = float(int(high) - int(low)) if dtype.kind in "ui" else float(high) - float(low)
    largest = max(abs(float(low)), abs(float(high)))
    rounding = 1e-12 * largest if dtype.kind == "f" else 0.0  # so far apart are equal values that were calculated
    if rounding < spread < LEAST_LEVELS * float(np.spacing(np.float32(largest))):
        raise SpecimenError(
            f"The specimen's values lie between {low} and {high}, too close together for single precision: subtract "
            "their common offset, or scale them, first."
        )


def intensity_range(sample: NDArray[np.floating], *, top: float | None = None) -> tuple[float, float]:
    """Values that count as 0 and 1: the 0.1 and 99.9 percentiles of the pixels given.

    Where the two coincide (a few bright spots on black) the maximum counts as 1, that of all pixels (``top``) where
    those given are a selection; a constant image has no contrast, its range is (value, value + 1), so that it images
    as dark.
    """
    low, high = (float(v) for v in np.percentile(sample, (LOW_PERCENTILE, HIGH_PERCENTILE)))
    if high > low:
        return low, high
    top = float(sample.max()) if top is None else float(np.float32(top))
    # nextafter: at 1e20 adding 1 changes nothing, and the range must not be zero.
    return low, top if top > low else max(low + 1.0, math.nextafter(low, math.inf))


def normalise(plane: NDArray[np.floating], limits: tuple[float, float]) -> NDArray[np.float32]:
    """Map ``limits`` to 0 … 1 and clip there: specimen units → fluorescence density."""
    low, high = limits
    scaled = (np.asarray(plane, dtype=np.float64) - low) / (high - low)
    return np.clip(scaled, 0.0, 1.0).astype(np.float32)
