"""What is asked of two planes before they are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dmu.errors import SpecimenError

Plane = NDArray[np.float64]


def two_planes(image: ArrayLike, truth: ArrayLike) -> tuple[Plane, Plane]:
    """Both planes as finite float64 of one 2D shape.

    Raises
    ------
    SpecimenError
        If a plane is not 2D, is empty, holds NaN or infinity, or if the shapes differ.
    """
    image_plane, truth_plane = _plane(image, "image"), _plane(truth, "truth")
    if image_plane.shape != truth_plane.shape:
        raise SpecimenError(
            f"The image has shape {image_plane.shape} but the truth has shape {truth_plane.shape}; "
            "compare planes of the same field."
        )
    return image_plane, truth_plane


def _plane(values: ArrayLike, name: str) -> Plane:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise SpecimenError(f"The {name} has type {array.dtype}; give a plane of real numbers.")
    if array.ndim != 2 or array.size == 0:
        raise SpecimenError(f"The {name} has shape {array.shape}; give one non-empty plane (Y, X) at a time.")
    plane: Plane = array.astype(np.float64)
    if not np.isfinite(plane).all():
        raise SpecimenError(f"The {name} holds NaN or infinite pixels; replace or crop them first.")
    return plane
