"""The live view: what the microscope makes of the plane in view, worked out anew whenever something is set.

Two layers that are replaced, not a row of results: the reconstruction and, where the set finds them, its cells. They
lie on the plane that they were made of, so a stack never shows them beside another. Of a large plane the part around
the middle of the view is taken, lit as the whole. No Qt here.
"""

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Layer
from numpy.typing import NDArray

from napari_dmu.engine.comparison import Comparison
from napari_dmu.engine.progress import CancelToken, Progress
from napari_dmu.engine.stacks import stack_range
from napari_dmu.microscope.digits import NARROW
from napari_dmu.viewer.geometry import part_geometry
from napari_dmu.viewer.layers import LayerData, SpecimenInput, layer_name, record_of, specimen_shape
from napari_dmu.viewer.mouse import mouse_elsewhere
from napari_dmu.viewer.record import Geometry, Kind, RunRecord, read_record
from napari_dmu.viewer.steps import Choices, Step, Work, run_steps

SIDE = 768  # of the largest part, specimen pixels: below a second on two cores at most ratios
FRAME = "#56b4e9"  # as cells that are matched
RASTER = 128  # the view is followed in steps of so many pixels, not with every move of the mouse
IMAGE: tuple[Step, ...] = ("measure", "reconstruct", "compare")
CELLS: tuple[Step, ...] = ("segment", "compare")
KINDS: dict[Kind, Kind] = {"reconstruction": "live_image", "labels": "live_labels"}
ASIDE = "napari_dmu_aside"  # in the metadata of a live layer that we have hidden
NAMES: dict[Kind, str] = {"live_image": "live", "live_labels": "live cells"}


@dataclass(frozen=True)
class Part:
    """Pixels of a specimen: a plane by its indices along the leading axes, in it the first pixel and the size."""

    plane: tuple[int, ...]
    start: tuple[int, int]
    size: tuple[int, int]

    @property
    def slices(self) -> tuple[slice, ...]:
        """What cuts it out; every axis stays."""
        rows_columns = (slice(a, a + n) for a, n in zip(self.start, self.size, strict=True))
        return (*(slice(i, i + 1) for i in self.plane), *rows_columns)


@dataclass(frozen=True)
class Request:
    """What is to be looked at; equal requests give equal pictures."""

    choices: Choices
    specimen: str  # keys of layers
    truth: str
    luminance: bool
    version: int  # of the specimen's pixels: a layer may be given others
    truth_version: int
    geometry: Geometry
    part: Part
    lazy: bool
    cells: bool  # whether they are searched for

    @property
    def lit(self) -> Hashable:
        """What the intensity range depends on."""
        return self.specimen, self.version, self.luminance, self.part.plane if self.lazy else ()


def part_in_view(viewer: Any, layer: Any) -> Part:
    """The plane of the layer that the sliders show, and in it the part around the middle of the view."""
    shape = specimen_shape(layer)
    indices = np.asarray(layer.world_to_data(_middle_of_view(viewer, layer)))[-len(shape) :]
    plane = tuple(int(np.clip(round(i), 0, n - 1)) for i, n in zip(indices[:-2], shape[:-2], strict=True))
    spans = [_span(middle, n) for middle, n in zip(indices[-2:], shape[-2:], strict=True)]
    return Part(plane, (spans[0][0], spans[1][0]), (spans[0][1], spans[1][1]))


def _middle_of_view(viewer: Any, layer: Any) -> NDArray[np.float64]:
    """Where the view is, in the layer's units: the viewer counts in the smallest unit of all its layers."""
    point = np.array(viewer.dims.point, dtype=float)
    point[list(viewer.dims.displayed[-2:])] = viewer.scene.camera.center[-2:]
    point = point[-layer.ndim :]
    if viewer.dims.units is None:  # napari converts nothing where they cannot be compared
        return point
    units = zip(layer.units, viewer.dims.units[-layer.ndim :], strict=True)
    return point * [own.m_from(1 * unit) for own, unit in units]


def _span(middle: float, length: int) -> tuple[int, int]:
    """First pixel and number of pixels along one side."""
    if length <= SIDE:
        return 0, length
    first = RASTER * round((middle - SIDE / 2) / RASTER)
    return int(np.clip(first, 0, length - SIDE)), SIDE


def is_lazy(data: Any) -> bool:
    """Whether reading all of a stack may take long (colours are turned into luminance as they are read)."""
    return not isinstance(data, np.ndarray) or isinstance(data, np.memmap)


def cut(specimen: SpecimenInput, part: Part, cancel: CancelToken | None = None) -> SpecimenInput:
    """That part of a specimen, read now, lit as the whole: as the stack, or as the plane where the stack is lazy."""
    plane = specimen.data[part.plane] if part.plane else specimen.data
    limits = specimen.intensity_range
    if limits is None and is_lazy(specimen.data):
        plane = np.asarray(plane)  # all of it has to be read, once
        limits = stack_range(plane, cancel)
    elif limits is None:
        limits = stack_range(specimen.data, cancel)
    pixels = np.asarray(plane[part.slices[-2:]])[(None,) * len(part.plane)]
    start = (*part.plane, *part.start)
    return replace(specimen, data=pixels, geometry=part_geometry(specimen.geometry, start), intensity_range=limits)


def look(whole: Work, part: Part, progress: Progress, cancel: CancelToken) -> Work:
    """Measure, reconstruct and compare a part; to be called in a thread.

    Parameters
    ----------
    whole
        With the whole specimen and, where there are any, all true labels.
    """
    assert whole.specimen is not None
    truth = None if whole.truth_labels is None else np.asarray(whole.truth_labels[part.slices])
    work = replace(whole, specimen=cut(whole.specimen, part, cancel), truth_labels=truth)
    return run_steps(IMAGE, work, progress, cancel)


def look_for_cells(work: Work, progress: Progress, cancel: CancelToken) -> Work:
    """Find the cells of a part that was looked at, and compare them where the truth is known."""
    return run_steps(CELLS, replace(work, made=()), progress, cancel)


def show(viewer: Any, made: Sequence[LayerData]) -> bool:
    """Put what was made in the place of the live layers, or on top; whether a layer came into view by it.

    A layer that the user has hidden stays hidden; one that was set aside comes back, on top.
    """
    active = viewer.layers.selection.active
    with mouse_elsewhere(viewer):
        came = [_put(viewer, *live) for live in map(_as_live, made) if live is not None]
        if active is not None and active in viewer.layers:
            viewer.layers.selection.active = active
    return any(came)


def frame(layer: Any, *, part: bool) -> None:
    """Draw a line around a live picture where it is a part of the plane: there it ends."""
    layer.bounding_box.points = False
    layer.bounding_box.line_color = FRAME
    layer.bounding_box.visible = part


def set_aside(viewer: Any, kinds: Collection[Kind] = ("live_image", "live_labels"), *, hidden: bool = False) -> None:
    """Hide live layers until there is something to show again; ``hidden``: those that the user hid, too."""
    for layer in viewer.layers:
        record = record_of(layer)
        if record is not None and record.kind in kinds and (hidden or layer.visible):
            layer.visible = False
            layer.metadata = {**layer.metadata, ASIDE: True}


def is_part(work: Work, layer: Any) -> bool:
    """Whether less than a plane of the specimen's layer was looked at."""
    return work.specimen is not None and tuple(work.specimen.data.shape[-2:]) != specimen_shape(layer)[-2:]


def sentence(work: Work, *, part: bool = False) -> str:
    """``Live · ×64 nuclei: PSNR 34.1 dB, SSIM 0.912 · 92 cells of 91, F1 0.944.``; says so where it is a part."""
    assert work.record is not None
    text = f"Live · {work.record.instrument}"
    if part and work.specimen is not None:
        rows, columns = work.specimen.data.shape[-2:]
        text += f", {columns}{NARROW}×{NARROW}{rows} pixels in the middle of the view"
    if work.comparison is not None:
        text += f": {_figures(work.comparison)}"
    if work.counts is not None:
        number = sum(work.counts)
        text += f" · {number} cell{'' if number == 1 else 's'}"
        if work.comparison is not None and work.comparison.f1 is not None:
            text += f" of {work.comparison.truth_count}, F1 {work.comparison.f1:.3f}"
    notes = () if work.comparison is None else work.comparison.notes
    return " ".join((f"{text}.", *notes))


def _figures(comparison: Comparison) -> str:
    return f"PSNR {comparison.psnr:.1f} dB, SSIM {comparison.ssim:.3f}"


def _as_live(made: LayerData) -> tuple[LayerData, RunRecord] | None:
    """A result as a live layer; None where it is shown in results alone."""
    data, options, kind = made
    record = read_record(options["metadata"])
    if record is None or record.kind not in KINDS:
        return None
    live = record.model_copy(update={"kind": KINDS[record.kind]})
    options = {**options, "name": layer_name(live, NAMES[live.kind]), "metadata": live.as_metadata()}
    return (data, options, kind), live


def _put(viewer: Any, made: LayerData, record: RunRecord) -> bool:
    """Show one result; whether its layer has come into view by it."""
    data, options, _ = made
    there = next((x for x in viewer.layers if record_of(x, record.kind) is not None), None)
    if there is None:
        viewer.add_layer(Layer.create(*made))
        return True
    old, place = record_of(there), viewer.layers.index(there)
    assert old is not None
    another = old.specimen_id != record.specimen_id
    aside = ASIDE in there.metadata
    here = old.geometry.model_copy(update={"translate": record.geometry.translate})
    if there.data.shape != data.shape or here != record.geometry or another:
        layer = Layer.create(*made)
        layer.visible = there.visible
        viewer.layers.remove(there)
        # Another specimen may lie above the old place.
        viewer.layers.insert(len(viewer.layers) if another else place, layer)
        there, fresh = layer, True
    else:
        fresh = False
        there.data = data
        if "features" in options:
            there.features = options["features"]
        there.translate, there.name, there.metadata = options["translate"], options["name"], options["metadata"]
    if aside:
        viewer.layers.move(viewer.layers.index(there), len(viewer.layers))
        there.visible = True
    return aside or fresh
