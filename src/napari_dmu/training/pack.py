"""A data pack: the images and masks that recipes name, in one compact file that trainings read instead of folders."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from napari_dmu.errors import FileError
from napari_dmu.files.atomic import atomic_path
from napari_dmu.microscope.measurement import intensity_range, normalise
from napari_dmu.training.data import Example, image_names, matching, read_plane
from napari_dmu.training.recipe import Recipe, Source

SCHEMA_VERSION = 1
# Largest error of a packed specimen, in units of its range 0 … 1. Images with fewer than a thousand levels are exact.
# 0.1 % is far below their photon noise and 30 dB below what the best reconstruction leaves.
TOLERANCE = 1e-3
# The codec's largest error.
_MOST_NEAR = 255


class PackedImage(BaseModel):
    """How one stored image is to be read: value = ``base`` + ``step`` · stored, specimen 0 … 1 = ``low`` … ``high``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, int]
    base: float
    step: float
    low: float
    high: float
    error: float
    mask: str | None = None


class PackIndex(BaseModel):
    """What is in a pack: all file names of each folder, and the images that are stored, by folder/name."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    folders: dict[str, list[str]] = {}
    images: dict[str, PackedImage] = {}


@dataclass(frozen=True)
class PackSummary:
    """What was written: numbers of images, of masks and of images that are not exact; largest error; file size."""

    images: int
    masks: int
    inexact: int
    error: float
    size: int


def write_pack(
    path: Path,
    data: Path,
    recipes: Sequence[Recipe],
    *,
    tolerance: float = TOLERANCE,
    report: Callable[[int, int, str], None] | None = None,
    check_cancelled: Callable[[], None] | None = None,
) -> PackSummary:
    """Write every image that the recipes train on or validate with, once, and its mask where one is used.

    Integer images become 8 or 16 bits without loss where they have no more than 1/``tolerance`` levels between their
    0.1 and 99.9 percentiles; all others are exact to ``tolerance`` of that range. What lies beyond the percentiles is
    clipped, as training does. Compression: JPEG-LS (ITU-T T.87) for images, deflate for masks.

    Parameters
    ----------
    path
        File to write, whole or not at all.
    data
        Root of the folders that the recipes name.
    recipes
        Their sources are packed.
    tolerance
        Largest error in units of the specimen's range.
    report
        Called with (images done, all, what is going on).
    check_cancelled
        Called at every image; raises to stop.

    Raises
    ------
    FileError, SettingsError
        Where an image cannot be read or a selection fits none.
    """
    index, tensors = PackIndex(), dict[str, Tensor]()
    wanted = _wanted(data, recipes, index)
    for done, (key, (folder, name, masks)) in enumerate(sorted(wanted.items())):
        if check_cancelled is not None:
            check_cancelled()
        plane, labels = read_plane(data / folder, name, masks=masks)
        entry, tensors[f"image:{key}"] = _pack(plane, tolerance)
        if labels is not None:
            kind = "uint16" if labels.min() >= 0 and labels.max() < 2**16 else "int32"
            tensors[f"mask:{key}"] = _bytes(zlib.compress(labels.astype(np.dtype(kind).newbyteorder("<")).tobytes(), 9))
            entry = entry.model_copy(update={"mask": kind})
        index.images[key] = entry
        if report is not None:
            report(done + 1, len(wanted), "packing")
    content = save(tensors, metadata={"napari_dmu_pack": index.model_dump_json()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    entries = index.images.values()
    return PackSummary(
        images=len(index.images),
        masks=sum(e.mask is not None for e in entries),
        inexact=sum(e.error > 0 for e in entries),
        error=max((e.error for e in entries), default=0.0),
        size=len(content),
    )


def read_packed(pack: Path, source: Source, *, masks: bool) -> list[Example]:
    """Examples of one source from a pack, as ``read_examples`` gives them from the folder; nothing is unpacked to disk.

    Raises
    ------
    FileError
        Where the file is no pack, damaged, or was made for other recipes.
    SettingsError
        Where an entry of ``files`` or ``skip`` fits no image.
    """
    try:
        with safe_open(pack, framework="pt") as file:
            index = _index(pack, file.metadata() or {})
            folder = _folder(source)
            listed = index.folders.get(folder, [])
            names = matching(listed, source.files, source.skip) if listed else []
            missing = [n for n in names if (e := index.images.get(f"{folder}/{n}")) is None or (masks and not e.mask)]
            if missing or not names:
                what = f"{'masks of ' if masks else ''}{folder}{'/' + missing[0] if missing else ''}"
                raise FileError(f"{pack.name} does not hold {what}: make the pack anew with this recipe.")
            return [_example(file, name, f"{folder}/{name}", index, masks=masks) for name in names]
    except (SafetensorError, OSError, ValueError, RuntimeError, zlib.error) as error:
        raise FileError(f"{pack.name} is no data pack, or it is damaged: make it anew with --pack.") from error


def _wanted(data: Path, recipes: Sequence[Recipe], index: PackIndex) -> dict[str, tuple[str, str, bool]]:
    """Images by folder/name: their folder, name, and whether a mask belongs to them; lists the folders in the index."""
    wanted: dict[str, tuple[str, str, bool]] = {}
    for recipe, source in _sources(recipes):
        folder = _folder(source)
        names = index.folders.setdefault(folder, image_names(data / folder))
        if not names:
            raise FileError(f"There are no TIFF images in {data / folder}: name the folder that holds the data.")
        for name in matching(names, source.files, source.skip):
            key = f"{folder}/{name}"
            there = (data / folder / "masks" / name).is_file()
            masks = source.masks and (recipe.head is not None or there)
            wanted[key] = (folder, name, masks or wanted.get(key, ("", "", False))[2])
    return wanted


def _sources(recipes: Sequence[Recipe]) -> Iterator[tuple[Recipe, Source]]:
    for recipe in recipes:
        for source in (*recipe.training, *recipe.validation):
            yield recipe, source


def _folder(source: Source) -> str:
    return PurePosixPath(source.folder).as_posix()


def _pack(plane: NDArray[Any], tolerance: float) -> tuple[PackedImage, Tensor]:
    """One image (Y, X) as its compressed bytes and how to read them."""
    import imagecodecs

    low, high = intensity_range(plane)
    values = plane.astype(np.float64)
    least = float(values.min())
    levels = values - least
    step, rounding = 0.0, 0.0
    if levels.max() < 2**31 and np.array_equal(levels, np.rint(levels)):
        step = float(max(1, np.gcd.reduce(levels.astype(np.int64), axis=None)))
    # What lies beyond low and high is clipped in any case, here to whole steps so that the others stay exact.
    base = least + (step * np.floor((low - least) / step) if step else low - least)
    top = least + (step * np.ceil((high - least) / step) if step else high - least)
    if not step or (top - base) / step >= 2**16:
        step, rounding = (top - base) / (2**16 - 1), 0.5
    stored = np.rint((np.clip(values, base, top) - base) / step)
    near = min(_MOST_NEAR, max(0, int(tolerance * (high - low) / step - rounding)))
    kind = np.uint8 if stored.max() < 2**8 else np.uint16
    coded = bytes(imagecodecs.jpegls_encode(np.ascontiguousarray(stored.astype(kind)), level=near))
    entry = PackedImage(shape=plane.shape, base=base, step=step, low=low, high=high, error=0.0)
    error = np.abs(_specimen(entry, coded) - normalise(plane, (low, high))).max()
    return entry.model_copy(update={"error": float(error)}), _bytes(coded)


def _specimen(entry: PackedImage, coded: bytes) -> NDArray[np.float32]:
    import imagecodecs

    stored = np.asarray(imagecodecs.jpegls_decode(coded)).reshape(entry.shape)
    return normalise(entry.base + entry.step * stored.astype(np.float64), (entry.low, entry.high))


def _example(file: Any, name: str, key: str, index: PackIndex, *, masks: bool) -> Example:
    entry = index.images[key]
    specimen = _specimen(entry, file.get_tensor(f"image:{key}").numpy().tobytes())
    labels = None
    if masks and entry.mask is not None:
        content = zlib.decompress(file.get_tensor(f"mask:{key}").numpy().tobytes())
        labels = np.frombuffer(content, np.dtype(entry.mask).newbyteorder("<")).reshape(entry.shape).astype(np.int32)
    return Example(name, specimen, labels)


def _bytes(content: bytes) -> Tensor:
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def _index(pack: Path, metadata: dict[str, str]) -> PackIndex:
    entry = metadata.get("napari_dmu_pack")
    if entry is None:
        raise FileError(f"{pack.name} is no data pack: give a folder, or a file that was made with --pack.")
    version = int(json.loads(entry).get("schema_version", 0))
    if version > SCHEMA_VERSION:
        raise FileError(f"{pack.name} was written by a newer napari-dmu (schema {version}): update napari-dmu.")
    try:
        return PackIndex.model_validate_json(entry)
    except ValidationError as error:
        raise FileError(f"The index of {pack.name} is not valid: make it anew with --pack.") from error
