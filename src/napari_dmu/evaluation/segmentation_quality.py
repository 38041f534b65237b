"""How well cells were found: matching of instance labels, counts, F1, Dice and average precision."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict
from scipy import sparse
from scipy.optimize import linear_sum_assignment
from scipy.sparse.csgraph import connected_components

from ..errors import SettingsError, SpecimenError

__all__ = ["Matching", "SegmentationQuality", "matched_pairs", "pool", "segmentation_quality"]

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

# 0.50, 0.55 ... 0.95 as quotients: the doubles nearest to these decimals, as an IoU of 11 / 20 is too.
AP_THRESHOLDS: tuple[float, ...] = tuple(percent / 100 for percent in range(50, 100, 5))
_LARGEST_FLOAT = 2.0**53  # beyond it neighbouring ids are one and the same float


@dataclass(frozen=True, eq=False)
class Matching:
    """Which object is which.

    Attributes
    ----------
    pairs : ndarray of int64, shape (n, 2)
        Matched objects: id in the labels, id in the truth; ascending by the first.
    ious : ndarray of float64, shape (n,)
        Intersection over union of each pair.
    missed : ndarray of int64
        Ids of the truth without partner, ascending.
    invented : ndarray of int64
        Ids of the labels without partner, ascending.
    """

    pairs: Ids
    ious: Floats
    missed: Ids
    invented: Ids


class SegmentationQuality(BaseModel):
    """Scores of the labels of one plane (or several, see `pool`) against the truth.

    Scores are 1 where labels and truth are both empty and 0 where only one of them is.

    Attributes
    ----------
    iou : float
        Intersection over union from which on (>=) two objects match, for all fields but ``ap50`` and ``ap``.
    precision, recall, f1 : float
        matched / (matched + invented), matched / (matched + missed), and their harmonic mean.
    ap50 : float
        matched / (matched + missed + invented) at IoU >= 0.5, whatever ``iou`` is.
    ap : float
        The same, mean over IoU >= 0.50, 0.55 ... 0.95.
    mean_dice, mean_iou : float
        Means over the matched pairs; 0 where nothing matched.
    matched, missed, invented : int
        Pairs, objects of the truth without partner, objects of the labels without partner.
    count, truth_count, count_error : int
        Objects in the labels, in the truth, and the difference ``count - truth_count``.
    """

    model_config = ConfigDict(frozen=True)

    iou: float
    precision: float
    recall: float
    f1: float
    ap50: float
    ap: float
    mean_dice: float
    mean_iou: float
    matched: int
    missed: int
    invented: int
    count: int
    truth_count: int
    count_error: int


def segmentation_quality(labels: ArrayLike, truth: ArrayLike, iou: float = 0.5) -> SegmentationQuality:
    """Score instance labels against the truth.

    Parameters
    ----------
    labels, truth : array_like of int, shape (Y, X)
        Instance labels, 0 = background; ids are arbitrary (gaps and large ids cost nothing). A bool plane is one
        object, and floats are taken where all of them are whole numbers.
    iou : float
        Intersection over union from which on (>=, as in StarDist) two objects match; 0 < iou <= 1.

    Returns
    -------
    SegmentationQuality

    Raises
    ------
    SpecimenError
        If the shapes differ, a plane is not 2D or empty, or the labels are not whole numbers >= 0.
    SettingsError
        If ``iou`` is not above 0 and at most 1.

    Notes
    -----
    Pairing is one to one.  Among all pairings the one with the most pairs is taken, and among those the one
    with the largest sum of IoU.  Above an IoU of 0.5 there is only one possible pairing.
    """
    _check_iou(iou)
    overlaps = _Overlaps.of(labels, truth)
    count, truth_count = overlaps.label_ids.size, overlaps.truth_ids.size
    ious = overlaps.ious[overlaps.assign(iou)]
    matched = ious.size
    missed, invented = truth_count - matched, count - matched
    numbers = {threshold: overlaps.assign(threshold).size for threshold in AP_THRESHOLDS}
    precisions = [_share(n, count + truth_count - n) for n in numbers.values()]
    both_empty = count == 0 and truth_count == 0
    return SegmentationQuality(
        iou=iou,
        # With one side empty the denominator is zero as well, and the score is 0, not 1.
        precision=_share(matched, count) if count or both_empty else 0.0,
        recall=_share(matched, truth_count) if truth_count or both_empty else 0.0,
        f1=_share(2 * matched, count + truth_count),
        ap50=precisions[0],
        ap=float(np.mean(precisions)),
        mean_dice=_mean(2 * ious / (1 + ious), both_empty),
        mean_iou=_mean(ious, both_empty),
        matched=matched,
        missed=missed,
        invented=invented,
        count=count,
        truth_count=truth_count,
        count_error=count - truth_count,
    )


def matched_pairs(labels: ArrayLike, truth: ArrayLike, iou: float = 0.5) -> Matching:
    """Pair the objects of two label planes, for drawing what was matched, missed and invented.

    Parameters, errors and the rule of pairing are those of `segmentation_quality`.

    Returns
    -------
    Matching
        Pairs of ids (label, truth), their IoU, the missed and the invented ids.
    """
    _check_iou(iou)
    overlaps = _Overlaps.of(labels, truth)
    chosen = overlaps.assign(iou)
    rows, columns = overlaps.rows[chosen], overlaps.columns[chosen]
    return Matching(
        pairs=np.stack([overlaps.label_ids[rows], overlaps.truth_ids[columns]], axis=1),
        ious=overlaps.ious[chosen],
        missed=np.delete(overlaps.truth_ids, columns),
        invented=np.delete(overlaps.label_ids, rows),
    )


def pool(planes: Sequence[SegmentationQuality]) -> SegmentationQuality:
    """Scores of a stack: mean over planes of every score, sum over planes of every count.

    Every plane has the same weight, however many cells it holds.  ``count_error`` is the error of the total:
    a cell too many in one plane and one too few in another cancel.

    Raises
    ------
    SettingsError
        If there is no plane, or if the planes were scored with different ``iou``.
    """
    if not planes:
        raise SettingsError("There are no planes to pool; score at least one plane first.")
    if len({plane.iou for plane in planes}) > 1:
        raise SettingsError("The planes were scored with different IoU; score them all with the same one.")
    pooled: dict[str, float] = {}
    for name, field in SegmentationQuality.model_fields.items():
        values = [getattr(plane, name) for plane in planes]
        pooled[name] = sum(values) if field.annotation is int else float(np.mean(values))
    pooled["iou"] = planes[0].iou  # not the mean, which may differ in the last digit
    return SegmentationQuality.model_validate(pooled)


@dataclass(frozen=True, eq=False)
class _Overlaps:
    """The sparse IoU matrix of two label planes: only pairs that share a pixel are held."""

    label_ids: Ids  # (n,) ascending
    truth_ids: Ids  # (m,) ascending
    rows: NDArray[np.intp]  # (k,) index into label_ids, ascending
    columns: NDArray[np.intp]  # (k,) index into truth_ids
    ious: Floats  # (k,)

    @classmethod
    def of(cls, labels: ArrayLike, truth: ArrayLike) -> "_Overlaps":
        a, b = _label_plane(labels, "labels"), _label_plane(truth, "truth labels")
        if a.shape != b.shape:
            raise SpecimenError(
                f"The labels have shape {a.shape} but the truth labels have shape {b.shape}; "
                "compare planes of the same field."
            )
        label_ids, i = _sequential(a)
        truth_ids, j = _sequential(b)
        label_sizes = np.bincount(i, minlength=label_ids.size + 1)
        truth_sizes = np.bincount(j, minlength=truth_ids.size + 1)
        both = (i > 0) & (j > 0)
        i, j = i[both], j[both]
        shape = (label_ids.size + 1, truth_ids.size + 1)
        # Changing to CSR adds up repeated entries: the number of shared pixels of every touching pair.
        table = sparse.coo_array((np.ones(i.size, np.int64), (i, j)), shape=shape).tocsr().tocoo()
        rows, columns = table.row.astype(np.intp), table.col.astype(np.intp)
        union = label_sizes[rows] + truth_sizes[columns] - table.data
        order = np.lexsort((columns, rows))
        ious: Floats = table.data / union
        return cls(label_ids, truth_ids, (rows - 1)[order], (columns - 1)[order], ious[order])

    def assign(self, threshold: float) -> NDArray[np.intp]:
        """Indices (ascending) of the best one-to-one set of pairs with IoU >= threshold.

        Objects that compete for partners form small groups; each group is solved on its own, which gives the
        same answer as one assignment over all objects without ever holding a dense n x m matrix.
        """
        candidates = np.flatnonzero(self.ious >= threshold)
        rows, columns = self.rows[candidates], self.columns[candidates]
        n, m = self.label_ids.size, self.truth_ids.size
        rivals = np.maximum(np.bincount(rows, minlength=n)[rows], np.bincount(columns, minlength=m)[columns])
        contested = rivals > 1
        if not contested.any():
            return candidates
        graph = sparse.coo_array((np.ones(rows.size), (rows, columns + n)), shape=(n + m, n + m))
        group_of = connected_components(graph, directed=False)[1][rows]
        open_pairs = np.flatnonzero(contested)
        open_pairs = open_pairs[np.argsort(group_of[open_pairs], kind="stable")]
        borders = np.flatnonzero(np.diff(group_of[open_pairs])) + 1
        chosen = [np.flatnonzero(~contested)]
        for group in np.split(open_pairs, borders):
            chosen.append(group[_best_pairs(rows[group], columns[group], self.ious[candidates[group]])])
        return candidates[np.sort(np.concatenate(chosen))]


def _best_pairs(rows: NDArray[np.intp], columns: NDArray[np.intp], ious: Floats) -> NDArray[np.intp]:
    """Choose pairs within one group: as many as possible, then the largest sum of IoU."""
    row_ids, i = np.unique(rows, return_inverse=True)
    column_ids, j = np.unique(columns, return_inverse=True)
    most = min(row_ids.size, column_ids.size)
    index = np.full((row_ids.size, column_ids.size), -1, np.intp)
    index[i, j] = np.arange(rows.size)
    gain = np.zeros(index.shape)
    # All IoU together are worth at most half a pair, so one pair more always wins.
    gain[i, j] = 1.0 + ious / (2 * most)
    picked: NDArray[np.intp] = index[linear_sum_assignment(gain, maximize=True)]
    return picked[picked >= 0]


def _sequential(plane: Ids) -> tuple[Ids, NDArray[np.intp]]:
    """Ids in use without the background, ascending, and the flat plane renumbered 0, 1 ... n."""
    flat = plane.ravel()
    top = int(flat.max())
    if top <= 4 * flat.size:  # a lookup table is several times faster than sorting, and small here
        present = np.zeros(top + 1, bool)
        present[flat] = True
        present[0] = False
        lookup = np.cumsum(present, dtype=np.intp)
        lookup[~present] = 0
        return np.flatnonzero(present).astype(np.int64), lookup[flat]
    ids, numbers = np.unique(flat, return_inverse=True)
    if ids[0] == 0:
        return ids[1:], numbers.astype(np.intp)
    return ids, numbers.astype(np.intp) + 1


def _label_plane(values: ArrayLike, name: str) -> Ids:
    array = np.asarray(values)
    if not _is_whole(array):
        raise SpecimenError(
            f"The {name} have type {array.dtype}; give whole numbers, one per cell and 0 for the background."
        )
    if array.ndim != 2 or array.size == 0:
        raise SpecimenError(f"The {name} have shape {array.shape}; give one non-empty plane (Y, X).")
    if array.min() < 0 or array.max() > (_LARGEST_FLOAT if array.dtype.kind == "f" else np.iinfo(np.int64).max):
        raise SpecimenError(f"The {name} hold ids below 0 or beyond 64 bits; relabel the cells from 1 on.")
    plane: Ids = array.astype(np.int64)
    return plane


def _is_whole(array: NDArray[np.generic]) -> bool:
    """Whether all values are whole numbers, in whatever type: many programs save labels as floats."""
    if array.dtype.kind != "f":
        return array.dtype.kind in "iub"
    return bool(np.all(np.isfinite(array) & (np.rint(array) == array)))


def _check_iou(iou: float) -> None:
    if not 0 < iou <= 1:
        raise SettingsError(f"The IoU from which on cells match must be above 0 and at most 1, not {iou}.")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _mean(values: Floats, both_empty: bool) -> float:
    return float(values.mean()) if values.size else float(both_empty)
