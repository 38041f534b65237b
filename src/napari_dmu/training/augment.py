"""What the images alone would not teach.

Crops for learning cells: enlarged or reduced, dimmed, with another gamma, and now and then a field without any. Crops
for learning images: enlarged or reduced, and now and then a drawn scene that no specimen resembles, so that the decoder
stays sober there.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from napari_dmu.segmentation.instances import DEEP
from napari_dmu.training.data import DEPTH, CropSampler
from napari_dmu.training.recipe import HeadStage

# Structural similarity needs 11 pixels.
LEAST_SIDE = 24
# Share of the steps whose crops end early, for each axis: enough to be learned, at little cost for everything else.
ENDED = 0.25
# Drawn scenes are up to this many times as bright as specimens, which are scaled to 0 … 1: debris can be.
BRIGHTEST = 4.0


def cell_crops(
    sampler: CropSampler, batch: int, side: int, stage: HeadStage, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw crops as the head's stages see them.

    Returns
    -------
    specimen
        (batch, 1, side, side), fluorescence density 0 … 1.
    target
        (batch, 2, side, side): foreground and normalised distance, see ``head_loss``.
    """
    zoom = some_zoom(stage.zoom, generator)
    crops = sampler.draw(batch, math.ceil(side / zoom), generator)
    specimen, depth, deepest = crops[:, :1], crops[:, 1:2] * DEPTH, crops[:, 2:] * DEPTH
    if zoom != 1:
        specimen, depth, deepest = zoomed(specimen, depth, deepest, side, zoom)
    specimen = dimmed(other_gamma(specimen, stage.gamma, generator), stage.dimmest, generator)
    target = torch.cat([(depth > 0).to(depth), (depth / deepest.clamp(1, DEEP)).clamp_max(1)], dim=1)
    empty = (torch.rand(batch, 1, 1, 1, generator=generator) < stage.empty).to(specimen.device)
    if bool(empty.any()):
        specimen = torch.where(empty, empty_fields(batch, side, generator).to(specimen), specimen)
        target = torch.where(empty, torch.zeros_like(target), target)
    return specimen, target


def image_crops(sampler: CropSampler, batch: int, side: int, largest: float, generator: torch.Generator) -> Tensor:
    """Draw crops (batch, 1, side, side) as stage 1 sees them, some enlarged or reduced by up to ``largest``."""
    zoom = some_zoom(largest, generator) if largest > 1 else 1.0
    crops = sampler.draw(batch, math.ceil(side / zoom), generator)[:, :1]
    return crops if zoom == 1 else resized(crops, side, zoom)


def resized(images: Tensor, side: int, zoom: float) -> Tensor:
    """Images (N, C, Y, X) brought to (N, C, side, side), where they are enlarged by ``zoom``."""
    return functional.interpolate(images, (side, side), mode="bilinear", antialias=zoom < 1)


def some_zoom(largest: float, generator: torch.Generator) -> float:
    """Magnification of one step: 1 in two of five, else between 1/``largest`` and ``largest``, evenly in its log."""
    moves, place = torch.rand(2, generator=generator).tolist()
    return math.exp((2 * place - 1) * math.log(largest)) if moves < 0.6 else 1.0


def zoomed(specimen: Tensor, depth: Tensor, deepest: Tensor, side: int, zoom: float) -> tuple[Tensor, Tensor, Tensor]:
    """Crops and the depths of their cells (pixels), all (N, 1, Y, X), enlarged by ``zoom`` to (N, 1, side, side)."""
    size = (side, side)
    inside = functional.interpolate((depth > 0).to(depth), size, mode="bilinear") > 0.5
    # Half a pixel is taken off before and put back after, because the outermost pixels' centres lie half a pixel in.
    grown = functional.interpolate((depth - 0.5).clamp_min(0), size, mode="bilinear") * zoom + 0.5
    largest = functional.interpolate(deepest, size, mode="nearest") * zoom
    return resized(specimen, side, zoom), grown * inside, torch.maximum(largest, grown) * inside


def other_gamma(specimen: Tensor, largest: float, generator: torch.Generator) -> Tensor:
    """Raise half of the examples (N, 1, Y, X) to a power between 1/``largest`` and ``largest``."""
    draws = torch.rand(2, specimen.shape[0], 1, 1, 1, generator=generator).to(specimen.device)
    power = torch.exp((2 * draws[1] - 1) * math.log(largest))
    return torch.where(draws[0] < 0.5, specimen.clamp_min(0) ** power, specimen)


def dimmed(specimen: Tensor, dimmest: float, generator: torch.Generator) -> Tensor:
    """Dim half of the examples (N, 1, Y, X) by a factor ``dimmest`` … 1, evenly spread on a logarithmic scale."""
    draws = torch.rand(2, specimen.shape[0], 1, 1, 1, generator=generator).to(specimen.device)
    return torch.where(draws[0] < 0.5, specimen * dimmest ** draws[1], specimen)


def empty_fields(batch: int, side: int, generator: torch.Generator) -> Tensor:
    """Fields without cells as they look once scaled to 0 … 1: noise on uneven illumination; (batch, 1, side, side).

    A slope and a fall-off from a bright place, as a lens has, or towards it, as a corner looks.
    """
    level, down, across, bow, y0, x0, noise = torch.rand(7, batch, 1, 1, 1, generator=generator)
    place = torch.linspace(-1, 1, side)
    rows, columns = place[:, None], place
    field: Tensor = 0.1 + 0.7 * level + 0.4 * (2 * down - 1) * rows + 0.4 * (2 * across - 1) * columns
    distance = (rows - 3 * (2 * y0 - 1)) ** 2 + (columns - 3 * (2 * x0 - 1)) ** 2
    field = field + 0.06 * (2 * bow - 1) * (distance - distance.mean(dim=(-2, -1), keepdim=True))
    field = field + 0.2 * noise * torch.randn(batch, 1, side, side, generator=generator)
    return field.clamp(0, 1)


def ended_anywhere(images: Tensor, step: int, generator: torch.Generator) -> Tensor:
    """Cut (N, C, Y, X) below and to the right by up to ``step`` − 1 pixels, each in a share ``ENDED`` of the steps.

    Crops are whole pattern periods and whole steps of the networks' coarsest grid, fields are not: what is put in for
    the rest must have been seen, or cells are invented in that corner. At least ``LEAST_SIDE`` pixels are left.
    """
    room = min(step, max(1, min(images.shape[-2:]) - LEAST_SIDE + 1))
    cuts, moves = torch.randint(0, room, (2,), generator=generator), torch.rand(2, generator=generator) < ENDED
    rows, columns = (size - int(cut) * int(m) for size, cut, m in zip(images.shape[-2:], cuts, moves, strict=True))
    return images[..., :rows, :columns]


def with_scenes(specimen: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Replace a ``share`` of the examples (N, 1, Y, Y) by ``drawn_scenes``, up to ``BRIGHTEST`` times as bright."""
    if share == 0:
        return specimen
    batch, side = specimen.shape[0], specimen.shape[-1]
    chosen = torch.rand(batch, 1, 1, 1, generator=generator) < share
    scenes = BRIGHTEST ** torch.rand(batch, 1, 1, 1, generator=generator) * drawn_scenes(batch, side, generator)
    return torch.where(chosen.to(specimen.device), scenes.to(specimen), specimen)


def drawn_scenes(batch: int, side: int, generator: torch.Generator) -> Tensor:
    """Stripes, chequers and discs of any size, direction and contrast: (batch, 1, side, side), 0 … 1."""
    kind, turn, size, fill, row, column, dark, bright = torch.rand(8, batch, 1, 1, 1, generator=generator)
    place = torch.arange(side, dtype=torch.float32)
    rows, columns = place[:, None], place
    angle, period = 2 * math.pi * turn, 4 * (side / 2) ** size
    along = (columns * torch.cos(angle) + rows * torch.sin(angle)) / period + row
    across = (rows * torch.cos(angle) - columns * torch.sin(angle)) / period + column
    along, across = (2 * (v - v.floor()) - 1 for v in (along, across))
    stripes = along.abs() < fill
    chequers = (along > 0) ^ (across > 0)
    discs = along**2 + across**2 < fill**2
    inside = torch.where(kind < 0.3, stripes, torch.where(kind < 0.6, chequers, discs))
    low, high = 0.5 * dark**2, 1 - 0.5 * bright**2
    return torch.where(inside, high, low)
