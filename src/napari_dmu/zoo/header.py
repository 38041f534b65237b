"""Header of a pattern set file: what can be known about a set without loading torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_dmu.errors import PatternSetError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.reconstruction.shapes import DecoderShape, ErrorShape
from napari_dmu.segmentation.settings import HeadShape, InstanceSettings

# 3: may stand for further families. 2: convolutions in 8 bits (zoo/weights.py). 1: all weights as float16. Older ones
# are read.
SCHEMA_VERSION = 3
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


class Typical(BaseModel):
    """What the decoder's features look like for specimens like the training images; see ``evaluation.typicality``.

    A noise level is that of ``reconstruction.refinement.noise_level``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    whitening: list[list[float]] = Field(description="(components, channels): mean features to components")
    usual: list[list[float]] = Field(description="(components, 3): their mean; times 1, noise level, its square")
    known: list[list[float]] = Field(description="(crops, components): crops of training images, less the mean")
    limits: tuple[tuple[float, float], ...] = Field(
        default=(), description="noise level, distance to the nearest crop up to which a measurement is usual"
    )


class Trust(BaseModel):
    """What tells a reconstruction to be relied on from one that is not; measured on validation images, exact noise.

    Densities are fluorescence densities, 0 … 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: float = Field(default=0.9, gt=0, lt=1, description="share of the pixels that an error bar is to cover")
    factor: float = Field(gt=0, description="conformal factor on the error head's scale")
    coverage: dict[str, float] = Field(
        description="share covered by validation source, each half measured with the factor of the other half"
    )
    tolerance: float = Field(ge=0, description="misfit of the signal beyond noise, over the signal's root mean square")
    chi_square: dict[str, float] = Field(description="mean reduced chi-square by source, noise alone in the divisor")
    chi_square_limit: float = Field(gt=0, description="misfit (tolerance counted in) up to which an image is usual")
    chi_square_limits: tuple[tuple[float, float], ...] = Field(
        default=(), description="noise level, the same limit there; empty in older sets, which know one for every light"
    )
    spread_limit: float = Field(gt=0, description="mean error bar over mean density up to which an image is usual")
    spread_limits: tuple[tuple[float, float], ...] = Field(default=(), description="noise level, the same limit there")
    typical: Typical | None = Field(default=None, repr=False, description="None in older sets")


class SetHeader(BaseModel):
    """Everything about a pattern set but its tensors; one JSON entry of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    name: str
    family: str
    also: tuple[str, ...] = Field(default=(), description="families of which no better set was found")
    acquisition: Acquisition
    decoder: DecoderShape
    head: HeadShape | None = None
    instances: InstanceSettings = InstanceSettings()
    dose_mean: float
    dose_max: float
    scores: dict[str, Scores] = {}
    error: ErrorShape | None = None
    trust: Trust | None = None
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
