"""Training images on the device: one flat tensor, crops by gathering."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dmu.errors import FileError
from napari_dmu.microscope.measurement import check_plane, intensity_range, normalise
from napari_dmu.microscope.optics import reflect_index
from napari_dmu.segmentation.instances import distance_target

# 15 bits keep the rounding below 2e-5 of full scale; int16 is a type that every torch device can gather.
LEVELS = 2**15 - 1


@dataclass(frozen=True)
class Example:
    """One image with its masks: specimen (Y, X) 0 … 1, labels (Y, X) or None."""

    name: str
    specimen: NDArray[np.float32]
    labels: NDArray[np.int32] | None


def read_examples(folder: Path, *, masks: bool) -> list[Example]:
    """Read a folder of single-plane TIFFs, or of ``images`` and ``masks`` with the same file names.

    Raises
    ------
    FileError
        Where there is no image, or no mask of the same name and size although masks are wanted.
    """
    import tifffile

    images = folder / "images" if (folder / "images").is_dir() else folder
    paths = sorted(p for p in images.iterdir() if p.suffix.lower() in (".tif", ".tiff")) if images.is_dir() else []
    if not paths:
        raise FileError(f"There are no TIFF images in {images}: name the folder that holds the training data.")
    examples = []
    for path in paths:
        plane = check_plane(tifffile.imread(path))
        if plane.ndim != 2:
            raise FileError(f"{path.name} has {plane.ndim} axes, training images have two: split it into planes.")
        labels = None
        if masks:
            mask = folder / "masks" / path.name
            if not mask.is_file():
                raise FileError(f"{path.name} has no mask in {mask.parent}: add it, or set masks: false.")
            labels = tifffile.imread(mask).astype(np.int32)
            if labels.shape != plane.shape:
                raise FileError(f"The mask of {path.name} has shape {labels.shape}, its image {plane.shape}.")
        examples.append(Example(path.name, normalise(plane, intensity_range(plane)), labels))
    return examples


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
        Also keep foreground and distance; every example then needs labels.
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
                planes.append((example.labels > 0) * float(LEVELS))
                planes.append(np.rint(distance_target(example.labels) * LEVELS))
        flat = [np.stack([p.ravel() for p in planes]).astype(np.int16) for planes in channels]
        self.pixels = torch.from_numpy(np.concatenate(flat, axis=1)).to(device)

    def draw(self, batch: int, side: int, generator: torch.Generator) -> Tensor:
        """(batch, channels, side, side) float32: specimen, then foreground and distance where kept."""
        pick = torch.multinomial(self.chance, batch, replacement=True, generator=generator)
        random = torch.rand(batch, 2, generator=generator)
        flips = torch.randint(0, 2, (batch, 3), generator=generator).bool()
        index = torch.stack([self._index(int(p), side, random[i], flips[i]) for i, p in enumerate(pick)])
        crops = self.pixels[:, index.to(self.device)].transpose(0, 1)
        return crops.to(torch.float32) / LEVELS

    def _index(self, image: int, side: int, place: Tensor, flips: Tensor) -> Tensor:
        """Flat positions of one crop's pixels, (side, side); small images are extended by reflection."""
        height, width = (int(v) for v in self.shapes[image])
        top = int(place[0] * (max(height - side, 0) + 1))
        left = int(place[1] * (max(width - side, 0) + 1))
        rows = reflect_index(top, top + side, height)
        columns = reflect_index(left, left + side, width)
        index = self.starts[image] + rows[:, None] * width + columns[None, :]
        dims = [axis for axis, flip in enumerate(flips[:2].tolist()) if flip]
        index = index.flip(dims) if dims else index
        return index.T if bool(flips[2]) else index


def jitter(specimen: Tensor, generator: torch.Generator, *, low: float = 0.5) -> Tensor:
    """Dim each example of (N, 1, Y, X) by a random factor ``low`` … 1, half of them not at all."""
    draws = torch.rand(2, specimen.shape[0], 1, 1, 1, generator=generator).to(specimen.device)
    factor = torch.where(draws[0] < 0.5, torch.ones_like(draws[1]), low + (1 - low) * draws[1])
    return specimen * factor
