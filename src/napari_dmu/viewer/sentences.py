"""What the panel says: what each button does, why it cannot be pressed now, what to try next. No Qt, no torch."""

import math
from collections.abc import Collection
from typing import Any

from napari_dmu.viewer.layers import layer_name, record_of
from napari_dmu.viewer.steps import Step, Work

TITLES: dict[Step, str] = {
    "measure": "Measure the specimen with the microscope above.",
    "reconstruct": "Reconstruct the image from the measurement.",
    "segment": "Find the cells in the measurement.",
    "compare": "Compare the reconstruction (and the labels) with the specimen.",
    "check": "Without the specimen: does the reconstruction fit the data, how wide is its error, what is imagined?",
}
_RUN_ALL = "Measure, reconstruct, segment and compare in one go."
_RUN_ALL_BUT_CELLS = "Measure, reconstruct and compare in one go; this pattern set finds no cells."
_ONE_OF_SEVERAL = (
    "\nOnly the specimen chosen above: `napari-dmu run` in a terminal takes a whole folder (docs/folders.md)."
)
LIVE = "The plane in view, measured and reconstructed anew whenever you change a setting: try ratios and light."
UNMEASURED = "none yet"
WORKING = "Live · working …"
_DONE: dict[Step, str] = {
    "measure": "measured",
    "reconstruct": "reconstructed",
    "segment": "segmented",
    "compare": "compared",
    "check": "checked",
}
UNTICK = " Untick 'Show side by side' to see which cells were missed or invented."
ASK = " Press Check to see whether the pattern set knows such specimens."
_BUSY = "Wait until the work is done, or cancel it."


def reasons(
    *, busy: bool, specimen: bool, pattern_set: bool, measurement: bool, image: bool, no_segmenter: str
) -> tuple[dict[Step, str], str]:
    """Why each step, and all of them in one go, cannot be run now: empty where it can.

    The flags say what there is; ``no_segmenter`` is the reason why the measurement's set cannot segment, or empty.
    """
    no_specimen = "" if specimen else "Open an image or a sample first."
    no_set = "" if pattern_set else "There is no pattern set to measure with."
    no_measurement = "" if measurement else "Press Measure first, or open a measurement."
    no_image = "" if image else "Press Reconstruct first."
    steps: dict[Step, str] = {
        "measure": no_specimen or no_set,
        "reconstruct": no_measurement,
        "segment": no_measurement or no_segmenter,
        "compare": no_image or no_specimen,
        "check": no_image,
    }
    return {step: _BUSY if busy else reason for step, reason in steps.items()}, _BUSY if busy else steps["measure"]


def about_run_all(*, can_segment: bool, specimens: int) -> str:
    """What *Run all* does, to which of the images that are open."""
    text = _RUN_ALL if can_segment else _RUN_ALL_BUT_CELLS
    return text + _ONE_OF_SEVERAL if specimens > 1 else text


def opened(layer: Any) -> str:
    """What a measurement is that was opened: its instrument, light and planes, and what it suffers from."""
    record, planes = record_of(layer), math.prod(layer.data.shape[1:-2])
    assert record is not None
    photons = f"{record.info.acquisition.photons:g} photons"
    what = f"Opened '{layer.name}': {record.instrument}, {photons}, {planes} plane{'' if planes == 1 else 's'}."
    return " ".join((what, *record.info.notes))


def report(
    steps: Collection[Step], work: Work, *, side_by_side: bool, can_segment: bool = True, named: bool = False
) -> str:
    """One line on what was done, and what to try next.

    It says of which measurement where none was made, or where this is wanted (``named``).
    """
    done = ", ".join(_DONE[step] for step in steps)
    seconds = sum(work.seconds.values())
    what = "" if ("measure" in steps and not named) or work.record is None else f" {layer_name(work.record, '')}"
    advice = _advice(steps, work, side_by_side=side_by_side, can_segment=can_segment)
    return f"✓ {done[0].upper()}{done[1:]}{what} in {seconds:.1f} s.{advice}"


def _advice(steps: Collection[Step], work: Work, *, side_by_side: bool, can_segment: bool) -> str:
    if "measure" in steps and work.record is not None and work.record.info.saturation_note:
        return f" {work.record.info.saturation_note}"
    if "compare" in steps and work.truth_labels is not None and work.labels is None:
        if not can_segment:
            return " Cells were not scored: this pattern set finds none."
        return " To score the cells as well, press Segment, then Compare."
    if work.comparison is not None and work.comparison.notes:
        return f" {' '.join(work.comparison.notes)}"
    wrong = {} if work.compared is None else {kind: work.compared[kind] for kind in ("missed", "invented")}
    if any(wrong.values()) and side_by_side:
        return UNTICK
    return ASK if {"measure", "compare"} <= set(steps) else ""
