"""The steps behind the buttons, free of Qt and napari: they run in a thread and hand back what to show."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from napari_dmu.engine.comparison import Comparison
from napari_dmu.engine.progress import CancelToken, Progress
from napari_dmu.engine.stacks import fingerprint
from napari_dmu.engine.tiles import USUAL_MEMORY, tile_memory
from napari_dmu.errors import PatternSetError, SpecimenError
from napari_dmu.microscope.measurement import Measurement
from napari_dmu.segmentation.registry import PATTERN_SET
from napari_dmu.viewer.layers import LayerData, SpecimenInput, labels_layer, measurement_layer, reconstruction_layer
from napari_dmu.viewer.loading import load_torch
from napari_dmu.viewer.record import Kind, RunRecord

if TYPE_CHECKING:
    from napari_dmu.engine.assessment import Assessment

Step = Literal["measure", "reconstruct", "check", "segment", "compare"]
PLANE = " · plane "  # in a report of progress, between what is going on and how far it is
DOING = {
    "measure": "Measuring",
    "reconstruct": "Reconstructing",
    "check": "Checking",
    "segment": "Segmenting",
    "compare": "Comparing",
}


class Choices(BaseModel):
    """What is set in the panel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "nuclei"
    ratio: float = 64.0
    family: str = "learned"
    photons: float = 1000.0
    background: float = 2.0
    read_noise: float = 2.0
    detector: str | None = None  # a preset; None is the set's own
    seed: int = 0
    method: Literal["learned", "lmmse", "ridge", "tv"] = "learned"
    segmenter: str = PATTERN_SET
    device: str = "auto"
    tile_memory: int = USUAL_MEMORY  # MB


@dataclass(frozen=True)
class Work:
    """What a job has to go by, and what it has made so far.

    Attributes
    ----------
    measurement, record
        The measurement to go by and its record; made by the step ``measure``.
    image, labels, truth_labels
        Arrays (..., Y, X) to compare; the first two are made by ``reconstruct`` and ``segment``.
    made
        Layers to add, in order.
    comparison, counts, compared
        Figures for the panel; cells in every plane; cells matched, missed and invented over all planes.
    """

    choices: Choices
    specimen: SpecimenInput | None = None
    measurement: Measurement | None = None
    record: RunRecord | None = None
    image: Any = None
    labels: Any = None
    truth_labels: Any = None
    made: tuple[LayerData, ...] = ()
    comparison: Comparison | None = None
    assessment: "Assessment | None" = None
    counts: tuple[int, ...] | None = None
    compared: dict[Kind, int] | None = None
    seconds: dict[str, float] = field(default_factory=dict)


def run_steps(steps: tuple[Step, ...], work: Work, progress: Progress, cancel: CancelToken) -> Work:
    """Do the steps in order; ``progress`` gets thousandths of the whole.

    Raises
    ------
    DmuError
        The first step that cannot be done; what the others have made is dropped with it.
    """
    progress(0, 1000, "Starting")
    load_torch()
    for number, step in enumerate(steps):
        cancel.check()
        at = "" if len(steps) == 1 else f"Step {number + 1} of {len(steps)} · "

        def report(done: int, total: int, what: str, at: str = at, number: int = number) -> None:
            planes = "" if total == 1 else f"{PLANE}{done} of {total}"
            progress(round(1000 * (number + done / max(total, 1)) / len(steps)), 1000, f"{at}{what}{planes}")

        progress(round(1000 * number / len(steps)), 1000, f"{at}{DOING[step]}")
        start = time.perf_counter()
        with tile_memory(work.choices.tile_memory):
            work = _DO[step](work, report, cancel)
        work.seconds[step] = time.perf_counter() - start
    return work


def _measure(work: Work, progress: Progress, cancel: CancelToken) -> Work:
    from napari_dmu.engine.verbs import load, simulate

    choices, specimen = work.choices, work.specimen
    assert specimen is not None
    start = time.perf_counter()
    measurement = simulate(
        specimen.data,
        load(choices.name, ratio=choices.ratio, family=choices.family),
        photons=choices.photons,
        read_noise=choices.read_noise,
        background=choices.background,
        detector=choices.detector,
        intensity_range=specimen.intensity_range,
        seed=choices.seed,
        device=choices.device,
        progress=progress,
        cancel=cancel,
        **specimen.simulate_options(),
    )
    record = RunRecord(
        kind="measurement",
        specimen=specimen.name,
        specimen_id=specimen.layer_id,
        geometry=specimen.geometry,
        look=specimen.look,
        fingerprint=fingerprint(specimen.data),
        info=measurement.info,
        settings={"detector": choices.detector} if choices.detector else {},
        device=_device(choices),
        seconds=round(time.perf_counter() - start, 3),
    )
    made = (*work.made, measurement_layer(measurement, record))
    return replace(work, measurement=measurement, record=record, made=made)


def _reconstruct(work: Work, progress: Progress, cancel: CancelToken) -> Work:
    from napari_dmu.engine.verbs import reconstruct

    measurement, choices = _measurement(work), work.choices
    start = time.perf_counter()
    image = reconstruct(measurement, method=choices.method, device=choices.device, progress=progress, cancel=cancel)
    record = _made_of(work, "reconstruction", {"method": choices.method}, start)
    return replace(work, image=image, made=(*work.made, reconstruction_layer(image, record)))


def _check(work: Work, progress: Progress, cancel: CancelToken) -> Work:
    from napari_dmu.viewer.checking import check

    return check(work, progress, cancel)


def _segment(work: Work, progress: Progress, cancel: CancelToken) -> Work:
    from napari_dmu.engine.cells import find_cells

    measurement, choices = _measurement(work), work.choices
    start = time.perf_counter()
    cells = find_cells(
        measurement, segmenter=choices.segmenter, device=choices.device, progress=progress, cancel=cancel
    )
    record = _made_of(work, "labels", {"segmenter": choices.segmenter}, start)
    layer = labels_layer(cells.labels, record, cells.image)
    assert work.record is not None
    return replace(
        work,
        labels=layer[0],
        counts=tuple(cells.counts.tolist()),
        record=work.record.with_settings(segmenter=choices.segmenter),
        made=(*work.made, layer),
    )


def _compare(work: Work, progress: Progress, cancel: CancelToken) -> Work:
    from napari_dmu.engine.verbs import compare
    from napari_dmu.viewer.compared import compare_cells, compared_layers

    assert work.specimen is not None
    known = "" if work.record is None else work.record.fingerprint
    if known and fingerprint(work.specimen.data) != known:
        raise SpecimenError(
            f"The image '{work.specimen.name}' is not the one that was measured, or was changed since: open that one, "
            "or measure again, to compare."
        )
    pair = work.labels is not None and work.truth_labels is not None
    measured_with = None if work.record is None else work.record.info.intensity_range
    comparison = compare(
        work.image,
        work.specimen.data,
        labels=work.labels if pair else None,
        truth_labels=work.truth_labels if pair else None,
        intensity_range=work.specimen.intensity_range or measured_with,
        progress=progress,
        cancel=cancel,
    )
    if not pair or work.record is None:
        return replace(work, comparison=comparison)
    cells = compare_cells(work.labels, work.truth_labels, cancel)
    made = (*work.made, *compared_layers(cells, work.record))
    return replace(work, comparison=comparison, counts=cells.counts, compared=cells.numbers, made=made)


def _measurement(work: Work) -> Measurement:
    if work.measurement is None or work.record is None:
        raise PatternSetError("There is no measurement to go by: press Measure first.")
    return work.measurement


def _made_of(
    work: Work, kind: Literal["reconstruction", "labels"], settings: dict[str, Any], start: float
) -> RunRecord:
    assert work.record is not None
    fresh = {
        "kind": kind,
        "settings": {**work.record.settings, **settings},
        "device": _device(work.choices),
        "seconds": round(time.perf_counter() - start, 3),
    }
    return work.record.model_copy(update=fresh)


def _device(choices: Choices) -> str:
    from napari_dmu.engine.device import resolve_device

    return str(resolve_device(choices.device))


_DO: dict[Step, Callable[[Work, Progress, CancelToken], Work]] = {
    "measure": _measure,
    "reconstruct": _reconstruct,
    "check": _check,
    "segment": _segment,
    "compare": _compare,
}
