"""Where layers lie: scale, translate, units, axis labels and matrices, and what follows from them for results."""

import re
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_dmu.microscope.measurement import MeasurementInfo
from napari_dmu.viewer.record import Geometry, Matrix

PATTERN = "pattern"


def is_default(label: str) -> bool:
    """Whether napari made the axis label up, as ``"-3"``."""
    return re.fullmatch(r"-\d+", label) is not None


def _matrix(value: Any, ndim: int) -> Matrix | None:
    """A square matrix as nested tuples; None where it changes nothing."""
    matrix = np.asarray(value, dtype=float)
    if matrix.shape == () or np.allclose(matrix, np.eye(ndim)):
        return None
    return tuple(tuple(float(v) for v in row) for row in matrix)


def geometry_of(layer: Any) -> Geometry:
    """Where a layer lies."""
    _, attributes, _ = layer.as_layer_data_tuple()
    ndim = int(layer.ndim)
    shear = np.asarray(attributes.get("shear", 0.0), dtype=float)
    if shear.ndim == 1:  # napari lists the upper triangle
        upper = np.eye(ndim)
        upper[np.triu_indices(ndim, 1)] = shear
        shear = upper
    return Geometry(
        axis_labels=tuple(str(label) for label in layer.axis_labels),
        scale=tuple(float(v) for v in layer.scale),
        translate=tuple(float(v) for v in layer.translate),
        units=tuple(str(unit) for unit in layer.units),
        rotate=_matrix(attributes.get("rotate", 0.0), ndim),
        shear=_matrix(shear, ndim),
        affine=_matrix(attributes.get("affine", 0.0), ndim + 1),
    )


def layer_options(geometry: Geometry) -> dict[str, Any]:
    """Keyword arguments that put a new layer there."""
    options: dict[str, Any] = {
        "axis_labels": geometry.axis_labels,
        "scale": geometry.scale,
        "translate": geometry.translate,
        "units": geometry.units,
    }
    for name in ("rotate", "shear", "affine"):
        matrix = getattr(geometry, name)
        if matrix is not None:
            options[name] = np.asarray(matrix)
    return options


def part_geometry(whole: Geometry, start: ArrayLike) -> Geometry:
    """Where a part of a layer lies whose first pixel has these indices, which may be fractions, in the whole."""
    shift = np.asarray(start) * np.asarray(whole.scale)
    for matrix in (whole.shear, whole.rotate):
        if matrix is not None:
            shift = np.asarray(matrix) @ shift
    translate = tuple(float(v) for v in np.asarray(whole.translate) + shift)
    return whole.model_copy(update={"translate": translate})


def detector_geometry(specimen: Geometry, bin_: int) -> Geometry:
    """Where the measurement of a specimen lies: (pattern, ..., y, x), each detector pixel over its d × d block."""
    wide = np.ones(specimen.ndim)
    wide[-2:] = bin_
    moved = part_geometry(specimen, (wide - 1) / 2)  # to the first sample's centre
    labels = list(specimen.axis_labels)
    if all(is_default(label) for label in labels[-2:]):
        labels[-2:] = ["y", "x"]
    return Geometry(
        axis_labels=(PATTERN, *labels),
        scale=(1.0, *(float(v) for v in np.asarray(specimen.scale) * wide)),
        translate=(0.0, *moved.translate),
        units=("pixel", *specimen.units),
        rotate=_with_leading_axis(specimen.rotate),
        shear=_with_leading_axis(specimen.shear),
        affine=_with_leading_axis(specimen.affine),
    )


def _with_leading_axis(matrix: Matrix | None) -> Matrix | None:
    if matrix is None:
        return None
    larger = np.eye(len(matrix) + 1)
    larger[1:, 1:] = matrix
    return tuple(tuple(float(v) for v in row) for row in larger)


def geometry_from_info(info: MeasurementInfo) -> Geometry:
    """Where the specimen of a stored measurement lies; a unit that napari does not know is left out."""
    units = tuple(unit if _is_unit(unit) else "pixel" for unit in info.units)
    return Geometry(axis_labels=info.axes, scale=info.scale, translate=info.translate, units=units)


def _is_unit(name: str) -> bool:
    """Whether napari takes it for a unit."""
    from napari.utils.transforms import Affine

    try:
        Affine(units=(name, name))
    except Exception:  # what is no unit fails in many ways
        return False
    return True


def world_matrix(geometry: Geometry) -> NDArray[np.float64]:
    """From pixel indices to the world, (ndim + 1, ndim + 1), as napari composes it."""
    matrix = np.eye(geometry.ndim + 1)
    linear = np.diag(geometry.scale)
    for own in (geometry.shear, geometry.rotate):
        if own is not None:
            linear = np.asarray(own) @ linear
    matrix[:-1, :-1], matrix[:-1, -1] = linear, geometry.translate
    return matrix if geometry.affine is None else np.asarray(geometry.affine) @ matrix
