"""What can be said of each cell: area, brightness, place and shape; one row a cell, one column a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_dmu.errors import SpecimenError
from napari_dmu.microscope.measurement import ArrayLike

# Columns by name, all of one length; in the order in which they are shown.
CellTable: TypeAlias = dict[str, NDArray[np.generic]]

SHORT_UNITS = {"micrometer": "µm", "nanometer": "nm", "millimeter": "mm", "micron": "µm", "um": "µm"}


def label_features(
    labels: ArrayLike,
    image: ArrayLike | None = None,
    *,
    scale: Sequence[float] | None = None,
    translate: Sequence[float] | None = None,
    units: Sequence[str] | None = None,
    axes: Sequence[str] | None = None,
    affine: NDArray[np.floating] | None = None,
) -> CellTable:
    """Measure every cell of a plane or stack; read plane by plane.

    Parameters
    ----------
    labels
        (..., Y, X) whole numbers, 0 = background; ids need not differ between planes nor follow one another.
    image
        (..., Y, X), for the mean intensity of each cell, in its own units.
    scale, translate, units, axes
        Of the labels, one entry an axis; pixels where not given.
    affine
        (ndim + 1, ndim + 1), from pixel indices to the world, in place of ``scale`` and ``translate`` where the
        labels lie rotated or sheared.

    Returns
    -------
    dict
        A row a cell, ascending by plane and id. Columns: the index of the plane along each leading axis, by the
        axis's name; ``label``; ``area (pixels)``; the area in the unit of the world where it is known, e.g.
        ``area (µm²)``; ``mean intensity``; ``centroid y (…)`` and ``centroid x (…)`` in the world; and
        ``eccentricity``, that of the ellipse with the second moments of the cell in the world, 0 (round) … 1, as
        ``skimage.measure.regionprops`` defines it. Without cells the columns are there and empty.

    Raises
    ------
    SpecimenError
        Where labels are no whole numbers, or labels and image differ in shape.
    """
    _check(labels, image)
    ndim = labels.ndim
    world = _world(ndim, scale, translate) if affine is None else np.asarray(affine, dtype=np.float64)
    parts = [_plane_features(labels, image, index, world) for index in np.ndindex(*labels.shape[:-2])]
    ids = np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])
    figures = np.concatenate([np.empty((0, ndim + 3)), *(part[1] for part in parts)], axis=0)
    table: CellTable = {}
    for axis, name in enumerate(_leading_names(axes, ndim)):
        table[name] = figures[:, axis].astype(np.int64)
    lead = ndim - 2
    table["label"] = ids
    table["area (pixels)"] = figures[:, lead].astype(np.int64)
    names = _unit_names(ndim, units, world)
    if names != ("pixels", "pixels"):
        unit = f"{names[0]}²" if names[0] == names[1] else "·".join(names)
        table[f"area ({unit})"] = figures[:, lead] * _area_factor(world)
    if image is not None:
        table["mean intensity"] = figures[:, lead + 1]
    table[f"centroid y ({names[0]})"] = figures[:, lead + 2]
    table[f"centroid x ({names[1]})"] = figures[:, lead + 3]
    table["eccentricity"] = figures[:, lead + 4]
    return table


def _check(labels: ArrayLike, image: ArrayLike | None) -> None:
    if labels.ndim < 2 or np.dtype(labels.dtype).kind not in "iu":
        raise SpecimenError(
            f"The labels have shape {tuple(labels.shape)} and type {labels.dtype}: "
            "give whole numbers (…, Y, X), one per cell and 0 for the background."
        )
    if image is not None and tuple(image.shape) != tuple(labels.shape):
        raise SpecimenError(
            f"The labels have shape {tuple(labels.shape)}, the image {tuple(image.shape)}: "
            "measure cells in an image of the same field and stack."
        )


def _plane_features(
    labels: ArrayLike, image: ArrayLike | None, index: tuple[int, ...], world: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The ids, and a row a cell: index of the plane, pixels, mean intensity, world y, world x, eccentricity.

    The ids are kept apart because a float does not hold every one above 2**53.
    """
    plane = np.asarray(labels[index] if index else labels)
    y, x = np.nonzero(plane)
    ids, cell = np.unique(plane[y, x], return_inverse=True)
    if ids.size and (ids[0] < 0 or ids[-1] > np.iinfo(np.int64).max):
        raise SpecimenError("The labels hold ids below 0 or beyond 64 bits: number the cells from 1 on.")

    def mean(values: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.bincount(cell, weights=values, minlength=ids.size) / area

    area = np.bincount(cell, minlength=ids.size)
    intensity = np.full(ids.size, np.nan)
    if image is not None:
        intensity = mean(np.asarray(image[index] if index else image)[y, x])
    row, column = mean(y), mean(x)
    dy, dx = y - row[cell], x - column[cell]  # about the cell's own centre: exact far from the corner too
    moments = np.stack([mean(dy * dy), mean(dy * dx), mean(dx * dx)])
    places = np.empty((ids.size, world.shape[1]))
    places[:, :-3], places[:, -3], places[:, -2], places[:, -1] = index, row, column, 1.0
    centre = places @ world[-3:-1].T  # the rows of y and x
    planes = np.broadcast_to(np.asarray(index, dtype=np.float64), (ids.size, len(index)))
    figures = np.column_stack([planes, area, intensity, centre, _eccentricity(moments, world)])
    return ids.astype(np.int64), figures


def _eccentricity(moments: NDArray[np.float64], world: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the second moments (yy, yx, xx) in pixels of every cell."""
    (a, b), (_, d) = _metric(world)
    yy, yx, xx = moments
    # Eigenvalues of metric · covariance: those of the covariance in the world.
    trace = a * yy + 2 * b * yx + d * xx
    determinant = (a * d - b * b) * (yy * xx - yx * yx)
    root = np.sqrt(np.maximum(trace * trace / 4 - determinant, 0))
    large, small = trace / 2 + root, np.maximum(trace / 2 - root, 0)
    ratio = np.divide(small, large, out=np.ones_like(large), where=large > 0)
    return np.asarray(np.sqrt(np.clip(1 - ratio, 0, 1)))


def _metric(world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gram matrix of one pixel's steps in y and x."""
    steps = world[:-1, -3:-1]
    return np.asarray(steps.T @ steps)


def _area_factor(world: NDArray[np.float64]) -> float:
    (a, b), (_, d) = _metric(world)
    return float(np.sqrt(max(a * d - b * b, 0.0)))


def _world(ndim: int, scale: Sequence[float] | None, translate: Sequence[float] | None) -> NDArray[np.float64]:
    for name, value in (("scale", scale), ("translate", translate)):
        if value is not None and len(value) != ndim:
            raise SpecimenError(f"The {name} has {len(value)} entries, the labels {ndim} axes: give one an axis.")
    world = np.eye(ndim + 1)
    if scale is not None:
        world[range(ndim), range(ndim)] = scale
    if translate is not None:
        world[:-1, -1] = translate
    return world


def _unit_names(ndim: int, units: Sequence[str] | None, world: NDArray[np.float64]) -> tuple[str, str]:
    """What y and x are counted in: a short unit, ``pixels``, or ``world`` for a scale without a unit."""
    plain = "pixels" if np.array_equal(world, np.eye(ndim + 1)) else "world"
    given = ("pixel", "pixel") if units is None else tuple(str(unit) for unit in units)[-2:]
    y, x = (plain if unit in ("pixel", "pixels", "") else SHORT_UNITS.get(unit, unit) for unit in given)
    return y, x


def _leading_names(axes: Sequence[str] | None, ndim: int) -> list[str]:
    """Names of the leading axes; those that would hide another column are numbered instead."""
    names = [str(name) for name in axes[: ndim - 2]] if axes is not None else []
    clear = len(names) == ndim - 2 and len(set(names)) == len(names)
    clear = clear and not any(name in ("", "label", "index", "mean intensity", "eccentricity") for name in names)
    return names if clear else [f"axis {axis}" for axis in range(ndim - 2)]
