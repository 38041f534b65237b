"""What the panel says, without a window."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_dmu.engine.comparison import Comparison
from napari_dmu.microscope.acquisition import Acquisition
from napari_dmu.microscope.measurement import MeasurementInfo
from napari_dmu.segmentation.registry import PATTERN_SET
from napari_dmu.viewer.columns import Column, titles
from napari_dmu.viewer.record import Geometry, RunRecord
from napari_dmu.viewer.sentences import ASK, TITLES, about_run_all, reasons, report
from napari_dmu.viewer.steps import Choices, Work
from napari_dmu.viewer.summary import acquisition_summary
from napari_dmu.zoo.registry import available_sets

WRONG = {"matched": 3, "missed": 1, "invented": 0}
MASK = Comparison(psnr=30.0, ssim=1.0, nrmse=0.1, mse=0.001, plane_count=1, notes=("Cells that touch count as one.",))
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


def test_of_several_images_it_is_said_that_one_is_measured_and_how_to_do_all() -> None:
    assert "segment" in about_run_all(can_segment=True, specimens=1)
    assert "finds no cells" in about_run_all(can_segment=False, specimens=1)
    for can_segment in (True, False):
        assert "`napari-dmu run`" not in about_run_all(can_segment=can_segment, specimens=1)
        assert "`napari-dmu run`" in about_run_all(can_segment=can_segment, specimens=2)


@pytest.mark.parametrize(
    ("changed", "side_by_side", "last"),
    [
        ({}, False, "2.5 s."),
        ({"truth_labels": np.ones((4, 4), int)}, False, "press Segment, then Compare."),
        ({"compared": WRONG}, True, "which cells were missed or invented."),
        ({"compared": WRONG}, False, "2.5 s."),
        ({"compared": WRONG, "comparison": MASK}, True, "Cells that touch count as one."),
        ({"compared": {"matched": 3, "missed": 0, "invented": 0}}, True, "2.5 s."),
    ],
)
def test_what_was_done_and_what_to_try_next(changed: dict[str, Any], side_by_side: bool, last: str) -> None:
    work = replace(Work(Choices(), seconds={"reconstruct": 1.5, "compare": 1.0}), **changed)
    line = report(("reconstruct", "compare"), work, side_by_side=side_by_side)
    assert line.startswith("✓ Reconstructed, compared in 2.5 s.")
    assert line.endswith(last)


def test_without_a_segmenter_nobody_is_sent_to_segment() -> None:
    work = replace(Work(Choices(), seconds={"compare": 1.0}), truth_labels=np.ones((4, 4), int))
    line = report(("measure", "compare"), work, side_by_side=False, can_segment=False)
    assert line.endswith("Cells were not scored: this pattern set finds none.")


def record(**changes: Any) -> RunRecord:
    acquisition = Acquisition(bin=8, exposures=1, period=8, photons=500)
    names = {"set_name": "nuclei", "family": "plain", "set_hash": ""}
    info = MeasurementInfo(acquisition=acquisition, ratio=64, field=(8, 8), **names)
    geometry = Geometry(axis_labels=("y", "x"), scale=(1, 1), translate=(0, 0), units=("pixel", "pixel"))
    return RunRecord(kind="measurement", specimen="a", geometry=geometry, info=info, **changes)


def test_what_was_measured_before_is_named() -> None:
    work = replace(Work(Choices(), seconds={"compare": 1.0}), record=record())
    assert report(("compare",), work, side_by_side=False) == "✓ Compared a · ×64 nuclei plain in 1.0 s."
    assert report(("measure", "compare"), work, side_by_side=False) == f"✓ Measured, compared in 1.0 s.{ASK}"
    named = report(("measure", "compare"), work, side_by_side=False, named=True)
    assert named == f"✓ Measured, compared a · ×64 nuclei plain in 1.0 s.{ASK}"


def column(specimen: str = "a", photons: float = 500, **changes: Any) -> Column:
    made = record(**changes)
    acquisition = made.info.acquisition.model_copy(update={"photons": photons})
    info = made.info.model_copy(update={"acquisition": acquisition})
    return Column.of(made.model_copy(update={"info": info, "specimen": specimen}), "learned")


def test_columns_of_the_table_are_called_by_what_they_are() -> None:
    assert titles([column()]) == ["×64\nplain"]
    assert column().whole == "a · ×64 nuclei plain, 500 photons, background 2, read noise 2, seed 0, learned"
    assert titles([column(settings={"method": "ridge"}), column()]) == ["×64\nridge", "×64\nplain"]


def test_a_column_says_what_found_its_cells_where_another_did_too() -> None:
    made = record()
    blank, own, other = (Column.of(made.with_settings(segmenter=by), "learned") for by in ("", PATTERN_SET, "otsu"))
    assert titles([own, blank]) == ["×64\nplain", "×64\nplain"]
    assert titles([other, own]) == ["×64\nplain\notsu", "×64\nplain\npattern set"]
    assert other.whole == f"{own.whole}, cells by otsu"
    assert other.replaces(blank)
    assert other.replaces(other)
    assert not other.replaces(own)
    assert not blank.replaces(own)


def test_columns_of_the_table_say_what_differs() -> None:
    assert titles([column(photons=10), column(photons=1e6)]) == ["×64\nplain\n10 ph", "×64\nplain\n1e+06 ph"]
    long = "2024-05-01 well A01 field 3"
    assert titles([column("b", photons=10), column(long)]) == [
        "×64\nplain\n10 ph\nb",
        "×64\nplain\n500 ph\n2024…ld 3",
    ]


def test_columns_name_images_by_where_their_names_differ() -> None:
    wells = [column(f"IXMtest_{well}_w1") for well in ("B19_s7", "D01_s1")]
    assert titles(wells) == ["×64\nplain\nB19_s7", "×64\nplain\nD01_s1"]


def test_the_same_measurement_is_the_same_column() -> None:
    made = record()
    assert Column.of(made, "learned") == Column.of(made, "learned")
    assert Column.of(made, "learned").run != Column.of(made, "tv").run != Column.of(record(), "tv").run


@pytest.mark.parametrize(("shape", "said"), [((512, 512), False), ((512, 500), False), ((40, 40), True)])
def test_an_image_too_small_for_its_ratio_is_told(shape: tuple[int, int], said: bool) -> None:
    chosen = next(s for s in available_sets() if s.bin >= 16 and s.family == "learned" and s.ratio == 64)
    assert ("So small an image" in acquisition_summary(shape, chosen)) == said


@pytest.mark.parametrize(
    ("shape", "said"),
    [((3, 64, 66), True), ((45, 2, 64, 66), True), ((30, 64, 66), False), ((64, 66), False), ((1, 64, 66), False)],
)
def test_a_few_planes_may_be_channels(shape: tuple[int, ...], said: bool) -> None:
    assert ("if they are channels, split them" in acquisition_summary(shape, available_sets()[0])) == said


@pytest.mark.parametrize(
    ("shape", "said"), [((64, 66, 3), True), ((2, 64, 66, 1), True), ((64, 66, 5), False), ((66, 3), False)]
)
def test_a_last_axis_that_may_be_one_of_channels_is_doubted(shape: tuple[int, ...], said: bool) -> None:
    line = acquisition_summary(shape, available_sets()[0])
    assert ("is taken for the columns" in line) == said
    assert f"{shape[-1]} wide" in line or not said


def test_the_real_ratio_of_a_small_image_is_written_in_plain_digits() -> None:
    coarse = next(s for s in available_sets() if s.ratio == 1024 and s.family == "learned" and s.name == "nuclei")
    assert acquisition_summary((520, 696), coarse).endswith("So small an image is compressed ×754 only.")
    fine = next(s for s in available_sets() if s.bin >= 16 and s.ratio == 64 and s.family == "learned")
    assert "e+" not in acquisition_summary((1, 1), fine)
