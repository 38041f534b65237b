"""Cells of a measurement together with the image they are measured in: what every door of *segment* goes by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_dmu.engine.device import memory_explained, resolve_device
from napari_dmu.engine.measured import in_specimen_units, instrument_of
from napari_dmu.engine.progress import CancelToken, Progress, check, report
from napari_dmu.engine.stacks import as_stack, plane
from napari_dmu.errors import PatternSetError, SettingsError, SpecimenError
from napari_dmu.files.planes import held
from napari_dmu.microscope.measurement import ArrayLike, Measurement, MeasurementInfo, check_plane
from napari_dmu.segmentation.registry import PATTERN_SET, Segmenter, load_segmenter, run_segmenter

if TYPE_CHECKING:
    from napari_dmu.zoo.pattern_set import PatternSet

Planes = tuple[NDArray[np.int32], NDArray[np.float32]]


@dataclass(frozen=True)
class Cells:
    """What was found in a measurement.

    Attributes
    ----------
    labels
        (..., Y, X) int32, 0 = background, cells 1 … n in each plane.
    image
        (..., Y, X) float32, the reconstruction in the specimen's own units; the one that was given, or the learned one.
    """

    labels: NDArray[np.int32]
    image: NDArray[np.float32]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Cells in every plane, in C order."""
        return counts_of(self.labels)


@memory_explained()
def find_cells(measurement: Measurement, **options: Any) -> Cells:
    """As ``engine.verbs.segment``, with its options; gives the image as well."""
    shape = (*measurement.data.shape[:-3], *measurement.info.field)
    found = Cells(np.empty(shape, dtype=np.int32), np.empty(shape, dtype=np.float32))
    for index, labels, image in _each(measurement, **options):
        found.labels[index], found.image[index] = labels, image
    return found


@memory_explained()
def find_labels(measurement: Measurement, **options: Any) -> NDArray[np.int32]:
    """The same without the image: half the memory."""
    found = np.empty((*measurement.data.shape[:-3], *measurement.info.field), dtype=np.int32)
    for index, labels, _ in _each(measurement, **options):
        found[index] = labels
    return found


def counts_of(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Cells in every plane of labels (..., Y, X), in C order."""
    return np.asarray(labels.max(axis=(-2, -1)), dtype=np.int64).ravel()


def _each(
    measurement: Measurement,
    *,
    instrument: PatternSet | None = None,
    segmenter: str = PATTERN_SET,
    image: ArrayLike | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[tuple[tuple[int, ...], NDArray[np.int32], NDArray[Any]]]:
    """Index, labels and image of every plane, one after the other."""
    function = None if segmenter == PATTERN_SET else load_segmenter(segmenter)
    given = None if image is None else _checked_image(measurement, image)
    if function is None and given is not None:
        raise SettingsError(
            "The segmenter of the pattern set reads the measurement, not an image: "
            "leave the image out, or name another segmenter."
        )
    used = None if given is not None else instrument_of(measurement, instrument)
    if function is None and used is not None and used.segmenter is None:
        raise PatternSetError(
            f"The pattern set ×{used.ratio:g} {used.name}, {used.family} has no segmenter: "
            "choose one with cells, such as nuclei, or another segmenter."
        )
    if used is not None:
        used.to(resolve_device(device))
    frames = held(measurement.data, trailing=3)
    for done, index in enumerate(np.ndindex(*measurement.data.shape[:-3]), start=1):
        check(cancel)
        if used is None:
            assert function is not None
            assert given is not None
            image_plane = check_plane(plane(given, done - 1), done - 1)
            yield index, run_segmenter(segmenter, function, image_plane), image_plane
        else:
            counts = np.asarray(frames[index])
            yield index, *_from_counts(used, counts, measurement.info, segmenter, function, cancel)
        report(progress, done, measurement.planes, "Segmenting")


def cell_table(cells: Cells, info: MeasurementInfo, **placed: Any) -> dict[str, NDArray[np.generic]]:
    """Area, mean intensity of the reconstruction, centroid and eccentricity of every cell.

    See ``segmentation.features.label_features``; where the cells lie is known from the measurement, unless
    ``placed`` (scale, translate, units, axes, affine) says otherwise.
    """
    from napari_dmu.segmentation.features import label_features

    own = {"scale": info.scale, "translate": info.translate, "units": info.units, "axes": info.axes}
    return label_features(cells.labels, cells.image, **{**own, **placed})


def count_sentence(counts: Sequence[int] | NDArray[np.integer[Any]]) -> str:
    """``92 cells``; of a stack ``2764 cells in 30 planes, 88–97 each``."""
    numbers = [int(n) for n in counts]
    total = f"{sum(numbers)} cell{'' if sum(numbers) == 1 else 's'}"
    if len(numbers) == 1:
        return total
    low, high = min(numbers), max(numbers)
    return f"{total} in {len(numbers)} planes, {low if low == high else f'{low}–{high}'} each"


def _from_counts(
    used: PatternSet,
    counts: NDArray[np.generic],
    info: MeasurementInfo,
    name: str,
    function: Segmenter | None,
    cancel: CancelToken | None,
) -> Planes:
    """Labels and reconstruction of one plane; decoded once."""
    from napari_dmu.engine.decoding import cell_planes, decoded_plane
    from napari_dmu.segmentation.instances import instances

    if function is None:
        density, foreground, distance = cell_planes(used, counts, info, cancel=cancel)
        return instances(foreground, distance, used.header.instances), in_specimen_units(density, info)
    image = in_specimen_units(decoded_plane(used, counts, info, cancel=cancel), info)
    return run_segmenter(name, function, image), image


def _checked_image(measurement: Measurement, image: ArrayLike) -> ArrayLike:
    stack = as_stack(image)
    wanted = (*measurement.data.shape[:-3], *measurement.info.field)
    if tuple(stack.shape) != wanted:
        raise SpecimenError(
            f"The image has shape {tuple(stack.shape)}, the measurement is of {wanted}: "
            "give the reconstruction of this measurement."
        )
    return stack
