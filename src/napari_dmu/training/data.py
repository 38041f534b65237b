"""Training images on the device: one flat tensor, crops by gathering."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dmu.errors import FileError, SettingsError
from napari_dmu.files.specimen import read_grey
from napari_dmu.microscope.measurement import check_plane, intensity_range, normalise
from napari_dmu.segmentation.instances import depths

# 15 bits keep the rounding below 2e-5 of full scale; int16 is a type that every torch device can gather.
LEVELS = 2**15 - 1
# Specimen pixels from a cell's border that full scale stands for.
DEPTH = 256.0


@dataclass(frozen=True)
class Example:
    """One image with its masks: specimen (Y, X) 0 … 1, labels (Y, X) or None."""

    name: str
    specimen: NDArray[np.float32]
    labels: NDArray[np.int32] | None


def matching(names: Iterable[str], files: Sequence[str] | None = None, skip: Sequence[str] = ()) -> list[str]:
    """Names (POSIX, relative to their folder) that ``files`` lets in and ``skip`` does not leave out, in order.

    An entry is a name or a pattern with ``*``, ``?`` and ``[…]``, none of which goes across a ``/``. Without ``files``
    that is every name without a ``/``: subfolders are entered only where an entry names them.

    Raises
    ------
    SettingsError
        Where an entry fits no name: a selection with a misspelt name would train on other images than it says.
    """
    every = sorted(names)
    for entry in (*(files or ()), *skip):
        if not any(_fits(name, entry) for name in every):
            raise SettingsError(f"'{entry}' in files or skip fits no image: correct the name in the recipe.")
    wanted = [n for n in every if ("/" not in n if files is None else any(_fits(n, entry) for entry in files))]
    return [name for name in wanted if not any(_fits(name, entry) for entry in skip)]


def _fits(name: str, entry: str) -> bool:
    parts, wanted = name.split("/"), entry.split("/")
    return name == entry or (len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted)))


def image_names(folder: Path) -> list[str]:
    """TIFF images below the folder, or below its ``images``; relative POSIX names, sorted.

    Without what the system hides: macOS puts a ``._a.tif``, which is no image, beside every ``a.tif`` on foreign disks.
    """
    images = _images_of(folder)
    found = (p for p in images.rglob("*") if not p.name.startswith(".")) if images.is_dir() else ()
    return sorted(p.relative_to(images).as_posix() for p in found if p.suffix.lower() in (".tif", ".tiff"))


def _images_of(folder: Path) -> Path:
    return folder / "images" if (folder / "images").is_dir() else folder


def read_plane(folder: Path, name: str, *, masks: bool) -> tuple[NDArray[Any], NDArray[np.int32] | None]:
    """One image as stored, and its mask where wanted: (Y, X) each. Errors: see ``read_examples``."""
    from skimage.segmentation import relabel_sequential

    plane = check_plane(_stored(_images_of(folder) / name))
    if not masks:
        return plane, None
    mask = folder / "masks" / name
    if not mask.is_file():
        raise FileError(f"{name} has no mask in {mask.parent}: add it, or set masks: false.")
    labels = _stored(mask)
    if labels.shape != plane.shape:
        raise FileError(f"The mask of {name} has shape {labels.shape}, its image {plane.shape}: correct the mask.")
    if labels.dtype.kind == "f" and np.isfinite(labels).all() and (labels == np.rint(labels)).all():
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in "uib" or labels.min() < 0:
        raise FileError(
            f"The mask of {name} has fractions or numbers below 0: save one whole number a cell, 0 between."
        )
    if labels.max() > np.iinfo(np.int32).max:
        labels = relabel_sequential(labels)[0]
    return plane, labels.astype(np.int32)


def _stored(path: Path) -> NDArray[Any]:
    """The values (Y, X) of a file, read as everywhere else: trained on is what will be measured."""
    stored = read_grey(path).data  # no recipe asks for the luminance
    if any(length > 1 for length in stored.shape[:-2]):
        raise FileError(f"{path.name} has {stored.ndim} axes, training images have two: split it into planes.")
    return np.asarray(stored).reshape(stored.shape[-2:])


def as_example(name: str, plane: NDArray[Any], labels: NDArray[np.int32] | None) -> Example:
    """A stored plane (Y, X) as a specimen: its own 0.1 and 99.9 percentiles become 0 and 1."""
    return Example(name, normalise(plane, intensity_range(plane)), labels)


def read_examples(
    folder: Path, *, masks: bool, files: Sequence[str] | None = None, skip: Sequence[str] = ()
) -> list[Example]:
    """Read a folder of single-plane TIFFs, or of ``images`` and ``masks`` with the same file names.

    Parameters
    ----------
    folder
        With the images, or with ``images`` and ``masks``.
    masks
        Whether the masks are wanted.
    files, skip
        Only these, all but these; see ``matching``.

    Raises
    ------
    FileError, SpecimenError
        Where there is no image, or one is damaged, or has no mask of the same name and size although masks are wanted.
    SettingsError
        Where an entry of ``files`` or ``skip`` fits no image.
    """
    names = image_names(folder)
    chosen = matching(names, files, skip) if names else []
    if not chosen:
        where = _images_of(folder)
        raise FileError(f"There are no TIFF images in {where}: name the folder that holds the training data.")
    return [as_example(name, *read_plane(folder, name, masks=masks)) for name in chosen]


def fingerprint(examples: Sequence[Example]) -> str:
    """sha256 over names and pixels of the examples, in order: identifies the training data."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(example.name.encode())
        digest.update(np.rint(example.specimen * LEVELS).astype("<i2").tobytes())
        if example.labels is not None:
            digest.update(example.labels.astype("<i4").tobytes())
    return digest.hexdigest()


class CropSampler:
    """Random crops, mirrored and transposed, from images that lie flat in one tensor on the device.

    Parameters
    ----------
    groups
        Lists of examples; a crop comes from group g with probability ``weights[g]``, then from any of its
        images with a probability that grows with the square root of its area.
    with_targets
        Also keep ``depths`` of the cells, in units of ``DEPTH`` pixels; every example then needs labels.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Example]],
        weights: Sequence[float],
        *,
        device: torch.device,
        with_targets: bool = False,
    ) -> None:
        examples = [example for group in groups for example in group]
        chance = [
            weight * np.sqrt(example.specimen.size) / sum(np.sqrt(e.specimen.size) for e in group)
            for group, weight in zip(groups, weights, strict=True)
            for example in group
        ]
        self.chance = torch.tensor(chance, dtype=torch.float64)
        self.shapes = torch.tensor([e.specimen.shape for e in examples])
        sizes = self.shapes.prod(1)
        self.starts = torch.cumsum(sizes, 0) - sizes
        self.device = device
        channels = [[np.rint(e.specimen * LEVELS)] for e in examples]
        if with_targets:
            for planes, example in zip(channels, examples, strict=True):
                assert example.labels is not None
                planes += [np.rint(np.minimum(d / DEPTH, 1) * LEVELS) for d in depths(example.labels)]
        flat = [np.stack([p.ravel() for p in planes]).astype(np.int16) for planes in channels]
        self.pixels = torch.from_numpy(np.concatenate(flat, axis=1)).to(device)

    def draw(self, batch: int, side: int, generator: torch.Generator) -> Tensor:
        """(batch, channels, side, side) float32: specimen, then depth and the cell's largest depth where kept."""
        pick = torch.multinomial(self.chance, batch, replacement=True, generator=generator)
        place = torch.rand(batch, 2, generator=generator)
        flips = torch.randint(0, 2, (batch, 3), generator=generator).bool()
        # One pixel's place in the flat tensor is a sum over its row and its column, so two vectors a crop suffice.
        vertical, horizontal = self._axes(pick, side, place, flips).to(self.device)
        index = vertical[:, :, None] + horizontal[:, None, :]
        crops = self.pixels.index_select(1, index.flatten()).view(-1, batch, side, side)
        return crops.transpose(0, 1).to(torch.float32) / LEVELS

    def _axes(self, pick: Tensor, side: int, place: Tensor, flips: Tensor) -> Tensor:
        """Offsets (2, batch, side) in the flat tensor along each crop's rows and columns.

        ``place`` (batch, 2) in [0, 1) is the window's corner; ``flips`` (batch, 3) mirrors rows, mirrors columns,
        transposes. Small images are extended by reflection.
        """
        shape = self.shapes[pick]
        corner = (place * ((shape - side).clamp_min(0) + 1)).long()
        steps = torch.arange(side)
        steps = torch.where(flips[:, :2, None], side - 1 - steps, steps)
        index = _reflected(corner[:, :, None] + steps, shape[:, :, None])
        rows = self.starts[pick, None] + index[:, 0] * shape[:, 1:]
        columns = index[:, 1]
        turned = flips[:, 2:]
        return torch.stack([torch.where(turned, columns, rows), torch.where(turned, rows, columns)])


def _reflected(index: Tensor, size: Tensor) -> Tensor:
    """Indices ≥ 0 brought into axes of ``size`` samples by reflection about the end samples, as ``reflect_index``."""
    period = (2 * size - 2).clamp_min(1)
    index = index.remainder(period)
    return torch.where(index < size, index, period - index)


def jitter(specimen: Tensor, generator: torch.Generator, *, low: float = 0.5) -> Tensor:
    """Dim each example of (N, 1, Y, X) by a random factor ``low`` … 1, half of them not at all."""
    draws = torch.rand(2, specimen.shape[0], 1, 1, 1, generator=generator).to(specimen.device)
    factor = torch.where(draws[0] < 0.5, torch.ones_like(draws[1]), low + (1 - low) * draws[1])
    return specimen * factor
