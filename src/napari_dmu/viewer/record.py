"""The run record: what is written into a layer's metadata, so that it can be understood and used later."""

import platform
import uuid
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_dmu._version import __version__
from napari_dmu.microscope.measurement import MeasurementInfo

KEY = "napari_dmu"
SCHEMA_VERSION = 1
Kind = Literal[
    "measurement", "reconstruction", "labels", "matched", "missed", "invented", "error_bar", "imagined",
    "live_image", "live_labels",
]  # fmt: skip
Matrix = tuple[tuple[float, ...], ...]


class Geometry(BaseModel):
    """Where a layer lies in the world; one entry an axis of its data.

    Attributes
    ----------
    axis_labels, scale, translate, units
        As napari names them.
    rotate, shear, affine
        Matrices as napari keeps them, None where they change nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    axis_labels: tuple[str, ...]
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[str, ...]
    rotate: Matrix | None = None
    shear: Matrix | None = None
    affine: Matrix | None = None

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.scale)


class Look(BaseModel):
    """How the specimen is shown, so that what comes of it can be shown alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contrast_limits: tuple[float, float] | None = None
    colormap: str = "gray"
    gamma: float = 1.0


class RunRecord(BaseModel):
    """How a layer came to be.

    Attributes
    ----------
    kind
        What the layer holds.
    run
        Names one measurement; what is made of it carries the same.
    specimen, specimen_id
        Name and napari's identity of the layer that was measured; empty where it came from a file.
    geometry, look
        Of the specimen.
    fingerprint
        Of the specimen's values; empty where they are not known.
    info
        Acquisition, pattern set with its hash, noise seed, intensity range.
    settings
        Further settings of this step, such as the reconstruction method.
    versions, device, seconds
        What computed it, where, and how long it took.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    kind: Kind
    run: str = Field(default_factory=lambda: uuid.uuid4().hex)
    specimen: str = ""
    specimen_id: str = ""
    geometry: Geometry
    look: Look = Look()
    fingerprint: str = ""
    info: MeasurementInfo
    settings: dict[str, Any] = {}
    versions: dict[str, str] = Field(default_factory=lambda: versions())
    device: str = ""
    seconds: float = 0.0

    @property
    def instrument(self) -> str:
        """How the pattern set is called in names of layers, e.g. ``"×64 nuclei"``."""
        family = "" if self.info.family == "learned" else f" {self.info.family}"
        return f"×{self.info.ratio:g} {self.info.set_name}{family}"

    def with_settings(self, **settings: Any) -> "RunRecord":
        """The same run with further settings."""
        return self.model_copy(update={"settings": {**self.settings, **settings}})

    def as_metadata(self) -> dict[str, Any]:
        """For ``layer.metadata``: plain values only, so that any writer can store them."""
        return {KEY: self.model_dump(mode="json")}


def read_record(layer_metadata: Any) -> RunRecord | None:
    """The run record out of a layer's metadata; None where there is none that this version understands."""
    try:
        raw = layer_metadata[KEY]
        if int(raw["schema_version"]) > SCHEMA_VERSION:
            return None
        return RunRecord.model_validate(raw)
    except (KeyError, TypeError, ValueError, ValidationError):
        return None


def versions(packages: Sequence[str] = ("torch", "numpy", "napari")) -> dict[str, str]:
    """Versions of what computed a result, without importing it."""
    found = {"napari-dmu": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
