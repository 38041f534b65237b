"""Which cells were matched, missed and invented, as layers that differ in form, not in colour alone.

Matched cells are outlined (by the layer's ``contour``, which is set where the layer is added), missed ones hatched,
invented ones crossed out. The colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/) that people with
any kind of colour vision tell apart. No Qt here.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_dmu.engine.masks import counted
from napari_dmu.engine.progress import CancelToken, check
from napari_dmu.engine.stacks import as_stack, plane, plane_count
from napari_dmu.evaluation.segmentation_quality import matched_pairs
from napari_dmu.viewer.geometry import layer_options
from napari_dmu.viewer.layers import OUTLINE, LayerData, layer_name
from napari_dmu.viewer.record import Kind, RunRecord

COLOURS: dict[Kind, str] = {"matched": "#56b4e9", "missed": "#e69f00", "invented": "#f0e442"}
SYMBOLS: dict[Kind, str] = {"matched": "▢", "missed": "▨", "invented": "✕"}
STRIPES = 4  # about so many on a cell of middle size
CROSS = 0.6  # size of a cross as a share of its cell's diameter, so that the cell is seen round it
SMALLEST = 18.0  # of a cross, pixels; thinner ones drown in a hatching
SHARE = 25  # or so much of the image's shorter side: in a small image 18 pixels hide the cells
DARK = "#1a1a1a"  # round the crosses, so that they are seen on bright cells too; and behind the signs in the panel

AREA = "area (pixels)"

Rows = dict[str, NDArray[Any]]
Columns = dict[str, list[NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class CellsCompared:
    """The cells of a stack by what became of them.

    Attributes
    ----------
    matched, missed
        (..., Y, X) int32: matched cells under the ids of the labels; missed ones numbered 1 … n and hatched.
    centres, sizes
        (n, ndim) pixel indices and (n,) diameters in pixels of the invented cells.
    matched_rows, missed_rows, invented_rows
        A row a cell: what is known of it.
    counts
        Cells found in every plane.
    """

    matched: NDArray[np.int32]
    missed: NDArray[np.int32]
    centres: NDArray[np.float64]
    sizes: NDArray[np.float64]
    matched_rows: Rows
    missed_rows: Rows
    invented_rows: Rows
    counts: tuple[int, ...]

    @property
    def numbers(self) -> dict[Kind, int]:
        """How many cells of each kind, over all planes."""
        return {
            "matched": self.matched_rows["index"].size,
            "missed": self.missed_rows["index"].size,
            "invented": self.invented_rows["label"].size,
        }


def compare_cells(labels: Any, truth: Any, cancel: CancelToken | None = None) -> CellsCompared:
    """Match the cells of two stacks (..., Y, X) plane by plane, as the scores do (IoU ≥ 0.5).

    Raises
    ------
    SpecimenError
        Where they are no labels, or differ in shape.
    """
    found, true = (as_stack(counted(stack, cancel).labels) for stack in (labels, truth))
    kept, hatched = np.zeros(found.shape, np.int32), np.zeros(found.shape, np.int32)
    matched, missed, invented = Columns(), Columns(), Columns()
    counts = []
    for number in range(plane_count(found)):
        check(cancel)
        ours, theirs = plane(found, number), plane(true, number)
        index = tuple(int(i) for i in np.unravel_index(number, found.shape[:-2])) if found.ndim > 2 else ()
        matching = matched_pairs(ours, theirs)
        ids, ious = matching.pairs[:, 0], matching.ious
        counts.append(len(ids) + len(matching.invented))
        kept[index] = np.where(np.isin(ours, ids), ours, 0)
        _extend(matched, index=ids, truth=matching.pairs[:, 1], IoU=ious, Dice=2 * ious / (1 + ious))
        first = 1 + sum(part.size for part in missed.get("index", []))
        hatched[index], areas = _hatched(theirs, matching.missed, first)
        names = np.arange(first, first + matching.missed.size)
        _extend(missed, index=names, truth=matching.missed, **{AREA: areas})
        centres, areas = _centres(ours, matching.invented)
        places = np.column_stack([np.broadcast_to(index, (len(centres), len(index))), centres])
        _extend(invented, label=matching.invented, place=places, **{AREA: areas})
    rows = _joined(invented)
    centres, sizes = rows.pop("place").astype(np.float64), np.sqrt(4 / np.pi * rows[AREA])
    return CellsCompared(kept, hatched, centres, sizes, _joined(matched), _joined(missed), rows, tuple(counts))


def compared_layers(cells: CellsCompared, record: RunRecord) -> tuple[LayerData, LayerData, LayerData]:
    """Layers of the matched, missed and invented cells, on the specimen."""
    smallest = min(SMALLEST, min(cells.matched.shape[-2:]) / SHARE)
    return (
        _labels(cells.matched, record, "matched", cells.matched_rows),
        _labels(cells.missed, record, "missed", cells.missed_rows),
        (
            cells.centres,
            {
                **_common(record, "invented"),
                "features": cells.invented_rows,
                "size": np.maximum(CROSS * cells.sizes, smallest) if cells.sizes.size else SMALLEST,
                "symbol": "x",
                "face_color": COLOURS["invented"],
                "border_color": DARK,
                "border_width": 0.08,
                "ndim": record.geometry.ndim,
                "opacity": 1.0,
            },
            "points",
        ),
    )


def _labels(data: NDArray[np.int32], record: RunRecord, kind: Kind, rows: Rows) -> LayerData:
    colours = DirectLabelColormap(color_dict={None: COLOURS[kind], 0: "transparent"})
    options = {"features": rows, "colormap": colours, "opacity": 1.0}
    return data, {**_common(record, kind), **options}, "labels"


def _common(record: RunRecord, kind: Kind) -> dict[str, Any]:
    made = record.model_copy(update={"kind": kind})
    return {
        "name": layer_name(record, f"{kind} cells"),
        **layer_options(record.geometry),
        "metadata": made.as_metadata(),
    }


def _hatched(labels: NDArray[Any], ids: NDArray[np.int64], first: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The cells ``ids``, numbered from ``first`` on, as diagonal stripes within an outline; and their pixels."""
    inside = np.isin(labels, ids)
    place = np.searchsorted(ids, labels[inside])
    areas = np.bincount(place, minlength=ids.size)
    drawn = np.zeros(labels.shape, np.int32)
    drawn[inside] = place + first
    if not ids.size:
        return drawn, areas
    period = int(np.clip(np.sqrt(4 / np.pi * np.median(areas)) / STRIPES, 4, 40))
    y, x = np.ogrid[: labels.shape[0], : labels.shape[1]]
    kept = ((y + x) % period < max(1, period // 3)) | _edge(drawn)
    return np.where(kept, drawn, 0).astype(np.int32), areas


def _edge(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels within ``OUTLINE`` of another id or of the field's edge."""
    padded = np.pad(labels, OUTLINE)
    rows, columns = labels.shape[0], labels.shape[1]
    edge = np.zeros(labels.shape, dtype=bool)
    for step in range(-OUTLINE, OUTLINE + 1):
        for dy, dx in ((step, 0), (0, step)):
            shifted = padded[OUTLINE + dy : OUTLINE + dy + rows, OUTLINE + dx : OUTLINE + dx + columns]
            edge |= shifted != labels
    return edge


def _centres(labels: NDArray[Any], ids: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Centroids (n, 2) and pixels (n,) of the cells ``ids``."""
    y, x = np.nonzero(np.isin(labels, ids))
    place = np.searchsorted(ids, labels[y, x])
    areas = np.bincount(place, minlength=ids.size)
    sums = [np.bincount(place, weights=values, minlength=ids.size) for values in (y, x)]
    return np.column_stack(sums) / np.maximum(areas, 1)[:, None], areas


def _joined(columns: Columns) -> Rows:
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def _extend(columns: Columns, **values: NDArray[Any]) -> None:
    for name, value in values.items():
        columns.setdefault(name, []).append(np.asarray(value))
