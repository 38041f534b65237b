"""From foreground and distance to labelled cells, and from labelled cells to training targets."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import relabel_sequential, watershed

from napari_dmu.segmentation.packing import Packing
from napari_dmu.segmentation.settings import InstanceSettings

# Specimen pixels from the border at which a cell counts as deep.
DEEP = 8.0


def instances(
    foreground: NDArray[np.floating], distance: NDArray[np.floating], settings: InstanceSettings
) -> NDArray[np.int32]:
    """Marker-controlled watershed on the distance map, within the foreground.

    The markers are the peaks of the smoothed distance that rise above ``core``, and by ``prominence`` above the
    saddle towards a higher peak (h-maxima; P. Soille, Morphological Image Analysis, 2nd ed., 2004, ch. 6.3.4), so
    that one setting parts small cells and large ones. A piece of foreground without a peak is a cell of its own.
    Deterministic.

    Parameters
    ----------
    foreground
        (Y, X), probability 0 … 1.
    distance
        (Y, X), normalised distance.

    Returns
    -------
    ndarray
        (Y, X) int32, 0 = background, cells 1 … n in scan order.
    """
    return sure_cells(parted(foreground, distance, settings), foreground, settings)


def parted(
    foreground: NDArray[np.floating], distance: NDArray[np.floating], settings: InstanceSettings
) -> NDArray[np.int32]:
    """All that the watershed finds, small and doubtful pieces too: (Y, X), numbered in no particular order."""
    mask = foreground > settings.foreground
    if not mask.any():
        return np.zeros(mask.shape, dtype=np.int32)
    smooth = ndimage.gaussian_filter(np.asarray(distance, dtype=np.float32), settings.smoothing)
    # Most of a field is background, which costs as much as cells do; but long pieces have wide boxes.
    packing = Packing.of(mask)
    if math.prod(packing.packed) >= mask.size:
        return _parted_pieces(np.where(mask, smooth, np.float32(0)), mask, settings)
    return packing.unpack(_parted_pieces(packing.pack(smooth, 0), packing.pack(mask, False), settings))


def _parted_pieces(
    smooth: NDArray[np.float32], mask: NDArray[np.bool_], settings: InstanceSettings
) -> NDArray[np.int32]:
    """The watershed on a smoothed distance (Y, X) within ``mask``."""
    markers, cores = ndimage.label(mask & _peaks(smooth, mask, settings), structure=np.ones((3, 3)))
    pieces, count = ndimage.label(mask)
    has_core = np.zeros(count + 1, dtype=bool)
    has_core[pieces[markers > 0]] = True
    lone = mask & ~has_core[pieces]
    markers[lone] = pieces[lone] + cores
    return np.asarray(watershed(-smooth, markers=markers, mask=mask), dtype=np.int32)


def sure_cells(
    labels: NDArray[np.integer], foreground: NDArray[np.floating], settings: InstanceSettings
) -> NDArray[np.int32]:
    """Without cells in which the mean of ``foreground`` is below ``confidence``, and without those below ``min_area``
    pixels; numbered 1 … n in scan order."""
    if settings.confidence > 0 and labels.any():
        flat = labels.ravel()
        keep = np.bincount(flat, weights=foreground.ravel()) >= settings.confidence * np.bincount(flat)
        labels = np.where(keep[labels], labels, 0)
    return drop_small(labels, settings.min_area)


def _peaks(smooth: NDArray[np.float32], mask: NDArray[np.bool_], settings: InstanceSettings) -> NDArray[np.bool_]:
    """Where the smoothed distance has a peak that makes a cell."""
    cores: NDArray[np.bool_] = smooth > settings.core
    if settings.prominence == 0:
        return cores
    within = np.where(mask, smooth, np.float32(min(0.0, smooth.min())))
    # What is left when every peak is cut down by the prominence: the lesser ones have gone.
    cut = reconstruction(within - np.float32(settings.prominence), within)
    peaks: NDArray[np.bool_] = local_maxima(cut) & cores
    return peaks


def drop_small(labels: NDArray[np.integer], min_area: int) -> NDArray[np.int32]:
    """Remove cells below ``min_area`` pixels and number the others 1 … n in scan order."""
    flat = labels.ravel()
    areas = np.bincount(flat)
    keep = areas >= max(1, min_area)
    keep[0] = False
    # In scan order: by the first pixel of each cell. Written from the last pixel on, so that the first one stays.
    first = np.full(areas.size, flat.size)
    first[flat[::-1]] = np.arange(flat.size)[::-1]
    order = np.argsort(np.where(keep, first, flat.size), kind="stable")
    numbers = np.zeros(areas.size, dtype=np.int32)
    numbers[order[: int(keep.sum())]] = np.arange(1, int(keep.sum()) + 1)
    return np.asarray(numbers[labels], dtype=np.int32)


def depths(labels: NDArray[np.integer]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distance of each pixel to the border of its own cell, and the largest one in that cell: (Y, X) pixels each."""
    depth, deepest = np.zeros((2, *labels.shape), dtype=np.float32)
    # Numbered 1 … n first: the list of cells by their numbers has a place for every number up to the largest.
    numbers = relabel_sequential(np.maximum(labels, 0))[0]
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        own = numbers[box] == number
        distance = ndimage.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1]
        depth[box][own] = distance[own]
        deepest[box][own] = distance.max()
    return depth, deepest


def distance_target(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Distance to the own cell's border over its largest value in that cell, or over ``DEEP`` where the cell is deeper.

    (Y, X), 0 … 1; 1 is also what lies deeper than ``DEEP``, so that the middle of a large cell can be told without
    seeing all of it.
    """
    depth, deepest = depths(labels)
    return np.minimum(depth / np.clip(deepest, 1, DEEP), 1)
