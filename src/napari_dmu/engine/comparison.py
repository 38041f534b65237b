"""Comparison with the ground truth, plane by plane."""

from __future__ import annotations

import math

import numpy as np
from pydantic import BaseModel, ConfigDict

from napari_dmu.engine.masks import counted, pieces_sentence
from napari_dmu.engine.progress import CancelToken, Progress, check, report
from napari_dmu.engine.stacks import as_stack, plane, plane_count, stack_range
from napari_dmu.errors import SettingsError, SpecimenError
from napari_dmu.evaluation.image_quality import ImageQuality, image_quality
from napari_dmu.evaluation.segmentation_quality import SegmentationQuality, pool, segmentation_quality
from napari_dmu.microscope.measurement import ArrayLike

FLAT = "The true image has one value everywhere, so its figures say nothing: compare images with something in them."


class Comparison(BaseModel):
    """Means over planes; the cell figures are None where no labels were compared.

    Attributes
    ----------
    psnr
        dB, data range 1; infinite planes (equal images) are left out unless all are.
    ssim, nrmse, mse
        See ``evaluation.image_quality``.
    ap50, f1, precision, recall, ap, mean_dice
        See ``evaluation.segmentation_quality``.
    count, truth_count, count_error
        Cells over all planes, and how many too many (below 0: too few).
    notes
        Sentences on what the figures mean where that is not plain.
    planes
        The image figures of each plane.
    """

    model_config = ConfigDict(frozen=True)

    psnr: float
    ssim: float
    nrmse: float
    mse: float
    plane_count: int
    ap50: float | None = None
    f1: float | None = None
    precision: float | None = None
    recall: float | None = None
    ap: float | None = None
    mean_dice: float | None = None
    count: int | None = None
    truth_count: int | None = None
    count_error: int | None = None
    notes: tuple[str, ...] = ()
    planes: tuple[ImageQuality, ...] = ()


def compare_planes(
    image: ArrayLike,
    truth: ArrayLike,
    labels: ArrayLike | None,
    truth_labels: ArrayLike | None,
    *,
    limits: tuple[float, float] | None = None,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> Comparison:
    """See ``engine.verbs.compare``."""
    if (labels is None) != (truth_labels is None):
        raise SettingsError("Cells are compared in pairs: give both the labels and the true labels, or neither.")
    found, true = as_stack(image), as_stack(truth)
    cells = None if labels is None else (as_stack(labels), as_stack(truth_labels))
    for name, other in zip(("reconstruction", "labels", "true labels"), (found, *(cells or ())), strict=False):
        if tuple(other.shape) != tuple(true.shape):
            raise SpecimenError(
                f"The shapes differ: {tuple(other.shape)} of the {name} and {tuple(true.shape)} of the true image: "
                "compare images of the same field and stack."
            )
    notes: list[str] = []
    if cells is not None:
        pair = [counted(stack, cancel) for stack in cells]
        cells = (pair[0].labels, pair[1].labels)
        if masks := [name for name, made in zip(("labels", "true labels"), pair, strict=True) if made.pieces]:
            notes.append(pieces_sentence(masks))
    limits = limits or stack_range(true, cancel)
    planes: list[ImageQuality] = []
    matches: list[SegmentationQuality] = []
    total = plane_count(true)
    values: set[float] = set()
    for index in range(total):
        check(cancel)
        truth_plane = plane(true, index)
        values |= {float(truth_plane.min()), float(truth_plane.max())}
        planes.append(image_quality(plane(found, index), truth_plane, limits=limits))
        if cells is not None:
            matches.append(segmentation_quality(plane(cells[0], index), plane(cells[1], index)))
        report(progress, index + 1, total, "Comparing")
    if len(values) == 1:
        notes.append(FLAT)
    return _means(planes, pool(matches) if matches else None).model_copy(update={"notes": tuple(notes)})


def _means(planes: list[ImageQuality], cells: SegmentationQuality | None) -> Comparison:
    finite = [p.psnr for p in planes if math.isfinite(p.psnr)]
    scores = {
        "psnr": float(np.mean(finite)) if finite else math.inf,
        "ssim": float(np.mean([p.ssim for p in planes])),
        "nrmse": float(np.mean([p.nrmse for p in planes])),
        "mse": float(np.mean([p.mse for p in planes])),
    }
    names = ("ap50", "f1", "precision", "recall", "ap", "mean_dice", "count", "truth_count", "count_error")
    from_cells = {} if cells is None else {name: getattr(cells, name) for name in names}
    return Comparison(**scores, **from_cells, plane_count=len(planes), planes=tuple(planes))
