"""A recipe: one YAML file that says how a pattern set is trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from napari_dmu.errors import SettingsError
from napari_dmu.files.yaml_file import read_yaml
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.checking import file_error
from napari_dmu.microscope.patterns import patterns_from_text, written_patterns
from napari_dmu.reconstruction.shapes import DecoderShape, ErrorShape
from napari_dmu.segmentation.settings import HeadShape

# Side of the window of structural similarity: no crop may be smaller.
WINDOW = 11


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Source(_Part):
    """Images of a folder below the data root, and their share of the crops.

    ``files`` and ``skip`` hold names or patterns: only these images, all but these. A name with a ``/`` lies in a
    subfolder.
    """

    folder: str
    files: tuple[str, ...] | None = Field(default=None, min_length=1)
    skip: tuple[str, ...] = ()
    masks: bool = True
    weight: float = Field(default=1.0, gt=0)


class NoiseSpread(_Part):
    """How far training strays from the acquisition's own noise and optics; ``share`` of the examples do."""

    photons: tuple[float, float] = (10.0, 10000.0)
    read_noise: tuple[float, float] = (0.0, 6.0)
    share: float = Field(default=0.35, ge=0, le=1, description="examples with another noise, steps with other optics")
    psf: float = Field(default=0.2, ge=0, lt=1, description="largest relative change of the PSFs' σ")
    shift: float = Field(default=0.5, ge=0, description="largest shift of the patterns, specimen pixels")

    @model_validator(mode="after")
    def _check(self) -> NoiseSpread:
        if not 0 < self.photons[0] <= self.photons[1]:  # they are drawn evenly in their logarithm
            raise ValueError(f"the photons {list(self.photons)} must be above 0, the smaller number first")
        if not 0 <= self.read_noise[0] <= self.read_noise[1]:
            raise ValueError(f"the read_noise {list(self.read_noise)} must be 0 or more, the smaller number first")
        return self


class ContentStage(_Part):
    """Stage 1: patterns and decoder for the image."""

    steps: int = Field(default=4000, ge=1)
    batch: int = Field(default=8, ge=1)
    crop: int = Field(default=128, ge=1, description="side in specimen pixels, a multiple of the period")
    learning_rate: float = Field(default=1e-3, gt=0)
    pattern_rate: float = Field(default=0.01, ge=0, description="logits per step; 0 keeps the patterns")
    patterns_until: float = Field(default=0.6, ge=0, le=1, description="fraction of the steps with moving patterns")
    ssim: float = Field(default=0.1, ge=0, description="weight of 1 − SSIM")
    rms: float = Field(default=0.0, ge=0, description="weight of the root mean square error of each crop")
    lifting: float = Field(default=0.3, ge=0, description="weight of the lifted image's L1")
    lifting_crops: int = Field(default=1500, ge=1, description="crops for the closed-form lifting")
    scenes: float = Field(default=0.0, ge=0, lt=1, description="share of crops that are drawn stripes and shapes")
    zoom: float = Field(default=1.0, ge=1, description="three steps of five enlarge or reduce by up to this")
    ema: float = Field(default=0.999, ge=0, lt=1, description="decay of the averaged weights")


class SettleStage(_Part):
    """A round at the end of stage 1: the patterns stay, the decoder is kept sober before what no specimen resembles.

    Crops, noise and losses are those of stage 1; drawn scenes are among them between ``scenes_from`` and
    ``scenes_until``. With many steps at a larger rate a round is also another cycle of the decoder.
    """

    steps: int = Field(default=1000, ge=1)
    learning_rate: float = Field(default=6e-4, gt=0)
    scenes: float = Field(default=0.05, gt=0, lt=1, description="share of crops that are drawn stripes and shapes")
    scenes_from: float = Field(default=0.0, ge=0, lt=1, description="fraction of the steps before the first scenes")
    scenes_until: float = Field(default=0.6, gt=0, le=1, description="fraction of the steps after which none come")
    share: float | None = Field(default=None, ge=0, le=1, description="in place of the noise's share")

    @model_validator(mode="after")
    def _check(self) -> SettleStage:
        if self.scenes_from >= self.scenes_until:
            raise ValueError("scenes_from must be smaller than scenes_until")
        return self


def _as_rounds(value: Any) -> Any:
    """One round may be named without a list around it."""
    if value is None:
        return ()
    return (value,) if isinstance(value, Mapping) else value


Rounds: TypeAlias = Annotated[tuple[SettleStage, ...], BeforeValidator(_as_rounds)]


class HeadStage(_Part):
    """Stage 2: segmentation head, patterns and decoder frozen."""

    steps: int = Field(default=3000, ge=1)
    batch: int = Field(default=8, ge=1)
    crop: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    ema: float = Field(default=0.998, ge=0, lt=1)
    dimmest: float = Field(default=0.15, gt=0, le=1, description="half of the crops are dimmed, down to this factor")
    gamma: float = Field(default=1.6, ge=1, description="half of the crops get another gamma, to this or its inverse")
    zoom: float = Field(default=1.6, ge=1, description="three steps of five enlarge or reduce by up to this")
    empty: float = Field(default=0.06, ge=0, lt=1, description="share of crops that are made-up fields without cells")
    shape: HeadShape = HeadShape()


class TaskStage(_Part):
    """Stage 3: patterns, decoder and head together for the cells; what it ends with competes with stage 2."""

    steps: int = Field(default=2000, ge=1)
    batch: int = Field(default=8, ge=1)
    crop: int = Field(default=128, ge=1, description="side in specimen pixels, a multiple of the period")
    learning_rate: float = Field(default=2e-4, gt=0)
    pattern_rate: float = Field(default=1e-3, ge=0, description="logits per step; 0 keeps the patterns")
    content: float = Field(default=3.0, ge=0, description="weight of the reconstruction loss beside the cells'")
    ema: float = Field(default=0.998, ge=0, lt=1)
    direct: bool = Field(
        default=False, description="in place of stages 1 and 2: from the measurement to cells, no reconstruction loss"
    )


class ErrorStage(_Part):
    """Last stage: error bars on the frozen decoder, in the acquisition's own optics; most examples in another light."""

    steps: int = Field(default=3000, ge=1)
    batch: int = Field(default=8, ge=1)
    crop: int = Field(default=128, ge=1, description="side in specimen pixels, rounded up to whole periods")
    learning_rate: float = Field(default=3e-3, gt=0)
    ema: float = Field(default=0.99, ge=0, lt=1)
    level: float = Field(default=0.9, gt=0, lt=1, description="share of the pixels that an error bar is to cover")
    noise: NoiseSpread = NoiseSpread(share=0.6)
    shape: ErrorShape = ErrorShape()


class Recipe(_Part):
    """Everything that a training needs besides the images."""

    name: str
    family: Literal["plain", "random", "hadamard", "raster", "learned", "custom"] = "learned"
    start: Literal["plain", "random", "hadamard", "raster", "designed"] = Field(
        default="raster", description="patterns that learning starts from; other families keep their own"
    )
    patterns: tuple[str, ...] | None = Field(
        default=None, description="family custom: in the YAML file a path, in the recipe what is in that file, as text"
    )
    acquisition: Acquisition
    seed: int = Field(default=0, ge=0)
    decoder: DecoderShape = DecoderShape()
    noise: NoiseSpread = NoiseSpread()
    content: ContentStage = ContentStage()
    settle: Rounds = ()
    head: HeadStage | None = None
    task: TaskStage | None = None
    error_bars: ErrorStage | None = None
    training: tuple[Source, ...] = Field(min_length=1)
    validation: tuple[Source, ...] = Field(min_length=1)
    watched_images: int = Field(default=8, ge=1, description="validation images an interim check uses per source")
    check_every: int = Field(default=500, ge=1, description="steps between interim checks")
    data_licence: str = ""

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        period = self.acquisition.period
        for entry in ("stride", "lifting_stride"):
            stride = getattr(self.decoder, entry)
            if stride < 1 or period % stride:
                raise ValueError(f"the period ({period}) must be a multiple of the decoder's {entry} ({stride})")
        if self.decoder.lifted < 1:
            raise ValueError(f"the decoder's lifted ({self.decoder.lifted}) must be at least 1")
        _check_levels("decoder", self.decoder)
        if self.head is not None:
            _check_levels("head's shape", self.head.shape)
        if self.error_bars is not None:
            _check_levels("error_bars' shape", self.error_bars.shape)
        for stage in (self.content, self.head, self.task):
            if stage is not None and stage.crop % period:
                raise ValueError(f"the crop ({stage.crop}) must be a multiple of the pattern period ({period})")
        for stage in self._with_similarity():
            if stage.crop < WINDOW:
                raise ValueError(f"the crop ({stage.crop}) must be at least {WINDOW}, or the content's ssim 0")
        if self.task is not None and self.head is None:
            raise ValueError("task needs a head, add the entry head")
        if self.head is not None and not all(source.masks for source in (*self.training, *self.validation)):
            raise ValueError("a segmentation head needs masks in every source")
        folders = [source.folder for source in self.validation]
        if len(set(folders)) < len(folders):
            raise ValueError("a validation folder is named twice, put all its files into one entry")
        return self

    def _with_similarity(self) -> list[ContentStage | TaskStage]:
        """Stages whose loss asks for structural similarity."""
        if self.content.ssim == 0 or (self.task is not None and self.task.direct):
            return []
        return [self.content] if self.task is None or self.task.content == 0 else [self.content, self.task]

    @model_validator(mode="after")
    def _check_patterns(self) -> Recipe:
        if (self.family == "custom") != (self.patterns is not None):
            raise ValueError("the entry patterns, a file or folder, goes with family: custom alone: add or remove one")
        if self.patterns is not None:
            try:
                exposures, period, _ = patterns_from_text(self.patterns).shape
            except (ValueError, IndexError) as error:
                raise ValueError("the patterns cannot be understood: name the file or folder of them") from error
            a = self.acquisition
            if (exposures, period) != (a.exposures, a.period):
                raise ValueError(
                    f"there are {exposures} patterns with a period of {period}, not {a.exposures} patterns with a "
                    f"period of {a.period}: change exposures and period, or the files"
                )
        return self

    @model_serializer(mode="wrap")
    def _leave_out(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without patterns a recipe is written as before there were any, so that older checkpoints fit."""
        content: dict[str, Any] = serialise(self)
        if self.patterns is None:
            content.pop("patterns", None)
        return content


def _check_levels(owner: str, shape: DecoderShape | HeadShape | ErrorShape) -> None:
    """Widths and blocks of a U shape: one of each a level."""
    if not shape.widths or len(shape.widths) != len(shape.blocks):
        raise ValueError(
            f"the {owner} has {len(shape.widths)} widths and {len(shape.blocks)} blocks, give one of each a level"
        )
    if min(shape.widths) < 1 or min(shape.blocks) < 0:
        raise ValueError(f"the {owner} must have widths of at least 1 and blocks of at least 0")


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe; entries of the file it names under ``include`` hold where it has none of its own.

    Raises
    ------
    FileError
        Where the file is missing or no YAML.
    SettingsError
        Where an entry is unknown or out of range; the sentence names the first one.
    """
    content = _with_files(read_yaml(path), path.parent)
    if isinstance(content, dict) and (shared := content.pop("include", None)) is not None:
        if not isinstance(shared, str):
            raise SettingsError(f"'{path.name}' cannot be used because of include: name one YAML file beside it.")
        common = _with_files(read_yaml(path.parent / shared), (path.parent / shared).parent)
        if not isinstance(common, dict):
            raise SettingsError(f"{shared}, which {path.name} includes, holds no entries: see the files in recipes/.")
        content = {**common, **content}
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise file_error(error, path.name, Recipe) from error


def _with_files(content: Any, folder: Path) -> Any:
    """The content of a recipe with what is in the files that it names besides the images."""
    from napari_dmu.files.kernel import with_kernels
    from napari_dmu.files.patterns import read_patterns

    if not isinstance(content, dict):
        return content
    read: dict[str, Any] = {}
    if isinstance(acquisition := content.get("acquisition"), dict):
        read["acquisition"] = with_kernels(acquisition, folder)
    if isinstance(patterns := content.get("patterns"), str):
        read["patterns"] = written_patterns(read_patterns(folder / patterns))
    return {**content, **read}


def read_order(path: Path) -> tuple[str, ...]:
    """Names of recipes in the order of importance: the list ``order`` of a YAML file.

    Raises
    ------
    FileError
        Where the file cannot be read.
    SettingsError
        Where it holds no such list, or a name twice.
    """
    content = read_yaml(path)
    order = content.get("order") if isinstance(content, dict) else None
    if not isinstance(order, list) or not all(isinstance(name, str) for name in order) or len(set(order)) < len(order):
        raise SettingsError(
            f"'{path.name}' cannot be used because of order: list the recipes' names there, each of them once."
        )
    return tuple(order)
