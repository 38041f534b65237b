"""The border between layers and arrays, which specimens, measurements and results cross; see ``geometry`` for places.

napari aligns layers by their last axes. The index of the pattern therefore comes first in a measurement layer,
(pattern, ..., y, x), so that every other axis, its slider and its unit stay those of the specimen; on this side of the
border, and in files, measurements are (..., pattern, y, x).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, array

from napari_dmu.errors import PatternSetError, SpecimenError
from napari_dmu.files.pictures import Luminance
from napari_dmu.microscope.measurement import Measurement, check_specimen
from napari_dmu.segmentation.features import CellTable, label_features
from napari_dmu.viewer.geometry import PATTERN, detector_geometry, geometry_of, is_default, layer_options, world_matrix
from napari_dmu.viewer.record import Geometry, Kind, Look, RunRecord, read_record

LayerData = tuple[Any, dict[str, Any], str]
OUTLINE = 2  # width of a cell's outline in pixels of the image
LONGEST_NAME = 21  # characters of a specimen's name in those of its results
# Of a mask: rows that are looked at, and the share of neighbours in the foreground that are of one cell.
SAMPLED_ROWS, SAME_CELL = 64, 0.8


@dataclass(frozen=True)
class SpecimenInput:
    """A specimen layer as arrays and settings; nothing of napari in it, so that it may go to a thread."""

    data: Any
    name: str
    layer_id: str
    geometry: Geometry
    look: Look
    intensity_range: tuple[float, float] | None = None  # of what this is a part of; None is its own

    @property
    def axes(self) -> tuple[str, ...]:
        """Names for files and records: lower case, all different, the last two ``"y"`` and ``"x"``."""
        leading = self.geometry.axis_labels[:-2]
        names = [f"axis {i}" if is_default(name) else name.strip().lower() for i, name in enumerate(leading)]
        clear = len(set(names)) == len(names) and not set(names) & {"", "y", "x", PATTERN}
        return (*(names if clear else (f"axis {i}" for i in range(len(names)))), "y", "x")

    def simulate_options(self) -> dict[str, Any]:
        """What ``simulate`` wants to know about the axes."""
        geometry = self.geometry
        return {
            "axes": self.axes,
            "scale": geometry.scale,
            "translate": geometry.translate,
            "units": geometry.units,
        }


def is_rgb(layer: Any) -> bool:
    """Whether the layer holds colours."""
    return bool(getattr(layer, "rgb", False))


def looks_like_mask(layer: Any) -> bool:
    """Whether an image layer seems to hold numbered cells: whole numbers, a background of zeros, areas of one value.

    Or none at all: nothing but zeros. Judged by some rows of the fullest of three planes; an image that is read as it
    is needed is not read for this.
    """
    data = array_of(layer)
    if is_rgb(layer) or not isinstance(data, np.ndarray) or data.ndim < 2 or data.size == 0:
        return False
    if layer.dtype == np.bool_:
        return True
    if not np.issubdtype(layer.dtype, np.integer):
        return False
    planes = (data[tuple(n * part // 4 for n in data.shape[:-2])] for part in (1, 2, 3))
    rows = max((p[:: max(1, p.shape[0] // SAMPLED_ROWS)] for p in planes), key=np.count_nonzero)
    if not rows.any():
        return True
    inside = (rows[:, 1:] > 0) & (rows[:, :-1] > 0)
    alike = rows[:, 1:] == rows[:, :-1]
    return bool((rows == 0).any() and inside.any() and alike[inside].mean() > SAME_CELL)


def may_be_mask(layer: Any) -> bool:
    """Whether an image that is read as it is needed, so that nobody has looked, holds whole numbers as a mask does."""
    data = array_of(layer)
    whole = np.issubdtype(layer.dtype, np.integer) or layer.dtype == np.bool_
    return whole and not is_rgb(layer) and not isinstance(data, np.ndarray)


def array_of(layer: Any) -> Any:
    """The layer's data; of a pyramid the full resolution."""
    return layer.data[0] if layer.multiscale else layer.data


def specimen_shape(layer: Any) -> tuple[int, ...]:
    """Shape of the specimen, (..., Y, X), without reading it."""
    shape = tuple(int(n) for n in array_of(layer).shape)
    return shape[:-1] if is_rgb(layer) else shape


def specimen_of(layer: Any, *, luminance: bool = False) -> SpecimenInput:
    """Take a specimen out of an image layer.

    Raises
    ------
    SpecimenError
        Where the layer is in colour (and ``luminance`` is off), has fewer than two axes or holds no numbers.
    """
    data = array_of(layer)
    if is_rgb(layer):
        if not luminance:
            raise SpecimenError(
                f"'{layer.name}' is a colour image: tick 'Use its luminance', or split its channels first."
            )
        data = Luminance(data)
    check_specimen(tuple(data.shape), np.dtype(data.dtype))
    limits = getattr(layer, "contrast_limits", None)
    colormap = getattr(getattr(layer, "colormap", None), "name", "gray")
    look = Look(
        contrast_limits=None if limits is None else (float(limits[0]), float(limits[1])),
        colormap=colormap if isinstance(colormap, str) and not is_rgb(layer) else "gray",
        gamma=float(getattr(layer, "gamma", 1.0)),
    )
    return SpecimenInput(data, str(layer.name), str(layer.unique_id), geometry_of(layer), look)


def measurement_layer(measurement: Measurement, record: RunRecord) -> LayerData:
    """An image layer of the T frames, (pattern, ..., y, x), that lies exactly on the specimen."""
    geometry = detector_geometry(record.geometry, measurement.info.acquisition.bin)
    frames = np.moveaxis(measurement.data, -3, 0)
    options = {
        "name": layer_name(record, "measurement"),
        "colormap": "gray",
        "rgb": False,
        "interpolation2d": "nearest",  # a detector pixel is a square
        **_limits(frames),
    }
    return frames, {**options, **layer_options(geometry), "metadata": record.as_metadata()}, "image"


def reconstruction_layer(image: NDArray[np.floating], record: RunRecord) -> LayerData:
    """An image layer on the specimen, shown as the specimen is."""
    look = record.look
    limits = {"contrast_limits": look.contrast_limits} if look.contrast_limits else _limits(image)
    options = {
        "name": layer_name(record, "reconstruction"),
        "colormap": look.colormap,
        "gamma": look.gamma,
        "rgb": False,
        **limits,
    }
    return image, {**options, **layer_options(record.geometry), "metadata": record.as_metadata()}, "image"


def labels_layer(labels: NDArray[np.integer], record: RunRecord, image: Any = None) -> LayerData:
    """A labels layer on the specimen with a table of its cells, measured in the reconstruction where it is given.

    Ids are made unique over the stack, because napari's table has one row for each of them.
    """
    unique = unique_in_stack(labels)
    table = label_features(
        unique, image, units=record.geometry.units, axes=record.info.axes, affine=world_matrix(record.geometry)
    )
    options = {"name": layer_name(record, "labels"), "features": features_of(table)}
    return unique, {**options, **layer_options(record.geometry), "metadata": record.as_metadata()}, "labels"


def unique_in_stack(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Cells numbered 1 … n over all planes of (..., Y, X), plane after plane."""
    result = np.zeros(labels.shape, dtype=np.int32)
    used = 0
    for index in np.ndindex(*labels.shape[:-2]):
        ids, numbers = np.unique(labels[index], return_inverse=True)
        first = 0 if ids[0] == 0 else 1
        numbers = numbers.reshape(labels.shape[-2:]) + first
        result[index] = np.where(numbers > 0, numbers + used, 0)
        used += ids.size - 1 + first
    return result


def features_of(table: CellTable) -> DataFrame:
    """A table of cells as napari wants it: row k belongs to label k, so the background has a (blank) row too."""
    columns: dict[str, Any] = {"index": np.arange(table["label"].size + 1)}
    for name, values in table.items():
        if name != "label":
            whole = np.issubdtype(values.dtype, np.integer)
            columns[name] = array([None, *values.tolist()], dtype="Int64" if whole else "float64")
    return DataFrame(columns)


def measurement_of(layer: Any) -> Measurement:
    """Take a measurement, (..., pattern, y, x), out of the layer that shows it.

    Raises
    ------
    PatternSetError
        Where the layer is no measurement, or its data were changed after it was made.
    """
    record = record_of(layer)
    if record is None or record.kind != "measurement":
        raise PatternSetError(f"'{layer.name}' is no compressed measurement: press Measure, or open a measurement.")
    data, info = array_of(layer), record.info
    frame = info.acquisition.bins(info.field)
    if data.ndim != len(info.axes) + 1 or (int(data.shape[0]), *data.shape[-2:]) != (
        info.acquisition.exposures,
        *frame,
    ):
        raise PatternSetError(f"'{layer.name}' was cut or transposed after it was measured: measure again.")
    return Measurement(np.moveaxis(data, 0, -3), info)


def record_of(layer: Any, kind: Kind | None = None) -> RunRecord | None:
    """The run record of a layer, None where it has none (or is of another kind)."""
    record = read_record(layer.metadata)
    return None if record is None or (kind is not None and record.kind != kind) else record


def layer_name(record: RunRecord, what: str) -> str:
    """What a result is called: its specimen, its instrument, and what it is.

    Of a long name the middle is left out: the end of the whole, which tells results apart, must fit above a picture.
    """
    return " · ".join(part for part in (shortened(record.specimen, LONGEST_NAME), record.instrument, what) if part)


def shortened(name: str, longest: int) -> str:
    """A name cut in its middle: its start and its end tell images apart."""
    half = (longest - 1) // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"


def _limits(data: Any) -> dict[str, Any]:
    """Contrast limits from the data: the middle plane of a lazy array, everything else as it is."""
    values = (
        np.asarray(data) if isinstance(data, np.ndarray) else np.asarray(data[tuple(n // 2 for n in data.shape[:-2])])
    )
    low, high = (float(v) for v in np.percentile(values, (0.1, 99.9)))
    return {"contrast_limits": (low, high if high > low else low + 1.0)}
