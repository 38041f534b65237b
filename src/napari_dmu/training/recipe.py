"""A recipe: one YAML file that says how a pattern set is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_dmu.errors import FileError, SettingsError
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.reconstruction.shapes import DecoderShape
from napari_dmu.segmentation.settings import HeadShape


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Part):
    """A folder of images below the data root, and its share of the crops."""

    folder: str
    masks: bool = True
    weight: float = Field(default=1.0, gt=0)


class NoiseSpread(_Part):
    """Range of noise seen in training; half of the examples have the acquisition's own values."""

    photons: tuple[float, float] = (100.0, 10000.0)
    read_noise: tuple[float, float] = (0.0, 6.0)


class ContentStage(_Part):
    """Stage 1: patterns and decoder for the image."""

    steps: int = Field(default=4000, ge=1)
    batch: int = Field(default=8, ge=1)
    crop: int = Field(default=128, ge=1, description="side in specimen pixels, a multiple of the period")
    learning_rate: float = Field(default=1e-3, gt=0)
    pattern_rate: float = Field(default=0.01, ge=0, description="logits per step; 0 keeps the patterns")
    patterns_until: float = Field(default=0.6, ge=0, le=1, description="fraction of the steps with moving patterns")
    ssim: float = Field(default=0.1, ge=0, description="weight of 1 − SSIM")
    lifting: float = Field(default=0.3, ge=0, description="weight of the lifted image's L1")
    lifting_crops: int = Field(default=1500, ge=1, description="crops for the closed-form lifting")
    ema: float = Field(default=0.999, ge=0, lt=1, description="decay of the averaged weights")


class HeadStage(_Part):
    """Stage 2: segmentation head, patterns and decoder frozen."""

    steps: int = Field(default=2500, ge=1)
    batch: int = Field(default=8, ge=1)
    crop: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    ema: float = Field(default=0.998, ge=0, lt=1)
    dimmest: float = Field(default=0.1, gt=0, le=1, description="half of the crops are dimmed, down to this factor")
    shape: HeadShape = HeadShape()


class Recipe(_Part):
    """Everything that a training needs besides the images."""

    name: str
    family: Literal["plain", "random", "hadamard", "raster", "learned"] = "learned"
    start: Literal["plain", "random", "hadamard", "raster"] = Field(
        default="raster", description="patterns that learning starts from; other families keep their own"
    )
    acquisition: Acquisition
    seed: int = Field(default=0, ge=0)
    decoder: DecoderShape = DecoderShape()
    noise: NoiseSpread = NoiseSpread()
    content: ContentStage = ContentStage()
    head: HeadStage | None = None
    training: tuple[Source, ...]
    validation: tuple[Source, ...]
    watched_images: int = Field(default=8, ge=1, description="validation images an interim check uses per source")
    check_every: int = Field(default=500, ge=1, description="steps between interim checks")
    data_licence: str = ""

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        period, stride = self.acquisition.period, self.decoder.stride
        if period % stride:
            raise ValueError(f"the period ({period}) must be a multiple of the decoder's stride ({stride})")
        for stage in (self.content, self.head):
            if stage is not None and stage.crop % period:
                raise ValueError(f"the crop ({stage.crop}) must be a multiple of the pattern period ({period})")
        if self.head is not None and not all(source.masks for source in (*self.training, *self.validation)):
            raise ValueError("a segmentation head needs masks in every source")
        return self


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    FileError
        Where the file is missing or no YAML.
    SettingsError
        Where an entry is unknown or out of range; the sentence names the first one.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"The recipe {path} cannot be read: check the name.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FileError(f"The recipe {path.name} is not valid YAML: see the files in recipes/.") from error
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise SettingsError(f"The recipe {path.name} is not valid at {place}: {first['msg']}.") from error
