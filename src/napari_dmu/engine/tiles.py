"""A field in tiles: a frozen plan, so that large fields need no more memory than small ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.reconstruction.shapes import DecoderShape, whole_step

# Memory that decoding a tile takes, about, where nothing else is chosen (MB).
USUAL_MEMORY = 1500
# Of that, bytes for each specimen pixel that is read, and for each number there is for it on the networks' finest grid:
# measured at ×4, ×64 and ×1024, with heads.
PIXEL, NUMBER = 64, 30
_memory: ContextVar[float] = ContextVar("tile_memory", default=USUAL_MEMORY)


@contextmanager
def tile_memory(megabytes: float) -> Iterator[None]:
    """Tiles that take about so much memory, in this thread, while the context lasts; the results are the same."""
    token = _memory.set(megabytes)
    try:
        yield
    finally:
        _memory.reset(token)


@dataclass(frozen=True)
class Tile:
    """One tile, in detector pixels: what is read, and which part of the result counts.

    Attributes
    ----------
    read
        (rows, columns) of the measurement to decode.
    keep
        (rows, columns) of the field that this tile fills, in specimen pixels.
    start
        Specimen pixel at which the decoded tile begins.
    """

    read: tuple[slice, slice]
    keep: tuple[slice, slice]
    start: tuple[int, int]


def margin(acquisition: Acquisition, shape: DecoderShape, *, extra: int = 0) -> int:
    """Specimen pixels beyond a tile that its result depends on: the networks' reach, rounded up.

    ``extra`` is the reach of a network on top of the decoder's features, in grid pixels.
    """
    reach = reach_of(shape.widths, shape.blocks) + extra
    # The lifting reads 3×3 period cells.
    return reach * shape.stride + 2 * acquisition.period


def reach_of(widths: tuple[int, ...], blocks: tuple[int, ...]) -> int:
    """Half of the receptive field of a U shape with its first and last convolution, in grid pixels."""
    levels = len(widths)
    both_ways = sum(4 * count * 2**level for level, count in enumerate(blocks[:-1]))
    return int(2 + both_ways + 2 * blocks[-1] * 2 ** (levels - 1) + 2**levels)


def plan(
    field: tuple[int, int],
    acquisition: Acquisition,
    shape: DecoderShape,
    *,
    extra: int = 0,
    levels: int = 1,
    side: int | None = None,
) -> tuple[Tile, ...]:
    """Tiles that cover ``field`` (Y, X) exactly once.

    Tiles begin at whole pattern periods and whole steps of the networks' coarsest grid, so that a tile computes
    what the whole field would. ``extra`` and ``levels`` are the reach (grid pixels) and the levels of a network on
    top of the decoder's features; ``side`` is that of a tile's own area, where not given as ``tile_memory`` has it.
    """
    step = whole_step(acquisition.period, shape, levels=levels)
    halo = math.ceil(margin(acquisition, shape, extra=extra) / step) * step
    cores = _cores(field, step, halo, _room(shape)) if side is None else (max(step, side // step * step),) * 2
    return tuple(
        Tile(
            read=(rows.read, columns.read),
            keep=(rows.keep, columns.keep),
            start=(rows.start, columns.start),
        )
        for rows in _spans(field[0], acquisition.bin, cores[0], halo)
        for columns in _spans(field[1], acquisition.bin, cores[1], halo)
    )


def _room(shape: DecoderShape) -> float:
    """Specimen pixels that can be read for a tile."""
    return 1e6 * _memory.get() / (PIXEL + NUMBER * shape.widths[0] / shape.stride**2)


def _cores(field: tuple[int, int], step: int, halo: int, room: float) -> tuple[int, int]:
    """Sides of few tiles of about one size that read no more than ``room`` pixels, their margins included.

    None is smaller than its margin, whatever the room: what is read twice would then take most of the time.
    """
    counts = [1, 1]
    while True:
        cores = [math.ceil(size / count / step) * step for size, count in zip(field, counts, strict=True)]
        # Two tiles beside each other have a margin on one side alone.
        reads = [
            min(size, core + halo * min(count - 1, 2)) for size, core, count in zip(field, cores, counts, strict=True)
        ]
        divisible = [axis for axis in (0, 1) if cores[axis] > max(step, halo)]
        if not divisible or reads[0] * reads[1] <= room:
            return cores[0], cores[1]
        counts[max(divisible, key=lambda axis: reads[axis])] += 1


@dataclass(frozen=True)
class _Span:
    read: slice
    keep: slice
    start: int


def _spans(size: int, bin: int, core: int, halo: int) -> list[_Span]:
    # A remainder smaller than the margin is not worth a tile of its own.
    if size <= core + halo:
        return [_Span(slice(0, math.ceil(size / bin)), slice(0, size), 0)]
    spans = []
    for begin in range(0, size, core):
        end = min(begin + core, size)
        first, last = max(0, begin - halo), min(size, end + halo)
        spans.append(_Span(slice(first // bin, math.ceil(last / bin)), slice(begin, end), first))
    return spans
