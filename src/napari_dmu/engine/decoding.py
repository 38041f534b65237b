"""Decoding of one plane, in tiles where the field is large."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_dmu.engine.progress import CancelToken, check
from napari_dmu.engine.tiles import Tile, plan, reach_of
from napari_dmu.evaluation.typicality import FeatureMean
from napari_dmu.microscope.measurement import MeasurementInfo
from napari_dmu.reconstruction.inference import Decoded, decode
from napari_dmu.zoo.pattern_set import PatternSet


def decoded_plane(
    instrument: PatternSet,
    counts: NDArray[np.generic],
    info: MeasurementInfo,
    *,
    linear: bool = False,
    cancel: CancelToken | None = None,
) -> NDArray[np.float32]:
    """Fluorescence density of one plane: counts (T, y, x) → (Y, X); ``linear`` takes the lifting alone."""
    image = np.empty(info.field, dtype=np.float32)
    for tile, decoded in _decoded_tiles(instrument, counts, info, cancel):
        image[tile.keep] = _part(decoded.lifted if linear else decoded.image, tile)[0]
    return image


def head_planes(
    instrument: PatternSet,
    counts: NDArray[np.generic],
    info: MeasurementInfo,
    *,
    cancel: CancelToken | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Foreground probability and normalised distance of one plane, (Y, X) each."""
    return cell_planes(instrument, counts, info, cancel=cancel)[1:]


def cell_planes(
    instrument: PatternSet,
    counts: NDArray[np.generic],
    info: MeasurementInfo,
    *,
    cancel: CancelToken | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Fluorescence density, foreground probability and normalised distance of one plane, decoded once, (Y, X) each.

    The maps are put together over the whole field before cells are read off, so cells have no tile seams.
    """
    head = instrument.segmenter
    assert head is not None
    maps = np.empty((3, *info.field), dtype=np.float32)
    above = {"extra": reach_of(head.shape.widths, head.shape.blocks), "levels": len(head.shape.widths)}
    for tile, decoded in _decoded_tiles(instrument, counts, info, cancel, **above):
        with torch.inference_mode():
            prediction = head(decoded.image, decoded.features)
            prediction = torch.cat([decoded.image, prediction[:, :1].sigmoid(), prediction[:, 1:]], dim=1)
        maps[(slice(None), *tile.keep)] = _part(prediction, tile)
    return maps[0], maps[1], maps[2]


def error_plane(
    instrument: PatternSet,
    counts: NDArray[np.generic],
    info: MeasurementInfo,
    *,
    cancel: CancelToken | None = None,
) -> NDArray[np.float32]:
    """Calibrated error bar of one plane: counts (T, y, x) → (Y, X), half width in fluorescence density.

    The set must have an error head and its calibration (``header.trust``).
    """
    return image_and_error_planes(instrument, counts, info, cancel=cancel).error


class WithError(NamedTuple):
    """Fluorescence density of one plane and its error bar, (Y, X) each; mean of the decoder's features, (C,)."""

    image: NDArray[np.float32]
    error: NDArray[np.float32]
    features: NDArray[np.float64]


def image_and_error_planes(
    instrument: PatternSet,
    counts: NDArray[np.generic],
    info: MeasurementInfo,
    *,
    cancel: CancelToken | None = None,
) -> WithError:
    """A plane decoded once, with all that its error bar is judged by; see ``error_plane``."""
    head, trust = instrument.error_head, instrument.header.trust
    assert head is not None
    assert trust is not None
    maps = np.empty((2, *info.field), dtype=np.float32)
    features = FeatureMean(instrument.header.decoder.stride)
    above = {"extra": reach_of(head.shape.widths, head.shape.blocks), "levels": len(head.shape.widths)}
    for tile, decoded in _decoded_tiles(instrument, counts, info, cancel, error_factor=trust.factor, **above):
        assert decoded.scale is not None
        maps[(slice(None), *tile.keep)] = _part(torch.cat([decoded.image, decoded.scale], dim=1), tile)
        features.add(decoded.features[0], *_kept(tile))
    return WithError(maps[0], maps[1], features.value)


def _decoded_tiles(
    instrument: PatternSet,
    counts: NDArray[np.generic],
    info: MeasurementInfo,
    cancel: CancelToken | None,
    *,
    error_factor: float | None = None,
    **above: int,
) -> Iterator[tuple[Tile, Decoded]]:
    # The error bar is computed only for who asks for it.
    head, factor = (None, 1.0) if error_factor is None else (instrument.error_head, error_factor)
    frames = torch.from_numpy(counts.astype(np.float32))
    for tile in plan(info.field, info.acquisition, instrument.header.decoder, **above):
        check(cancel)
        part = frames[(slice(None), *tile.read)]
        yield tile, decode(instrument.decoder, part[None], info.acquisition, error_head=head, factor=factor)


def _part(maps: Tensor, tile: Tile) -> NDArray[np.float32]:
    """The pixels of a decoded tile (1, C, Y', X') that count, as (C, Y, X)."""
    return maps[(0, slice(None), *_kept(tile))].float().cpu().numpy()


def _kept(tile: Tile) -> tuple[slice, slice]:
    """(rows, columns) of a decoded tile that count, in specimen pixels from its corner."""
    rows, columns = (
        slice(keep.start - start, keep.stop - start) for keep, start in zip(tile.keep, tile.start, strict=True)
    )
    return rows, columns
