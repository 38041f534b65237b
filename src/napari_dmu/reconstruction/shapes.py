"""Hyper-parameters of the networks, apart from torch so that a set's header reads without it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class DecoderShape:
    """Hyper-parameters of a decoder; stored in the pattern set's header.

    Attributes
    ----------
    stride
        Specimen pixels per pixel of the grid that the refinement works on; divides the pattern period.
    widths, blocks
        Channels and residual blocks of each level of the U shape.
    lifted
        Feature channels that are lifted straight from the samples.
    lifting_stride
        Specimen pixels per pixel of the lifted image before it is enlarged; divides the pattern period. Above 1 where a
        map to every pixel of a large period would have millions of weights.
    limited
        Whether residual blocks limit the size of what they read, see ``refinement.limit``. False in sets from before
        there was a limit.
    """

    stride: int = 4
    widths: tuple[int, ...] = (32, 64, 96)
    blocks: tuple[int, ...] = (2, 2, 2)
    lifted: int = 32
    lifting_stride: int = 1
    limited: bool = False


@dataclass(frozen=True)
class ErrorShape:
    """Hyper-parameters of an error head; stored in the pattern set's header.

    Attributes
    ----------
    widths, blocks
        Channels and residual blocks of each level of its U shape, on the decoder's grid.
    """

    widths: tuple[int, ...] = (20, 28)
    blocks: tuple[int, ...] = (1, 1)


def whole_step(period: int, shape: DecoderShape, *, levels: int = 1) -> int:
    """Specimen pixels that whole pattern periods and whole steps of the networks' coarsest grid have in common.

    ``levels`` are those of a U shape on top of the decoder's features.
    """
    return math.lcm(period, shape.stride * 2 ** (max(len(shape.widths), levels) - 1))
