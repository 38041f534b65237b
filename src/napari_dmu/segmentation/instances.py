"""From foreground and distance to labelled cells, and from labelled cells to training targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

from napari_dmu.segmentation.settings import InstanceSettings


def instances(
    foreground: NDArray[np.floating], distance: NDArray[np.floating], settings: InstanceSettings
) -> NDArray[np.int32]:
    """Marker-controlled watershed on the distance map, within the foreground.

    The markers are the connected cores in which the smoothed distance exceeds ``core``; a piece of foreground
    without a core is a cell of its own. Deterministic.

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
    mask = foreground > settings.foreground
    if not mask.any():
        return np.zeros(mask.shape, dtype=np.int32)
    smooth = ndimage.gaussian_filter(np.asarray(distance, dtype=np.float32), settings.smoothing)
    markers, cores = ndimage.label(mask & (smooth > settings.core), structure=np.ones((3, 3)))
    pieces, count = ndimage.label(mask)
    has_core = np.zeros(count + 1, dtype=bool)
    has_core[pieces[markers > 0]] = True
    lone = mask & ~has_core[pieces]
    markers[lone] = pieces[lone] + cores
    return drop_small(watershed(-smooth, markers=markers, mask=mask), settings.min_area)


def drop_small(labels: NDArray[np.integer], min_area: int) -> NDArray[np.int32]:
    """Remove cells below ``min_area`` pixels and number the others 1 … n in scan order."""
    areas = np.bincount(labels.ravel())
    keep = areas >= min_area
    keep[0] = False
    # In scan order: by the first pixel of each cell.
    first = np.full(areas.size, labels.size)
    present, place = np.unique(labels, return_index=True)
    first[present] = place
    order = np.argsort(np.where(keep, first, labels.size), kind="stable")
    numbers = np.zeros(areas.size, dtype=np.int32)
    numbers[order[: int(keep.sum())]] = np.arange(1, int(keep.sum()) + 1)
    return np.asarray(numbers[labels], dtype=np.int32)


def distance_target(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """Distance to the own cell's border over its largest value in that cell: (Y, X), 0 … 1."""
    target = np.zeros(labels.shape, dtype=np.float32)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        inside = np.pad(labels[box] == number, 1)
        distance = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
        target[box] = np.where(inside[1:-1, 1:-1], distance / distance.max(), target[box])
    return target
