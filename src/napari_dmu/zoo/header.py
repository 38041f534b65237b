"""Header of a pattern set file: what can be known about a set without loading torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_dmu.errors import PatternSetError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.reconstruction.shapes import DecoderShape
from napari_dmu.segmentation.settings import HeadShape, InstanceSettings

SCHEMA_VERSION = 1
SUFFIX = ".dmu.safetensors"
# A header beyond this is no pattern set; it guards against reading a damaged length.
_MAX_HEADER_BYTES = 16 * 1024 * 1024


class Scores(BaseModel):
    """Figures on one validation set, mean over images, exact noise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    psnr: float = Field(description="dB, data range 1")
    ssim: float
    mse: float
    lifted_psnr: float = Field(description="dB, the linear estimate alone")
    ap50: float | None = Field(default=None, description="matched / (matched + missed + invented) at IoU 0.5")
    f1: float | None = Field(default=None, description="instance F1 at IoU 0.5")


class Provenance(BaseModel):
    """How a set came to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: dict[str, Any]
    data_fingerprint: str
    data_licence: str
    seed: int
    device: str
    versions: dict[str, str]
    minutes: float
    steps: int
    chosen: str = Field(description="checkpoint that won on validation")
    curve: list[tuple[int, float]] = Field(description="step, validation PSNR in dB")


class SetHeader(BaseModel):
    """Everything about a pattern set but its tensors; one JSON entry of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str
    family: str
    acquisition: Acquisition
    decoder: DecoderShape
    head: HeadShape | None = None
    instances: InstanceSettings = InstanceSettings()
    dose_mean: float
    dose_max: float
    scores: dict[str, Scores] = {}
    provenance: Provenance
    tensors_sha256: str = ""


def read_header(path: Path) -> SetHeader:
    """Header of a pattern set file, without torch.

    Raises
    ------
    PatternSetError
        Where the file is missing, no pattern set, or written by a newer version.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _MAX_HEADER_BYTES:
                raise ValueError("header too long")
            entry = json.loads(file.read(length))["__metadata__"]["napari_dmu"]
        content = json.loads(entry)
        version = int(content["schema_version"])
    except FileNotFoundError as error:
        raise PatternSetError(f"There is no pattern set file {path}: check the name.") from error
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise PatternSetError(f"{path.name} is not a pattern set, or it is damaged: get the file again.") from error
    if version > SCHEMA_VERSION:
        raise PatternSetError(
            f"{path.name} was written by a newer napari-dmu (schema {version}, this one reads up to "
            f"{SCHEMA_VERSION}): update napari-dmu."
        )
    try:
        return SetHeader.model_validate(content)
    except ValidationError as error:
        raise PatternSetError(f"The header of {path.name} is not valid: get the file again.") from error
