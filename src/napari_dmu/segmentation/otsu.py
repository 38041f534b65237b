"""A segmenter without anything learned: Otsu's threshold, and a watershed on the distance to the border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from napari_dmu.segmentation.instances import drop_small

SMOOTHING = 1.0  # of the image, σ (pixels)
MIN_AREA = 25  # pixels
# Cells must stand out from the background's spread; noise that Otsu halves reaches 2.65, whatever its strength.
CONTRAST = 4.0
# A core is where the distance to the border exceeds this share of its largest value nearby.
CORE = 0.7


def otsu_watershed(image: NDArray[np.float32]) -> NDArray[np.int32]:
    """Bright cells on a dark background.

    The image is parted at Otsu's threshold (N. Otsu, IEEE Trans. Syst. Man Cybern. 9, 62, 1979), holes are filled,
    and touching cells are parted by a watershed on the smoothed distance to the border. An image without two clearly
    different brightnesses has no cells.

    Parameters
    ----------
    image
        (Y, X) float32, any units.

    Returns
    -------
    ndarray
        (Y, X) int32, 0 = background, cells 1 … n in scan order.
    """
    smooth = ndimage.gaussian_filter(np.asarray(image, dtype=np.float64), SMOOTHING)
    nothing = np.zeros(smooth.shape, dtype=np.int32)
    if smooth.size == 0 or not np.ptp(smooth) > 0:
        return nothing
    smooth = (smooth - smooth.min()) / np.ptp(smooth)  # a histogram needs room, whatever the units
    bright = smooth > threshold_otsu(smooth)
    inside, outside = smooth[bright], smooth[~bright]
    if inside.size == 0 or inside.mean() - outside.mean() < CONTRAST * outside.std():
        return nothing
    mask = ndimage.binary_fill_holes(bright)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask).astype(np.float32), 1.0)
    # Largest distance nearby, within about a cell's radius: what is small beside it is a neck, not a core.
    around = int(2 * np.percentile(distance[mask], 95)) | 1
    cores, _ = ndimage.label(mask & (distance > CORE * ndimage.maximum_filter(distance, size=around)))
    labels: NDArray[np.int32] = drop_small(watershed(-distance, markers=cores, mask=mask), MIN_AREA)
    return labels
