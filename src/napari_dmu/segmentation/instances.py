"""From foreground and distance to labelled cells, and from labelled cells to training targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import h_maxima
from skimage.segmentation import watershed

from napari_dmu.segmentation.settings import InstanceSettings


def instances(
    foreground: NDArray[np.floating], distance: NDArray[np.floating], settings: InstanceSettings
) -> NDArray[np.int32]:
    """Marker-controlled watershed on the distance map, within the foreground.

    Markers are the maxima of the smoothed distance that rise by ``prominence`` above every saddle, so that
    every connected piece of foreground gets one at least. Deterministic.

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
    # Outside the mask the map falls well below every maximum, so each piece of foreground has its own.
    relief = np.where(mask, np.maximum(smooth, 0.0) + 1.0, 0.0)
    markers, _ = ndimage.label(h_maxima(relief, settings.prominence), structure=np.ones((3, 3)))
    labels = watershed(-relief, markers=markers, mask=mask)
    return drop_small(labels, settings.min_area)


def drop_small(labels: NDArray[np.integer], min_area: int) -> NDArray[np.int32]:
    """Remove cells below ``min_area`` pixels and number the others 1 … n in scan order."""
    areas = np.bincount(labels.ravel())
    keep = areas >= min_area
    keep[0] = False
    numbers = np.where(keep, np.cumsum(keep), 0).astype(np.int32)
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
