"""What a run over a folder of images is to do: its settings, and the images one by one. See ``engine.batch``."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
)

from napari_dmu.errors import FileError, SettingsError
from napari_dmu.files.zarr_measurement import is_zarr
from napari_dmu.microscope.checking import Ratio, file_error

# What is taken from a folder; any other image is taken where it is named itself.
ENDINGS = (".tif", ".tiff", ".zarr")
# What may be a mask: notes and tables beside them are none.
MASK_ENDINGS = (*ENDINGS, ".png", ".jpg", ".jpeg")
MEASUREMENT, RECONSTRUCTION, LABELS = ".dmu.ome.tif", ".reconstruction.ome.tif", ".labels.ome.tif"
Result = Literal["measurement", "reconstruction", "labels", "table"]


class RunSettings(BaseModel):
    """What a run does: which images, under which microscope, and what is kept. One YAML file.

    Paths are relative to the folder that the file lies in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: tuple[str, ...] = Field(min_length=1, description="folders, files, or patterns such as plate1/*.tif")
    output: str = Field(min_length=1, description="folder for the results; made where it is missing")
    truth: str | None = Field(default=None, description="folder of masks with the names of their images")
    set: str = Field(default="nuclei", description="pattern set, see 'napari-dmu sets'")
    ratio: Ratio = Field(default=64.0, gt=0, allow_inf_nan=False, description="compression ratio")
    family: str = Field(default="learned", description="pattern family of the set")
    photons: float | None = Field(default=None, description="peak photons; the set's own where not given")
    read_noise: float | None = Field(default=None, description="electrons; the set's own where not given")
    background: float | None = Field(default=None, description="photons; the set's own where not given")
    detector: str | None = Field(default=None, description="name of a detector; the set's own where not given")
    acquisition: dict[str, Any] | None = Field(default=None, description="other settings than the set's")
    intensity_range: tuple[float, float] | None = Field(default=None, description="values taken as dark and bright")
    seed: int = Field(default=0, ge=0, description="of the noise; each image has one made of this and its name")
    method: Literal["learned", "lmmse", "ridge", "tv"] = Field(default="learned", description="what reconstructs")
    flips: bool = Field(default=False, description="mean over eight mirrored measurements")
    segmenter: str | None = Field(default="pattern set", description="what finds the cells; null for none")
    luminance: bool = Field(default=False, description="take the luminance of colour images")
    channel: int | None = Field(default=None, ge=0, description="number of the one channel to take, from 0")
    keep: tuple[Result, ...] = Field(
        default=("measurement", "reconstruction", "labels", "table"), description="results that are written"
    )

    @field_validator("images", "output", "truth")
    @classmethod
    def _paths(cls, given: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
        """No system has names with a NUL in them, and each says so in its own way."""
        for path in (given,) if isinstance(given, str) else given or ():
            if "\0" in path:
                raise ValueError(f"there is a NUL in the path {path!r}: write it anew")
        return given

    @model_serializer(mode="wrap")
    def _leave_out(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Entries that came later are written where they are used, so that a run over an older folder goes on."""
        content: dict[str, Any] = serialise(self)
        unused = [name for name in ("detector", "acquisition", "intensity_range", "flips") if not getattr(self, name)]
        return {name: value for name, value in content.items() if name not in unused}


@dataclass(frozen=True)
class BatchJob:
    """One image of a run: its results' common name, the image, its mask, and the folder of the results.

    ``shown`` is what the image is called in tables: its file's name, or the place of a field in its plate.
    """

    name: str
    image: Path
    truth: Path | None
    folder: Path
    shown: str

    def result(self, ending: str) -> Path:
        """Path of one of its results."""
        return self.folder / f"{self.name}{ending}"


def run_settings(content: dict[str, Any], name: str) -> RunSettings:
    """Check the settings of the YAML file ``name``.

    Raises
    ------
    SettingsError
        Where an entry is unknown, missing or out of range; the sentence names the first one.
    """
    if isinstance(content.get("images"), str):
        content = {**content, "images": [content["images"]]}
    try:
        return RunSettings.model_validate(content)
    except ValidationError as error:
        raise file_error(error, name, RunSettings) from error


def image_seed(seed: int, name: str) -> int:
    """Seed of the noise of one image: with the same noise, two images of one scene would be one measurement.

    Below 2³¹, as the panel takes it.
    """
    digest = hashlib.sha256(f"{seed} {name}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") % 2**31


def readable(name: str) -> str:
    """A name as a table can hold it: with question marks for what is no text in the name of a file."""
    return name.encode("utf-8", "replace").decode("utf-8")


def plan_run(settings: RunSettings, base: Path) -> list[BatchJob]:
    """The images of a run in the order of their names; ``base`` is what its paths are relative to.

    Raises
    ------
    FileError, SettingsError
        There is no image, two results would have one name, an image has two masks, or their folder is missing.
    """
    output = base / settings.output
    truths = None if settings.truth is None else base / settings.truth
    if truths is not None and not truths.is_dir():
        raise FileError(f"The folder of masks '{truths}' does not exist: correct truth, or leave it out.")
    files = sorted({path for entry in settings.images for path in _images_of(base, entry, output)})
    if not files:
        raise FileError(f"There are no images in {', '.join(settings.images)}: name a folder with TIFF or OME-Zarr.")
    images = [image for file in files for image in _images_in(file)]
    name, count = Counter(image.name for image in images).most_common(1)[0]
    if count > 1:
        raise SettingsError(f"Two images are called '{name}': their results would overwrite each other, rename one.")
    masks = {} if truths is None else _masks_in(truths)
    return [BatchJob(i.name, i.path, truths and _mask_of(i, truths, masks), output, readable(i.shown)) for i in images]


class _Image(NamedTuple):
    name: str
    path: Path
    shown: str


def _images_in(file: Path) -> list[_Image]:
    """The file itself, or the fields of a plate."""
    from napari_dmu.files.plate import plate_fields

    own = _bare(file.name)
    fields = plate_fields(file) if is_zarr(file) else None
    if fields is None:
        return [_Image(own, file, file.name)]
    return [
        _Image(f"{own}_{name}", path, f"{file.name}/{path.relative_to(file).as_posix()}")
        for name, path in fields.items()
    ]


def _masks_in(folder: Path) -> dict[str, list[Path]]:
    """Images of a folder by their names without an ending."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in MASK_ENDINGS:
            found.setdefault(_bare(path.name), []).append(path)
    return found


def _mask_of(image: _Image, folder: Path, masks: dict[str, list[Path]]) -> Path | None:
    """The file of the image's very name, or else the one that is called so but for its ending."""
    own = folder / image.shown
    if own.exists():
        return own
    fitting = masks.get(image.name, [])
    if len(fitting) > 1:
        raise SettingsError(
            f"'{image.shown}' has two masks, '{fitting[0].name}' and '{fitting[1].name}': take one out of the folder."
        )
    return fitting[0] if fitting else None


def _images_of(base: Path, entry: str, output: Path) -> Iterable[Path]:
    path = base / entry
    if path.is_dir() and path.suffix.lower() != ".zarr":
        found: Iterable[Path] = (p for p in path.iterdir() if p.suffix.lower() in ENDINGS)
    else:
        found = [path] if path.exists() else [base / name for name in glob(entry, root_dir=base, recursive=True)]
    # Results in the folder of the images are no images themselves, nor is what the system hides.
    own = output.resolve()  # however the two spell it
    return [p for p in found if not p.name.startswith(".") and not (_is_result(p.name) and p.parent.resolve() == own)]


def _is_result(name: str) -> bool:
    return name.endswith((MEASUREMENT, RECONSTRUCTION, LABELS))


def _bare(name: str) -> str:
    """Name of a file without what tells its kind."""
    for ending in (".ome.tiff", ".ome.tif", ".ome.zarr"):
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name.rsplit(".", 1)[0]
