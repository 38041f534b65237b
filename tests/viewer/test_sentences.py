"""What the panel says, without a window."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_dmu.viewer.sentences import TITLES, reasons, report
from napari_dmu.viewer.steps import Choices, Work

EVERYTHING: dict[str, Any] = {
    "busy": False, "specimen": True, "pattern_set": True, "measurement": True, "image": True, "no_segmenter": "",
}  # fmt: skip


def test_with_everything_at_hand_all_can_be_pressed() -> None:
    steps, together = reasons(**EVERYTHING)
    assert steps == dict.fromkeys(TITLES, "")
    assert together == ""


def test_each_button_says_what_is_missing() -> None:
    nothing = reasons(**dict.fromkeys(EVERYTHING, False) | {"no_segmenter": "No segmenter."})
    assert nothing[0] == {
        "measure": "Open an image or a sample first.",
        "reconstruct": "Press Measure first, or open a measurement.",
        "segment": "Press Measure first, or open a measurement.",
        "compare": "Press Reconstruct first.",
        "check": "Press Reconstruct first.",
    }
    assert nothing[1] == "Open an image or a sample first."
    without = reasons(**EVERYTHING | {"no_segmenter": "No segmenter."})
    assert {step for step, reason in without[0].items() if reason} == {"segment"}
    assert without[1] == ""


def test_nothing_can_be_pressed_while_work_is_done() -> None:
    steps, together = reasons(**EVERYTHING | {"busy": True})
    assert {*steps.values(), together} == {"Wait until the work is done, or cancel it."}


@pytest.mark.parametrize(
    ("changed", "side_by_side", "last"),
    [
        ({}, False, "2.5 s."),
        ({"truth_labels": np.ones((4, 4), int)}, False, "press Segment, then Compare."),
        ({"compared": {"matched": 3}}, True, "which cells were missed or invented."),
        ({"compared": {"matched": 3}}, False, "2.5 s."),
    ],
)
def test_what_was_done_and_what_to_try_next(changed: dict[str, Any], side_by_side: bool, last: str) -> None:
    work = replace(Work(Choices(), seconds={"reconstruct": 1.5, "compare": 1.0}), **changed)
    line = report(("reconstruct", "compare"), work, side_by_side=side_by_side)
    assert line.startswith("✓ Reconstructed, compared in 2.5 s.")
    assert line.endswith(last)
